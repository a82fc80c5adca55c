"""The edge: a socket that waits for NBD clients."""

import errno
import socket
from dataclasses import dataclass
from pathlib import Path

from cleancut_reference.nbd.address import InetAddress, UnixAddress
from cleancut_reference.nbd.inet import AddressError, is_loopback, resolve
from cleancut_reference.unix_socket import MAX_PATH_BYTES, SocketError, listen


class ListenError(Exception):
    """Nobody can listen there; the message says why."""


@dataclass(slots=True)
class Listener:
    """A listening socket, and its name in the file system if it has one."""

    socket: socket.socket
    path: Path | None = None

    def close(self) -> None:
        """Let nobody in any more."""
        self.socket.close()
        if self.path is not None:
            self.path.unlink(missing_ok=True)


def open_listener(address: UnixAddress | InetAddress) -> Listener:
    """Listen at an address; raises ListenError."""
    if isinstance(address, InetAddress):
        return Listener(_listen_inet(address))
    if not address.path or "\0" in address.path:
        raise ListenError(f"Failed to bind socket to '{address.path}': it is no path")
    if len(address.path.encode()) > MAX_PATH_BYTES:
        raise ListenError(f"UNIX socket path '{address.path}' is too long")
    path = Path(address.path)
    try:
        return Listener(listen(path), path)
    except SocketError as error:
        raise ListenError(f"Failed to bind socket to {path}: {error.reason}") from None


def _listen_inet(address: InetAddress) -> socket.socket:
    if not is_loopback(address):
        raise ListenError(f"This server listens on loopback only, not on '{address.host}'")
    try:
        family, place = resolve(address)
    except AddressError as error:
        raise ListenError(str(error)) from None
    first = place[1]
    last = first if address.last_port is None else address.last_port
    for port in range(first, last + 1):
        server = socket.socket(family, socket.SOCK_STREAM)
        try:
            server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            server.bind((place[0], port))
            server.listen()
        except OSError as error:
            server.close()
            if error.errno != errno.EADDRINUSE:
                raise ListenError(f"Failed to bind socket: {error.strerror}") from None
            continue
        server.setblocking(False)
        return server
    raise ListenError("Failed to find an available port: Address already in use")
