"""The client's steps of a schedule that are commands about a job, and how each is sent."""

from collections.abc import Mapping
from typing import Any, Final

#: By label: the command, the argument that names the job, and the others.
COMMANDS: Final[Mapping[str, tuple[str, str, Mapping[str, Any]]]] = {
    "pause": ("block-job-pause", "device", {}),
    "resume": ("block-job-resume", "device", {}),
    "cancel": ("block-job-cancel", "device", {}),
    "force_cancel": ("block-job-cancel", "device", {"force": True}),
    "set_speed": ("block-job-set-speed", "device", {"speed": 0}),
    "finalize": ("block-job-finalize", "id", {}),
    "dismiss": ("block-job-dismiss", "id", {}),
}


def command_of(name: str, drive: int | None) -> tuple[str, dict[str, Any]]:
    """The command and its arguments; the job bears the drive's name."""
    command, key, more = COMMANDS[name]
    return command, {key: f"d{drive}", **more}
