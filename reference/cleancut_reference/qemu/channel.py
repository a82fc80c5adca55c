"""What a monitor is reached by: `-chardev socket,…`, `unix:PATH,…`, `stdio`. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from cleancut_reference.drive_option import split
from cleancut_reference.qemu.command_line import CommandLineError


@dataclass(frozen=True, slots=True)
class UnixSocket:
    """A unix socket: to listen on, or to connect to; `option` is what named it."""

    option: str
    path: str
    server: bool


@dataclass(frozen=True, slots=True)
class Inherited:
    """A socket that the parent process has left open."""

    option: str
    descriptor: int
    server: bool


@dataclass(frozen=True, slots=True)
class StandardStreams:
    """Standard input and output."""


@dataclass(frozen=True, slots=True)
class Nothing:
    """Nobody is there."""


Channel = UnixSocket | Inherited | StandardStreams | Nothing

_SOCKET_OPTIONS: Final = frozenset({"path", "fd", "server", "wait", "nowait", "reconnect"})
_OTHER_SOCKETS: Final = ("tcp:", "udp:", "telnet:", "websocket:", "tn3270:", "vsock:")


def chardev(text: str) -> tuple[str, Channel]:
    """The id and the channel of a `-chardev`; raises CommandLineError."""
    option = f"-chardev {text}"
    backend, _, rest = text.partition(",")
    options = split(rest)
    if "backend" in (named := split(backend)):
        backend = named["backend"]
    if (name := options.pop("id", "")) == "":
        raise CommandLineError(f"{option}: chardev: no id specified")
    match backend:
        case "socket":
            return name, _socket(option, options)
        case "stdio":
            return name, StandardStreams()
        case "null":
            return name, Nothing()
        case other:
            raise CommandLineError(f"{option}: '{other}' is not a valid char driver name")


def character(option: str, text: str, chardevs: Mapping[str, Channel]) -> Channel:
    """The channel that `-qmp` and its like name in short; raises CommandLineError."""
    option = f"{option} {text}"
    if text == "stdio":
        return StandardStreams()
    if text in ("none", "null"):
        return Nothing()
    if text.startswith("chardev:"):
        name = text.removeprefix("chardev:")
        if name not in chardevs:
            raise CommandLineError(f'{option}: chardev "{name}" not found')
        return chardevs[name]
    if text.startswith("unix:"):
        path, _, rest = text.removeprefix("unix:").partition(",")
        if path.startswith("path="):
            path = path.removeprefix("path=")
        return _socket(option, {"path": path, **split(rest)})
    if text.startswith(_OTHER_SOCKETS):
        raise CommandLineError(f"{option}: only unix sockets are served; use unix:PATH")
    raise CommandLineError(f"{option}: '{text}' is not a valid char driver")


def _socket(option: str, options: Mapping[str, str]) -> Channel:
    for name in options:
        if name in ("host", "port", "to", "ipv4", "ipv6"):
            raise CommandLineError(f"{option}: only unix sockets are served; use path=")
        if name not in _SOCKET_OPTIONS:
            raise CommandLineError(f"{option}: Invalid parameter '{name}'")
    server = options.get("server", "off")
    for value in (server, options.get("wait", "off")):
        if value not in ("on", "off", "yes", "no"):
            raise CommandLineError(f"{option}: Parameter 'server' expects 'on' or 'off'")
    listens = server in ("on", "yes")
    if "path" in options:
        return UnixSocket(option, options["path"], listens)
    number = options.get("fd", "")
    if not number.isascii() or not number.isdigit():
        raise CommandLineError(f"{option}: Unable to parse FD number {number}")
    return Inherited(option, int(number), listens)
