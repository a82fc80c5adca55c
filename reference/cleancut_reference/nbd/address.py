"""Where an NBD server listens."""

from dataclasses import dataclass
from typing import Final

UNLIMITED: Final = 0


@dataclass(frozen=True, slots=True)
class UnixAddress:
    """A socket in the file system."""

    path: str


@dataclass(frozen=True, slots=True)
class InetAddress:
    """A port of the loopback interface, or the first free one up to `last_port`."""

    host: str
    port: str
    last_port: int | None = None
    ipv4: bool | None = None
    ipv6: bool | None = None


@dataclass(frozen=True, slots=True)
class Listen:
    """Wait for NBD clients from now on; the answer is None, or Failed with a description."""

    address: UnixAddress | InetAddress
    max_connections: int = UNLIMITED
