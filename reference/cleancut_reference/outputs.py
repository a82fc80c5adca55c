"""What comes out of the engine."""

from dataclasses import dataclass
from typing import Any

from cleancut_reference.image.image import Extent


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer to a command: `return` or `error`, and `id` where the command had one."""

    body: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Event:
    """A QMP event, still without its timestamp."""

    name: str
    data: dict[str, Any]


@dataclass(frozen=True, slots=True)
class GuestDone:
    """A guest request has ended; `errno` is empty if it went well, `data` is what a read returned,
    `extents` what a request for the status did.

    `console` is what is to be printed about it, for a request that came through the monitor.
    """

    request: int
    errno: str
    data: bytes = b""
    extents: tuple[Extent, ...] = ()
    console: str = ""


@dataclass(frozen=True, slots=True)
class Console:
    """Something that the monitor's `qemu-io` prints besides the results of requests."""

    text: str


@dataclass(frozen=True, slots=True)
class HangUp:
    """The NBD clients of an export are to be disconnected."""

    export_id: str


@dataclass(frozen=True, slots=True)
class StopListening:
    """The NBD server is to let nobody in any more, and to disconnect all clients."""


@dataclass(frozen=True, slots=True)
class Shutdown:
    """The engine has ended; nothing comes after it."""


Output = Reply | Event | GuestDone | Console | HangUp | StopListening | Shutdown
