"""The answers of the query commands, in the shapes of the QMP schema."""

from collections.abc import Generator, Iterator, Mapping
from typing import Any

from cleancut_reference.block.dirty_bitmap import DirtyBitmap
from cleancut_reference.block.node import Drive, Node
from cleancut_reference.block.request import DiskRequest, Op, Outcome
from cleancut_reference.block.values import as_bool
from cleancut_reference.errors import strerror
from cleancut_reference.jobs.job import Job
from cleancut_reference.state import State
from cleancut_spec import cites


@cites("JOB-LIST-1", "JOB-PROGRESS-1", "POLICY-STOP-1")
def block_job_info(job: Job) -> dict[str, Any]:
    """One entry of `query-block-jobs`."""
    return {
        "type": "backup",
        "device": job.id,
        "len": job.length_bytes,
        "offset": job.offset_bytes,
        "busy": False,  # the job itself waits, for its copies and for its time
        "paused": job.user_paused,
        "speed": job.speed_bytes_per_s,
        "io-status": job.io_status,
        "ready": False,
        "status": str(job.status),
        "auto-finalize": job.settings.auto_finalize,
        "auto-dismiss": job.settings.auto_dismiss,
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
    """Why a job ended badly, once it has."""
    if not (job.over and job.ending):
        return {}
    return {"error": strerror(job.error or "ECANCELED")}


Query = Generator[DiskRequest, Outcome, list[dict[str, Any]]]
Infos = Mapping[str, Mapping[str, Any]]


def query_block(state: State, arguments: dict[str, Any]) -> Query:
    """The drives, each with its medium; with `flat` without the images below it."""
    infos = yield from _ask(state)
    flat = arguments.get("flat", False)
    return [_drive_info(state, drive, infos, flat) for drive in state.graph.drives if drive.shown]


def query_named_block_nodes(state: State, arguments: dict[str, Any]) -> Query:
    """All nodes, newest first; with `flat` each without the images below it."""
    infos = yield from _ask(state)
    flat = arguments.get("flat", False)
    return [_node_info(state, node, infos, flat) for node in reversed(state.graph.nodes.values())]


def _ask(state: State) -> Generator[DiskRequest, Outcome, Infos]:
    """What of all nodes only their images know."""
    outcome = yield DiskRequest(Op.INFO, "", nodes=tuple(state.graph.nodes))
    return outcome if isinstance(outcome, dict) else {}


def _drive_info(state: State, drive: Drive, infos: Infos, flat: bool) -> dict[str, Any]:
    """One entry of `query-block`."""
    info: dict[str, Any] = {
        "device": drive.name,
        "type": "unknown",
        "removable": drive.device is None,
        "locked": False,
    }
    if drive.device is not None:
        info["qdev"] = drive.device.qdev
        if drive.root is not None:
            info["io-status"] = drive.device.io_status
    if drive.root is not None:
        info["inserted"] = _node_info(state, drive.root, infos, flat)
    return info


def _node_info(state: State, node: Node, infos: Infos, flat: bool) -> dict[str, Any]:
    """One entry of `query-named-block-nodes`, and what `query-block` says of a medium."""
    below = node.next_image
    cache = node.options.get("cache", {})
    info: dict[str, Any] = {
        "file": node.filename,
        "node-name": node.name,
        "ro": node.read_only,
        "drv": node.driver,
        "backing_file_depth": 0 if below is None or flat else 1 + _depth(below),
        "encrypted": False,
        "detect_zeroes": node.options.get("detect-zeroes", "off"),
        "bps": 0, "bps_rd": 0, "bps_wr": 0,
        "iops": 0, "iops_rd": 0, "iops_wr": 0,
        "cache": {
            "writeback": True,
            "direct": as_bool("cache.direct", cache.get("direct", False)),
            "no-flush": as_bool("cache.no-flush", cache.get("no-flush", False)),
        },
        "write_threshold": 0,
        "image": _image_info(node, infos, flat),
    }  # fmt: skip
    bitmaps = [*_bitmaps_of_jobs(state, node), *map(_bitmap_info, reversed(node.bitmaps))]
    if bitmaps:
        info["dirty-bitmaps"] = bitmaps
    if "backing" in node.children:
        info["backing_file"] = node.children["backing"].filename
    return info


def _bitmaps_of_jobs(state: State, node: Node) -> Iterator[dict[str, Any]]:
    """What backups have marked: on their filters what may be read there and what is copied; on
    their sources what is not copied yet."""
    for job in reversed(state.jobs):
        if not job.over and node is job.filter:
            yield _bitmap_of_job(job, job.length_bytes)
            yield _bitmap_of_job(job, job.offset_bytes)
        elif not job.over and node is job.source:
            yield _bitmap_of_job(job, job.length_bytes - job.offset_bytes)


def _bitmap_of_job(job: Job, count_bytes: int) -> dict[str, Any]:
    return {
        "granularity": job.cluster_bytes,
        "count": count_bytes,
        "recording": False,
        "busy": False,
        "persistent": False,
    }


def _bitmap_info(bitmap: DirtyBitmap) -> dict[str, Any]:
    """One entry of `dirty-bitmaps`; a job's own bitmap has no name."""
    info: dict[str, Any] = {
        "granularity": bitmap.granularity_bytes,
        "count": bitmap.dirty_bytes,
        "recording": bitmap.recording,
        "busy": bitmap.busy,
        "persistent": bitmap.persistent,
    } | ({"inconsistent": True} if bitmap.inconsistent else {})
    return {"name": bitmap.name} | info if bitmap.name else info


def _depth(node: Node) -> int:
    """How many images lie below this one."""
    return sum(1 for _ in node.chain()) - 1


def _image_info(node: Node, infos: Infos, flat: bool) -> dict[str, Any]:
    """What an image and those below it are."""
    info: dict[str, Any] = {
        "filename": node.filename,
        "format": node.driver,
        "virtual-size": node.size_bytes,
        **infos.get(node.performer.name, {}),
    }
    if node.job is not None:  # a filter tells of the image below how much space it takes
        of_image = ("format-specific", "backing-filename", "backing-filename-format", "snapshots")
        info = {key: value for key, value in info.items() if key not in of_image}
    if node.below is not None and node.cluster_bytes > 1:
        info["cluster-size"] = node.cluster_bytes
    if node.protocol == "file":
        info["dirty-flag"] = False
    if "backing-filename" in info:
        folder, slash, _ = node.filename.rpartition("/")
        info["full-backing-filename"] = folder + slash + info["backing-filename"]
    below = node.next_image
    return info | {"backing-image": _image_info(below, infos, flat)} if below and not flat else info
