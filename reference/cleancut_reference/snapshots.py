"""The edge: internal snapshots of images, with the date of now."""

import errno
import time

from cleancut_reference.arithmetic import NS_PER_S
from cleancut_reference.block.request import DiskRequest, Op
from cleancut_reference.image.qcow2.image import Qcow2Image
from cleancut_reference.opening import OpenNode


def change_snapshots(node: OpenNode, request: DiskRequest) -> None:
    """Make the snapshot with this name, or delete it."""
    if not isinstance(node.image, Qcow2Image):
        raise OSError(errno.ENOTSUP, "no internal snapshots")
    name = str(request.options["name"])
    if request.op is Op.DELETE_SNAPSHOT:
        for snapshot in node.image.snapshots():
            if snapshot.name == name:
                node.image.delete_snapshot(snapshot.id)
        return
    seconds, nanoseconds = divmod(time.time_ns(), NS_PER_S)
    clock = int(request.options["vm_clock_nanoseconds"])
    node.image.create_snapshot(name, seconds, nanoseconds, clock)
