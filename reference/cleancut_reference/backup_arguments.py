"""Reads the arguments of `drive-backup` and `blockdev-backup`."""

from typing import Any

from cleancut_reference.actions.backup import Backup
from cleancut_reference.jobs.group import Group
from cleancut_reference.jobs.job import DEFAULT_WORKERS, Policy, Settings
from cleancut_reference.jobs.scope import BitmapMode, Scope, Sync
from cleancut_reference.node_target import NodeTarget
from cleancut_reference.target import Target
from cleancut_spec import cites


def read_backup(data: dict[str, Any], group: Group | None) -> Backup:
    """The backup to an image that these arguments ask for."""
    existing = data.get("mode", "absolute-paths") == "existing"
    target = Target(data["target"], existing, data.get("format"))
    return Backup(data["device"], target, _read_settings(data), group)


def read_blockdev_backup(data: dict[str, Any], group: Group | None) -> Backup:
    """The backup to a node that these arguments ask for."""
    return Backup(data["device"], NodeTarget(data["target"]), _read_settings(data), group)


@cites("ARG-SPEED-1", "JOB-ID-1", "POLICY-REPORT-1")
def _read_settings(data: dict[str, Any]) -> Settings:
    """What is said of the job, with the defaults of what is left out."""
    perf = data.get("x-perf", {})
    mode = data.get("bitmap-mode")
    return Settings(
        id=data.get("job-id"),
        speed_bytes_per_s=data.get("speed", 0),
        on_source_error=Policy(data.get("on-source-error", "report")),
        on_target_error=Policy(data.get("on-target-error", "report")),
        auto_finalize=data.get("auto-finalize", True),
        auto_dismiss=data.get("auto-dismiss", True),
        scope=Scope(
            Sync(data.get("sync", "full")), data.get("bitmap"), BitmapMode(mode) if mode else None
        ),
        compress=data.get("compress", False),
        filter_name=data.get("filter-node-name"),
        max_workers=perf.get("max-workers", DEFAULT_WORKERS),
        max_chunk_bytes=perf.get("max-chunk", 0),
        min_cluster_bytes=perf.get("min-cluster-size", 0),
        breaks_snapshot=data.get("on-cbw-error") == "break-snapshot",
    )
