"""The edge: a socket that waits for NBD clients."""

import errno
import ipaddress
import socket
from dataclasses import dataclass
from pathlib import Path

from cleancut_reference.nbd.address import InetAddress, UnixAddress
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
    host = "127.0.0.1" if address.host == "localhost" else address.host
    try:
        loopback = ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = False
    if not loopback:
        raise ListenError(f"This server listens on loopback only, not on '{address.host}'")
    family, place = _resolve(address, host)
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


def _resolve(address: InetAddress, host: str) -> tuple[int, tuple[str, int]]:
    family: int = socket.AF_UNSPEC
    if address.ipv4 is False or (address.ipv6 and not address.ipv4):
        family = socket.AF_INET6
    elif address.ipv6 is False or (address.ipv4 and not address.ipv6):
        family = socket.AF_INET
    flags = socket.AI_NUMERICHOST | socket.AI_PASSIVE
    try:
        found = socket.getaddrinfo(host, address.port, family, socket.SOCK_STREAM, 0, flags)
    except (socket.gaierror, UnicodeError) as error:
        reason = error.strerror if isinstance(error, socket.gaierror) else "it is no address"
        text = f"address resolution failed for {address.host}:{address.port}: {reason}"
        raise ListenError(text) from None
    family, *_, place = found[0]
    return family, (host, int(place[1]))
