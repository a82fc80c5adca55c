"""Where an NBD server listens."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from cleancut_reference import errors

UNLIMITED: Final = 0


@dataclass(frozen=True, slots=True)
class UnixAddress:
    """A socket in the file system."""

    path: str


@dataclass(frozen=True, slots=True)
class InetAddress:
    """A port, or for a server the first free one up to `last_port`."""

    host: str
    port: str
    last_port: int | None = None
    ipv4: bool | None = None
    ipv6: bool | None = None


def read_address(kind: str, data: Mapping[str, Any]) -> UnixAddress | InetAddress:
    """The address that a client describes; raises QmpError for a kind that there is not."""
    match kind:
        case "unix":
            if data.get("abstract", False):
                raise errors.generic("Abstract sockets are open to everybody; use a path")
            return UnixAddress(data["path"])
        case "inet":
            ipv4, ipv6 = data.get("ipv4"), data.get("ipv6")
            if ipv4 is False and ipv6 is False:
                raise errors.generic("Cannot disable IPv4 and IPv6 at same time")
            return InetAddress(data["host"], data["port"], data.get("to"), ipv4, ipv6)
        case "fd":
            raise errors.generic(f"File descriptor named '{data['str']}' has not been found")
    raise errors.generic("socket family AF_VSOCK unsupported")


@dataclass(frozen=True, slots=True)
class Listen:
    """Wait for NBD clients from now on; the answer is None, or Failed with a description."""

    address: UnixAddress | InetAddress
    max_connections: int = UNLIMITED
