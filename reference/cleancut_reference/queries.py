"""The answers of the query commands, in the shapes of the QMP schema."""

from typing import Any

from cleancut_reference.block.node import Drive, Node
from cleancut_reference.errors import strerror
from cleancut_reference.jobs.backup import may_claim
from cleancut_reference.jobs.job import Job
from cleancut_reference.state import State
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
    return info | {"inserted": node_info(drive.root)} if drive.root else info


def named_nodes(state: State) -> list[dict[str, Any]]:
    """The answer of `query-named-block-nodes`: all nodes, newest first."""
    return [node_info(node) for node in reversed(state.graph.nodes.values())]


def node_info(node: Node) -> dict[str, Any]:
    """One entry of `query-named-block-nodes`, and what `query-block` says of a medium."""
    info = {
        "file": node.filename,
        "node-name": node.name,
        "ro": node.read_only,
        "drv": node.driver,
        "backing_file_depth": 0 if node.next_image is None else 1 + depth(node.next_image),
        "encrypted": False,
        "detect_zeroes": "off",
        "bps": 0, "bps_rd": 0, "bps_wr": 0,
        "iops": 0, "iops_rd": 0, "iops_wr": 0,
        "cache": {"writeback": True, "direct": False, "no-flush": False},
        "write_threshold": 0,
        "image": image_info(node),
    }  # fmt: skip
    return info


def depth(node: Node) -> int:
    """How many images lie below this one."""
    below = node.next_image
    return 0 if below is None else 1 + depth(below)


def image_info(node: Node) -> dict[str, Any]:
    """What an image and those below it are."""
    info: dict[str, Any] = {
        "filename": node.filename,
        "format": node.driver,
        "virtual-size": node.size_bytes,
        **node.details,
    }
    if node.driver not in ("null-co", "memory"):
        info["dirty-flag"] = False
    below = node.next_image
    return info | {"backing-image": image_info(below)} if below else info
