"""The answers of the query commands, in the shapes of the QMP schema."""

from typing import Any

from cleancut_reference.block.drive import Drive
from cleancut_reference.errors import strerror
from cleancut_reference.jobs.backup import may_claim
from cleancut_reference.jobs.job import Job
from cleancut_reference.state import State, node_name
from cleancut_spec import cites


@cites("JOB-LIST-1", "JOB-PROGRESS-1", "POLICY-STOP-1")
def block_job_info(state: State, job: Job) -> dict[str, Any]:
    """One entry of `query-block-jobs`."""
    return {
        "type": "backup",
        "device": job.id,
        "len": job.length_bytes,
        "offset": job.offset_bytes,
        "busy": bool(job.in_flight) or may_claim(state, job),
        "paused": job.user_paused,
        "speed": job.speed_bytes_per_s,
        "io-status": job.io_status,
        "ready": False,
        "status": str(job.status),
        "auto-finalize": True,
        "auto-dismiss": True,
    } | _error(job)


def job_info(job: Job) -> dict[str, Any]:
    """One entry of `query-jobs`."""
    return {
        "id": job.id,
        "type": "backup",
        "status": str(job.status),
        "current-progress": job.offset_bytes,
        "total-progress": job.length_bytes,
    } | _error(job)


def _error(job: Job) -> dict[str, str]:
    return {"error": strerror(job.error)} if job.error else {}


def block_info(drive: Drive) -> dict[str, Any]:
    """One entry of `query-block`."""
    info: dict[str, Any] = {
        "device": drive.name,
        "type": "unknown",
        "removable": True,
        "locked": False,
    }
    return info if drive.size_bytes is None else info | {"inserted": _node(drive)}


def named_nodes(state: State) -> list[dict[str, Any]]:
    """The answer of `query-named-block-nodes`: the root node of each drive with a medium."""
    return [_node(drive) for drive in state.drives if drive.size_bytes is not None]


def _node(drive: Drive) -> dict[str, Any]:
    return {
        "file": drive.filename,
        "node-name": node_name(drive),
        "ro": False,
        "drv": "raw",
        "backing_file_depth": 0,
        "encrypted": False,
        "detect_zeroes": "off",
        "bps": 0, "bps_rd": 0, "bps_wr": 0,
        "iops": 0, "iops_rd": 0, "iops_wr": 0,
        "cache": {"writeback": True, "direct": False, "no-flush": False},
        "write_threshold": 0,
        "image": {
            "filename": drive.filename,
            "format": "raw",
            "virtual-size": drive.size_bytes,
            "dirty-flag": False,
        },
    }  # fmt: skip
