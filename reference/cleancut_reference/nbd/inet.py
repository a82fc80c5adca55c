"""The edge: which place of a network an address means."""

import ipaddress
import socket

from cleancut_reference.nbd.address import InetAddress


class AddressError(Exception):
    """There is no such place; the message says why."""


def _host(address: InetAddress) -> str:
    """The host; nobody has to be asked for `localhost`."""
    return "127.0.0.1" if address.host == "localhost" else address.host


def is_loopback(address: InetAddress) -> bool:
    """Whether only programs of this machine are there."""
    try:
        return ipaddress.ip_address(_host(address)).is_loopback
    except ValueError:
        return False


def resolve(address: InetAddress, ask: bool = False) -> tuple[int, tuple[str, int]]:
    """The family, the host and the port; with `ask` name servers are asked. Raises AddressError."""
    host, family = _host(address), int(socket.AF_UNSPEC)
    if address.ipv4 is False or (address.ipv6 and not address.ipv4):
        family = socket.AF_INET6
    elif address.ipv6 is False or (address.ipv4 and not address.ipv6):
        family = socket.AF_INET
    flags = 0 if ask else socket.AI_NUMERICHOST | socket.AI_PASSIVE
    try:
        found = socket.getaddrinfo(host, address.port, family, socket.SOCK_STREAM, 0, flags)
    except (socket.gaierror, UnicodeError) as error:
        reason = error.strerror if isinstance(error, socket.gaierror) else "it is no address"
        text = f"address resolution failed for {address.host}:{address.port}: {reason}"
        raise AddressError(text) from None
    family, *_, place = found[0]
    return family, (str(place[0]), int(place[1]))
