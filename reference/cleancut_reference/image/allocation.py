"""Where an image holds data and where it reads as zeros, with what its backing images hold."""

from collections.abc import Iterator

from cleancut_reference.image.image import Extent, Image, Status


def allocation(image: Image, offset_bytes: int, length_bytes: int) -> Iterator[Extent]:
    """The parts of a range in order, without gaps, each either DATA or ZERO."""
    pending: Extent | None = None
    for part in _parts(image, offset_bytes, length_bytes):
        if pending is not None and pending.status is part.status:
            length_bytes = pending.length_bytes + part.length_bytes
            pending = Extent(pending.offset_bytes, length_bytes, part.status)
            continue
        if pending is not None:
            yield pending
        pending = part
    if pending is not None:
        yield pending


def _parts(image: Image, offset_bytes: int, length_bytes: int) -> Iterator[Extent]:
    for extent in image.block_status(offset_bytes, length_bytes):
        if extent.status is Status.ABSENT and image.backing is not None:
            yield from _shown_through(image.backing, extent)
        else:
            zero = extent.status in (Status.ABSENT, Status.ZERO)
            status = Status.ZERO if zero else Status.DATA
            yield Extent(extent.offset_bytes, extent.length_bytes, status)


def _shown_through(backing: Image, extent: Extent) -> Iterator[Extent]:
    """A part that the image itself does not hold; past the end of the backing image it is zero."""
    inside_end = max(extent.offset_bytes, min(extent.end_bytes, backing.size_bytes))
    if inside_end > extent.offset_bytes:
        yield from _parts(backing, extent.offset_bytes, inside_end - extent.offset_bytes)
    if inside_end < extent.end_bytes:
        yield Extent(inside_end, extent.end_bytes - inside_end, Status.ZERO)
