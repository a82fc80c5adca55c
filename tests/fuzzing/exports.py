"""Exports of another NBD server, in memory: as large as the drives, one read-only, one broken."""

import errno
from typing import Final

from cleancut_reference.image.store import Data, MemoryStore
from cleancut_reference.nbd.address import InetAddress, UnixAddress
from cleancut_reference.opening import OpenError

SOCKET: Final = "s"
NAMES: Final = ("e0", "e1", "ro", "broken")


class Exported(MemoryStore):
    """The bytes of one export."""

    def __init__(self, size_bytes: int, name: str) -> None:
        super().__init__()
        super().truncate(size_bytes)
        self.read_only = name == "ro"
        self._broken = name == "broken"

    def write(self, offset_bytes: int, data: Data) -> None:
        if self._broken:
            raise OSError(errno.EIO, "broken")
        if offset_bytes + memoryview(data).nbytes > self.size_bytes:
            raise OSError(errno.EINVAL, "past the end")
        super().write(offset_bytes, data)

    def truncate(self, size_bytes: int) -> None:
        if size_bytes > self.size_bytes:
            raise OSError(errno.EINVAL, "past the end")


class Exports:
    """The server; it is at a socket in the folder."""

    def __init__(self, sizes_bytes: list[int]) -> None:
        sizes = {name: sizes_bytes[at % len(sizes_bytes)] for at, name in enumerate(NAMES)}
        self._stores = {name: Exported(size, name) for name, size in sizes.items()}

    def connect(self, address: UnixAddress | InetAddress, export: str, anywhere: bool) -> Exported:
        if address != UnixAddress(SOCKET):
            raise OpenError("Failed to connect: Connection refused")
        if export not in self._stores:
            raise OpenError("Requested export not available")
        return self._stores[export]

    def hang_up(self) -> None:
        """Nobody waits."""
