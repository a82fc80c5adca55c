"""Reads the arguments of `drive-backup` and `blockdev-backup`."""

from typing import Any, Final

from cleancut_reference.actions.backup import Backup
from cleancut_reference.errors import generic
from cleancut_reference.jobs.group import Group
from cleancut_reference.jobs.job import Policy, Settings
from cleancut_reference.node_target import NodeTarget
from cleancut_reference.target import Target
from cleancut_spec import cites

#: Arguments that QEMU has and this server has not, with the one value that it takes all the same.
UNSUPPORTED: Final[dict[str, Any]] = {
    "bitmap": None, "bitmap-mode": None, "compress": False,
    "filter-node-name": None, "x-perf": None,
}  # fmt: skip


def read_backup(data: dict[str, Any], group: Group | None) -> Backup:
    """The backup to an image that these arguments ask for."""
    existing = data.get("mode", "absolute-paths") == "existing"
    target = Target(data["target"], existing, data.get("format", ""))
    return Backup(data["device"], target, _read_settings(data), group)


def read_blockdev_backup(data: dict[str, Any], group: Group | None) -> Backup:
    """The backup to a node that these arguments ask for."""
    return Backup(data["device"], NodeTarget(data["target"]), _read_settings(data), group)


@cites("ARG-SPEED-1", "JOB-ID-1", "POLICY-REPORT-1")
def _read_settings(data: dict[str, Any]) -> Settings:
    """What is said of the job, with the defaults of what is left out."""
    for name, harmless in UNSUPPORTED.items():
        if name in data and data[name] != harmless:
            raise generic(f"Parameter '{name}' is not supported by this server")
    if data["sync"] != "full":
        raise generic("Parameter 'sync': this server supports only 'full'")
    return Settings(
        id=data.get("job-id"),
        speed_bytes_per_s=data.get("speed", 0),
        on_source_error=Policy(data.get("on-source-error", "report")),
        on_target_error=Policy(data.get("on-target-error", "report")),
        auto_finalize=data.get("auto-finalize", True),
        auto_dismiss=data.get("auto-dismiss", True),
    )
