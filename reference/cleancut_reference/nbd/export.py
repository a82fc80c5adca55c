"""An export as the engine knows it."""

from dataclasses import dataclass, field

from cleancut_reference.block.dirty_bitmap import DirtyBitmap
from cleancut_reference.block.node import Drive
from cleancut_reference.nbd.handshake import Offer


@dataclass(slots=True, eq=False)
class Export:
    """A node that NBD clients may read, and write if it is `writable`.

    Their requests come in by a drive without a name, so that all holds for them that holds for a
    guest's. While it is shutting down it has no clients, but requests may still be under way.
    """

    id: str
    name: str
    description: str
    drive: Drive
    writable: bool
    bitmaps: list[DirtyBitmap]
    clients: set[object] = field(default_factory=set)
    shutting_down: bool = False

    def offer(self) -> Offer:
        """What clients are told of it."""
        assert self.drive.root is not None, "an exported node stays where it is"
        names = tuple(bitmap.name for bitmap in self.bitmaps)
        size_bytes = self.drive.root.size_bytes
        return Offer(self.name, self.description, size_bytes, self.writable, names)

    @property
    def busy(self) -> bool:
        """Whether a request of a client is under way."""
        traffic = self.drive.traffic
        assert traffic is not None
        return any(request.drive is self.drive for request in traffic.requests)
