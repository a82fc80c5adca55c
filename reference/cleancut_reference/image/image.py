"""What every image format offers to the block layer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from cleancut_reference.image.store import Data


class ImageError(Exception):
    """An image that cannot be used so: which one, which field of it, and why."""

    def __init__(self, name: str, field: str, desc: str) -> None:
        super().__init__(f"{name}: {field}: {desc}")
        self.name = name
        self.field = field
        self.desc = desc


class Status(StrEnum):
    """What an image itself says of a part; ABSENT parts are its backing image's, or zero."""

    ABSENT = "absent"
    DATA = "data"
    ZERO = "zero"
    COMPRESSED = "compressed"


@dataclass(frozen=True, slots=True)
class Extent:
    """A part of an image with one status; `host_offset_bytes` is where in the store it lies."""

    offset_bytes: int
    length_bytes: int
    status: Status
    host_offset_bytes: int | None = None

    @property
    def end_bytes(self) -> int:
        """Where the part ends."""
        return self.offset_bytes + self.length_bytes


class Image(Protocol):
    """A virtual disk. A range that is not within it raises ImageError and changes nothing."""

    @property
    def name(self) -> str:
        """What messages call the image: its file name, mostly."""

    @property
    def format(self) -> str:
        """`raw` or `qcow2`, as QMP says it."""

    @property
    def size_bytes(self) -> int:
        """The size that the guest sees."""

    @property
    def cluster_bytes(self) -> int:
        """The unit in which the format allocates; 1 where it has none."""

    @property
    def backing(self) -> Image | None:
        """The image that shows through where this one is ABSENT."""

    def read(self, offset_bytes: int, length_bytes: int) -> bytes:
        """The bytes of a range as the guest sees them."""

    def write(self, offset_bytes: int, data: Data) -> None:
        """Replace the bytes of a range."""

    def write_compressed(self, offset_bytes: int, data: Data) -> None:
        """Replace whole clusters, compressed where that saves space."""

    def write_zeroes(self, offset_bytes: int, length_bytes: int, unmap: bool = False) -> None:
        """Make a range read as zeros; with `unmap`, give its space back."""

    def discard(self, offset_bytes: int, length_bytes: int) -> None:
        """Give back the space of the clusters that lie wholly in a range; they read as zeros."""

    def flush(self) -> None:
        """Return when everything written so far is safe from a crash."""

    def block_status(self, offset_bytes: int, length_bytes: int) -> Iterator[Extent]:
        """The parts of a range in order, each as long as can be, without gaps."""

    def resize(self, size_bytes: int) -> None:
        """Change the size that the guest sees; new space reads as zeros."""

    def close(self) -> None:
        """Write what is still in memory and let the store go; the image is used no more."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """An internal snapshot, as `query-block` lists it."""

    id: str
    name: str
    size_bytes: int
    vm_state_bytes: int
    date_seconds: int
    date_nanoseconds: int
    vm_clock_nanoseconds: int
    icount: int | None = None


class SnapshotImage(Image, Protocol):
    """An image with internal snapshots."""

    def snapshots(self) -> tuple[Snapshot, ...]:
        """The snapshots, oldest first."""

    def create_snapshot(
        self,
        name: str,
        date_seconds: int = 0,
        date_nanoseconds: int = 0,
        vm_clock_nanoseconds: int = 0,
    ) -> Snapshot:
        """Keep the content of now under a name; all or nothing, whenever the power fails."""

    def delete_snapshot(self, snapshot_id: str) -> None:
        """Remove a snapshot by its id; all or nothing, whenever the power fails."""


@dataclass(frozen=True, slots=True)
class Bitmap:
    """A persistent dirty bitmap: one bit a granule, the lowest bit of a byte first.

    `in_use` says that it was not stored after the last change of the data, so that its bits are not
    to be trusted. `recording` is QMP's word for a bitmap that is enabled.
    """

    name: str
    granularity_bytes: int
    bits: bytes
    recording: bool = True
    in_use: bool = False


class BitmapImage(Image, Protocol):
    """An image that keeps dirty bitmaps."""

    def bitmaps(self) -> tuple[Bitmap, ...]:
        """The bitmaps in the image."""

    def store_bitmaps(self, bitmaps: tuple[Bitmap, ...]) -> None:
        """Replace all bitmaps; all or nothing, whenever the power fails.

        From the next change of the data on they are marked as in use, until they are stored again.
        """


#: Opens the backing image that a header names: file name, and format if one is given.
OpenBacking = Callable[[str, str | None], Image]


def check_range(image: Image, offset_bytes: int, length_bytes: int) -> None:
    """Refuse a range that is not within the image."""
    if offset_bytes < 0 or length_bytes < 0 or offset_bytes + length_bytes > image.size_bytes:
        raise ImageError(
            image.name,
            "range",
            f"bytes {offset_bytes} to {offset_bytes + length_bytes} are not within the image, "
            f"which has {image.size_bytes}",
        )
