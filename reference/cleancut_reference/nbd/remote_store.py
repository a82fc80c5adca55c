"""The edge: exports of NBD servers as stores, over sockets that are waited for a limited time."""

import contextlib
import errno
import os
import socket
import time
from collections.abc import Iterator
from typing import Final, NoReturn, TypeVar

from cleancut_reference.arithmetic import round_up
from cleancut_reference.files import DiskFiles
from cleancut_reference.image.store import Data, is_zero
from cleancut_reference.nbd.address import InetAddress, UnixAddress
from cleancut_reference.nbd.inet import AddressError, is_loopback, resolve
from cleancut_reference.nbd.remote import Refused, Remote
from cleancut_reference.nbd.stream import BrokenProtocol, Dialogue
from cleancut_reference.nbd.wire import ExtentFlag
from cleancut_reference.opening import OpenError
from cleancut_reference.sizes import SECTOR_BYTES
from cleancut_reference.unix_socket import MAX_PATH_BYTES

TIMEOUT_S: Final = 30.0
MAX_REQUEST_BYTES: Final = 1 << 20
MAX_STATUS_BYTES: Final = 1 << 30
Result = TypeVar("Result")


class NbdServers:
    """Connects to NBD servers: sockets where files may lie, and ports of the loopback interface.

    Those of the command line may be anywhere. A server that does not answer in time is given up.
    """

    def __init__(self, files: DiskFiles, timeout_s: float = TIMEOUT_S) -> None:
        self._files = files
        self.timeout_s = timeout_s
        self._wires: set[Wire] = set()

    def connect(
        self, address: UnixAddress | InetAddress, export: str, anywhere: bool
    ) -> "NbdStore":
        """The export of a server; raises OpenError."""
        if isinstance(address, InetAddress):
            connection = self._connect_inet(address, anywhere)
        else:
            connection = self._connect_unix(address, anywhere)
        wire = Wire(connection, self)
        self._wires.add(wire)
        try:
            return NbdStore(wire, export)
        except OpenError:
            wire.close()
            raise

    def _connect_unix(self, address: UnixAddress, anywhere: bool) -> socket.socket:
        could_not = f"Failed to connect to '{address.path}'"
        if len(os.fsencode(address.path)) > MAX_PATH_BYTES:
            raise OpenError(f"UNIX socket path '{address.path}' is too long")
        if not address.path or "\0" in address.path:
            raise OpenError(f"{could_not}: {os.strerror(errno.ECONNREFUSED)}")
        path = self._files.locate(address.path, anywhere)
        if path is None:
            raise OpenError(f"{could_not}: it lies outside the image root '{self._files.root}'")
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.settimeout(self.timeout_s)
            folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            try:  # however long the folder's name is
                connection.connect(f"/proc/self/fd/{folder}/{path.name}")
            finally:
                os.close(folder)
        except OSError as error:
            connection.close()
            raise OpenError(f"{could_not}: {_reason(error)}") from None
        return connection

    def _connect_inet(self, address: InetAddress, anywhere: bool) -> socket.socket:
        could_not = f"Failed to connect to '{address.host}:{address.port}'"
        if not anywhere and not is_loopback(address):
            raise OpenError(f"{could_not}: this server connects to loopback only")
        try:
            family, place = resolve(address, ask=anywhere)
        except AddressError as error:
            raise OpenError(str(error)) from None
        connection = socket.socket(family, socket.SOCK_STREAM)
        try:
            connection.settimeout(self.timeout_s)
            connection.connect(place)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError as error:
            connection.close()
            raise OpenError(f"{could_not}: {_reason(error)}") from None
        return connection

    def forget(self, wire: "Wire") -> None:
        """A connection is closed."""
        self._wires.discard(wire)

    def hang_up(self) -> None:
        """End all connections, so that nobody waits for a server any more."""
        for wire in list(self._wires):
            wire.abort()


