"""Persistent bitmaps between memory and image: read when a node is opened, stored when it goes.

While a node is open for writing, its image says of each bitmap that it is in use: what the image
has of it is not to be trusted if the process dies. An inconsistent bitmap is one that was in use
when its image was opened; all that can be done with it is to remove it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from cleancut_reference.bitmap import packed, unpacked
from cleancut_reference.block.dirty_bitmap import DirtyBitmap
from cleancut_reference.block.node import Node
from cleancut_reference.block.request import DiskRequest, Op
from cleancut_reference.image.image import Bitmap

Stored = Mapping[str, tuple[Bitmap, ...]]


def loaded(bitmaps: Iterable[Bitmap], size_bytes: int, read_only: bool) -> list[DirtyBitmap]:
    """The bitmaps that an image has, oldest first."""
    found = []
    for stored in bitmaps:
        bitmap = DirtyBitmap(stored.name, stored.granularity_bytes, size_bytes, persistent=True)
        bitmap.enabled = stored.recording and not stored.in_use
        bitmap.inconsistent, bitmap.read_only = stored.in_use, read_only
        if not stored.in_use:
            bitmap.bits = unpacked(stored.bits, len(bitmap.bits))
        found.append(bitmap)
    return found


def stored(nodes: Iterable[Node]) -> Stored:
    """What is to be stored in the images of these nodes, by name, before they are closed."""
    return {
        node.name: tuple(map(_of_image, persistent))
        for node in nodes
        if not node.read_only
        and (persistent := [bitmap for bitmap in reversed(node.bitmaps) if bitmap.persistent])
    }


def store_request(nodes: Iterable[Node]) -> DiskRequest | None:
    """Store the bitmaps of nodes that stay open; None where there are none."""
    bitmaps = stored(nodes)
    return DiskRequest(Op.STORE_BITMAPS, "", bitmaps=bitmaps) if bitmaps else None


def use_request(nodes: Iterable[Node]) -> DiskRequest | None:
    """Say again that the bitmaps of nodes are in use; None where there are none."""
    bitmaps = {
        name: tuple(replace(bitmap, in_use=True) for bitmap in found)
        for name, found in stored(nodes).items()
    }
    return DiskRequest(Op.STORE_BITMAPS, "", bitmaps=bitmaps) if bitmaps else None


def drop_request(node: Node, bitmap: DirtyBitmap) -> DiskRequest | None:
    """Remove a bitmap from the image; None where none can be in it."""
    if not bitmap.persistent or node.read_only:
        return None
    return DiskRequest(Op.DROP_BITMAP, node.name, options={"name": bitmap.name})


def _of_image(bitmap: DirtyBitmap) -> Bitmap:
    """A bitmap as the image keeps it; one that a job has frozen with what was recorded since."""
    bits = bitmap.bits
    if bitmap.successor is not None:
        bits = bytearray(map(max, bits, bitmap.successor.bits))
    return Bitmap(
        bitmap.name,
        bitmap.granularity_bytes,
        packed(bits),
        bitmap.recording,
        bitmap.inconsistent,
    )
