"""What the engine asks of a disk, and what comes back."""

from dataclasses import dataclass
from enum import StrEnum


class Op(StrEnum):
    """The kinds of disk request."""

    READ = "read"
    WRITE = "write"
    OPEN_TARGET = "open-target"
    RESET_TARGET = "reset-target"
    DISCARD_TARGET = "discard-target"
    CLOSE_TARGET = "close-target"


@dataclass(frozen=True, slots=True)
class DiskRequest:
    """One request to a disk.

    `node` is `d0` for a drive and `d0.target` for the target of its backup. A target is opened by
    `path`, made if `create` is set and it does not exist; its content stays until RESET_TARGET
    empties it and gives it `length_bytes`. DISCARD_TARGET closes it and removes it if it was made.
    """

    op: Op
    node: str
    offset_bytes: int = 0
    length_bytes: int = 0
    data: bytes = b""
    path: str = ""
    create: bool = False


@dataclass(frozen=True, slots=True)
class Opened:
    """The answer to OPEN_TARGET: what the file is, its identity whatever its name, its head."""

    identity: str
    size_bytes: int
    created: bool
    head: bytes


@dataclass(frozen=True, slots=True)
class Failed:
    """The request failed with an errno, by name; `desc` where more is to be said."""

    errno: str
    desc: str = ""


#: What a disk request answers: data for READ, Opened for OPEN_TARGET, None for the others.
Outcome = bytes | Opened | Failed | None
