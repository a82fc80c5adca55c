"""Which instance of the model a command that starts backups is a run of; data is left out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from cleancut_conformance.judge.commands import Command, job_id_of
from cleancut_model.options import Options, OptionsError

MOST_DRIVES: Final = 6


@dataclass(frozen=True, slots=True)
class Run:
    """A command that starts backups: the instance, and the id of each drive's job."""

    options: Options
    job_ids: tuple[str, ...]

    def drive(self, job_id: str) -> int | None:
        """The number of the drive whose job bears this id."""
        return self.job_ids.index(job_id) if job_id in self.job_ids else None


class NotFollowed(Exception):
    """The command is no run of the model; the message says why."""


def run_of(command: Command) -> Run:
    """The run that a command begins; raises NotFollowed."""
    backups = command.backups()
    if not backups:
        raise NotFollowed("it starts no backup")
    if len(backups) > MOST_DRIVES:
        raise NotFollowed(f"it has more than {MOST_DRIVES} backups")
    job_ids = tuple(map(job_id_of, backups))
    if len(set(job_ids)) < len(job_ids):
        raise NotFollowed("two of its jobs have one name")
    settings = [dict(_settings(data)) for data in backups]
    if any(each != settings[0] for each in settings):
        raise NotFollowed("its backups differ in policies, sync or completion")
    others = any(kind not in ("drive-backup", "blockdev-backup") for kind, _ in command.actions())
    try:
        options = Options(
            len(backups), 1, 1, 0, None, other=others, grouped=command.grouped, **settings[0]
        )
    except (OptionsError, TypeError) as error:
        raise NotFollowed(str(error)) from None
    return Run(options, job_ids)


def _settings(data: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """What the model has of a backup's arguments; of `sync` only that `none` does not end."""
    source, target = (str(data.get(f"on-{side}-error", "report")) for side in ("source", "target"))
    yield "source_policy", source
    yield "target_policy", target
    yield "errnos", ("EIO", "ENOSPC") if {source, target} & {"enospc", "auto"} else ("EIO",)
    yield "sync", "none" if data.get("sync") == "none" else "full"
    finalize, dismiss = data.get("auto-finalize", True), data.get("auto-dismiss", True)
    if finalize is not dismiss:
        raise NotFollowed("the model has auto-finalize and auto-dismiss only together")
    yield "manual", finalize is False