class Wire:
    """A connection; once it has failed it stays broken."""

    def __init__(self, connection: socket.socket, servers: NbdServers) -> None:
        self._socket = connection
        self._servers = servers
        self._received = bytearray()
        self._broken = False

    def hold(self, remote: Remote, dialogue: Dialogue[NoReturn, Result]) -> Result:
        """Hold a dialogue to its end; raises OSError where server or connection fail."""
        if self._broken:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        try:
            return self._hold(remote, dialogue)
        except (BrokenProtocol, ConnectionError, TimeoutError, EOFError):
            self._broken = True
            raise

    def _hold(self, remote: Remote, dialogue: Dialogue[NoReturn, Result]) -> Result:
        deadline = time.monotonic() + self._servers.timeout_s
        try:
            wanted_bytes = next(dialogue)
            while True:
                if data := remote.data_to_send():
                    self._socket.settimeout(self._servers.timeout_s)
                    self._socket.sendall(data)
                wanted_bytes = dialogue.send(self._take(wanted_bytes, deadline))
        except StopIteration as end:
            result: Result = end.value
            return result

    def _take(self, wanted_bytes: int, deadline: float) -> bytes:
        while len(self._received) < wanted_bytes:
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                raise TimeoutError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT))
            self._socket.settimeout(left_s)
            piece = self._socket.recv(max(65536, wanted_bytes - len(self._received)))
            if not piece:
                raise EOFError
            self._received += piece
        taken = bytes(self._received[:wanted_bytes])
        del self._received[:wanted_bytes]
        return taken

    def say(self, data: bytes) -> None:
        """Send something that has no answer, if anybody is there."""
        if not self._broken:
            with contextlib.suppress(OSError):
                self._socket.sendall(data)

    def abort(self) -> None:
        """Whoever waits for the server waits no more."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """End the connection."""
        self._socket.close()
        self._servers.forget(self)


class NbdStore:
    """An export as a store; it neither grows nor shrinks."""

    def __init__(self, wire: Wire, export: str) -> None:
        self._wire = wire
        self._remote = Remote(export)
        try:
            wire.hold(self._remote, self._remote.greet())
        except (Refused, BrokenProtocol) as error:
            raise OpenError(str(error)) from None
        except EOFError:
            raise self._unread("Unexpected end-of-file before all data were read") from None
        except OSError as error:
            raise self._unread(f"Unable to read from socket: {_reason(error)}") from None

    def _unread(self, reason: str) -> OpenError:
        return OpenError(f"Failed to read {self._remote.phase}: {reason}")

    @property
    def size_bytes(self) -> int:
        """The size of the export, in whole sectors."""
        return round_up(self._remote.size_bytes, SECTOR_BYTES)

    @property
    def read_only(self) -> bool:
        """Whether the server lets nobody write."""
        return self._remote.read_only

    def read(self, offset_bytes: int, length_bytes: int) -> bytes:
        """The bytes of a range; zeros past the end."""
        end_bytes = min(offset_bytes + length_bytes, self._remote.size_bytes)
        pieces = [
            self._hold(self._remote.read(at, min(MAX_REQUEST_BYTES, end_bytes - at)))
            for at in range(offset_bytes, end_bytes, MAX_REQUEST_BYTES)
        ]
        missing_bytes = length_bytes - max(0, end_bytes - offset_bytes)
        return b"".join(pieces) + bytes(missing_bytes)

    def write(self, offset_bytes: int, data: Data) -> None:
        """Replace the bytes of a range; what is missing of the last sector stays zero."""
        view = memoryview(data).cast("B")
        inside_bytes = max(0, self._remote.size_bytes - offset_bytes)
        past = view[inside_bytes:]
        if offset_bytes + len(view) > self.size_bytes or not is_zero(past):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        view = view[:inside_bytes]
        for at in range(0, len(view), MAX_REQUEST_BYTES):
            piece = bytes(view[at : at + MAX_REQUEST_BYTES])
            self._hold(self._remote.write(offset_bytes + at, piece))

    def flush(self) -> None:
        """Return when the server says that what was written is safe."""
        self._hold(self._remote.flush())

    def truncate(self, size_bytes: int) -> None:
        """Nothing, unless more space is wanted: an export has the size that it has."""
        if size_bytes > self.size_bytes:
            raise OSError(errno.EINVAL, "Cannot grow NBD nodes")

    def data_ranges(self, offset_bytes: int, length_bytes: int) -> Iterator[tuple[int, int]]:
        """The parts of a range of which the server does not say that they read as zeros."""
        at, limit = offset_bytes, min(offset_bytes + length_bytes, self._remote.size_bytes)
        while at < limit:
            if not self._remote.tells_extents:
                yield at, limit
                return
            asked_bytes = min(limit - at, MAX_STATUS_BYTES)
            for length, flags in self._hold(self._remote.extents(at, asked_bytes)):
                end = min(at + length, limit)
                if at < end and ExtentFlag.ZERO not in flags:
                    yield at, end
                at = end

    def _hold(self, dialogue: Dialogue[NoReturn, Result]) -> Result:
        """Ask for something; a connection that fails is an error of input and output."""
        try:
            return self._wire.hold(self._remote, dialogue)
        except (BrokenProtocol, ConnectionError, TimeoutError, EOFError):
            raise OSError(errno.EIO, os.strerror(errno.EIO)) from None

    def close(self) -> None:
        """Say goodbye."""
        self._remote.leave()
        self._wire.say(self._remote.data_to_send())
        self._wire.close()


def _reason(error: OSError) -> str:
    return os.strerror(errno.ETIMEDOUT) if isinstance(error, TimeoutError) else error.strerror or ""
