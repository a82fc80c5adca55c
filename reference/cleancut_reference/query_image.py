"""The edge: what queries show of an image and only the image knows."""

from typing import Any

from cleancut_reference.arithmetic import NS_PER_S, round_up
from cleancut_reference.image.image import Snapshot
from cleancut_reference.image.qcow2.image import Qcow2Image
from cleancut_reference.opening import OpenNode
from cleancut_reference.sizes import SECTOR_BYTES


def info(node: OpenNode) -> dict[str, Any]:
    """The members of QMP's ImageInfo that the core does not know."""
    actual_bytes = node.actual_bytes()
    found: dict[str, Any] = {} if actual_bytes is None else {"actual-size": actual_bytes}
    if node.driver == "file":
        found["virtual-size"] = round_up(node.image.size_bytes, SECTOR_BYTES)
    if isinstance(node.image, Qcow2Image) and node.driver == "qcow2":
        found |= _qcow2(node.image)
    return found


def _qcow2(image: Qcow2Image) -> dict[str, Any]:
    header = image.header
    data: dict[str, Any] = {
        "compat": "1.1",
        "compression-type": "zlib",
        "lazy-refcounts": bool(header.compatible & 1),
        "refcount-bits": 1 << header.geometry.refcount_order,
        "corrupt": bool(header.incompatible & 2),
        "extended-l2": False,
    }
    if image.bitmaps():
        data["bitmaps"] = [
            {
                "name": bitmap.name,
                "granularity": bitmap.granularity_bytes,
                "flags": ["in-use"] * bitmap.in_use + ["auto"] * bitmap.recording,
            }
            for bitmap in image.bitmaps()
        ]
    found: dict[str, Any] = {
        "cluster-size": image.cluster_bytes,
        "format-specific": {"type": "qcow2", "data": data},
    }
    if header.backing_file:
        found["backing-filename"] = header.backing_file
        if header.backing_format:
            found["backing-filename-format"] = header.backing_format
    if image.snapshots():
        found["snapshots"] = [snapshot_info(snapshot) for snapshot in image.snapshots()]
    return found


def snapshot_info(snapshot: Snapshot) -> dict[str, Any]:
    """An internal snapshot, as QMP's SnapshotInfo."""
    seconds, nanoseconds = divmod(snapshot.vm_clock_nanoseconds, NS_PER_S)
    icount = {} if snapshot.icount is None else {"icount": snapshot.icount}
    return {
        "id": snapshot.id,
        "name": snapshot.name,
        "vm-state-size": snapshot.vm_state_bytes,
        "date-sec": snapshot.date_seconds,
        "date-nsec": snapshot.date_nanoseconds,
        "vm-clock-sec": seconds,
        "vm-clock-nsec": nanoseconds,
    } | icount
