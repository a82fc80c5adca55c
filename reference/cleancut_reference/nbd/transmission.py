"""The second part of an NBD dialogue: requests to the export, and their replies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from cleancut_reference.nbd.handshake import Terms
from cleancut_reference.nbd.stream import BrokenProtocol, Dialogue
from cleancut_reference.nbd.wire import (
    MAX_PAYLOAD_BYTES,
    REQUEST,
    REQUEST_MAGIC,
    Command,
    CommandFlag,
    data_chunks,
    error_chunk,
    simple_reply,
    status_chunk,
)

_CHANGES: Final = (Command.WRITE, Command.WRITE_ZEROES, Command.TRIM)
_BUFFERED: Final = (Command.READ, Command.WRITE, Command.CACHE)

_NUMBERS: Final = frozenset(Command)

_MORE_FLAGS: Final[dict[int, CommandFlag]] = {  # FUA may always be given
    Command.WRITE_ZEROES: CommandFlag.NO_HOLE | CommandFlag.FAST_ZERO,
    Command.BLOCK_STATUS: CommandFlag.REQ_ONE,
}

_FAILURES: Final = {
    Command.READ: "reading from file failed",
    Command.WRITE: "writing to file failed",
    Command.WRITE_ZEROES: "writing to file failed",
    Command.TRIM: "discard failed",
    Command.FLUSH: "flush failed",
    Command.CACHE: "caching data failed",
    Command.BLOCK_STATUS: "can't get block status",
}


#: Length in bytes, and flags.
Extent = tuple[int, int]


@dataclass(frozen=True, slots=True, eq=False)
class Request:
    """What a client asks of the export; its range lies within it."""

    command: Command
    flags: CommandFlag
    cookie: int
    offset_bytes: int
    length_bytes: int
    data: bytes


class Transmission:
    """The server's side, after the handshake; `out` collects what it says."""

    def __init__(self, terms: Terms, out: bytearray) -> None:
        self._terms = terms
        self._out = out

    @property
    def contexts(self) -> tuple[str, ...]:
        """What the client is told of extents."""
        return self._terms.contexts

    def run(self) -> Dialogue[Request, None]:
        """Yield what the client asks, until it disconnects. What cannot be is answered here."""
        while True:
            magic, flags, number, cookie, offset_bytes, length_bytes = REQUEST.unpack(
                (yield REQUEST.size)
            )
            if magic != REQUEST_MAGIC:
                self._refuse(cookie, "EINVAL", f"invalid magic (got {magic:#x})")
                raise BrokenProtocol("a request does not begin with its magic number")
            if number == Command.DISC:
                return
            if number in _BUFFERED and length_bytes > MAX_PAYLOAD_BYTES:
                text = f"len ({length_bytes} ) is larger than max len ({MAX_PAYLOAD_BYTES})"
                self._refuse(cookie, "EINVAL", text)
                if number == Command.WRITE:
                    raise BrokenProtocol(f"a write of {length_bytes} bytes")
                continue
            data = (yield length_bytes) if number == Command.WRITE else b""
            fault = self._fault(number, flags, offset_bytes, length_bytes)
            if fault is not None:
                self._refuse(cookie, *fault)
                continue
            command = Command(number)
            yield Request(command, CommandFlag(flags), cookie, offset_bytes, length_bytes, data)

    def _fault(
        self, number: int, flags: int, offset_bytes: int, length_bytes: int
    ) -> tuple[str, str] | None:
        """What is wrong with a request: an errno and a text, in the order in which QEMU looks."""
        offer = self._terms.offer
        if number in _CHANGES and not offer.writable:
            return "EPERM", "Export is read-only"
        if offset_bytes + length_bytes > offer.size_bytes:
            errno = "ENOSPC" if number in (Command.WRITE, Command.WRITE_ZEROES) else "EINVAL"
            return errno, (
                f"operation past EOF; From: {offset_bytes}, Len: {length_bytes}, "
                f"Size: {offer.size_bytes}"
            )
        if self._forbidden_flags(number, flags):
            name = Command(number).text if number in _NUMBERS else "<unknown>"
            return "EINVAL", f"unsupported flags for command {name} (got {flags:#x})"
        if number not in _NUMBERS:
            return "EINVAL", f"invalid request type ({number}) received"
        if number == Command.BLOCK_STATUS and not length_bytes:
            return "EINVAL", "need non-zero length"
        if number == Command.BLOCK_STATUS and not self._terms.contexts:
            return "EINVAL", "CMD_BLOCK_STATUS not negotiated"
        return None

    def _forbidden_flags(self, number: int, flags: int) -> int:
        allowed = _MORE_FLAGS.get(number, 0)
        if number == Command.READ and self._terms.structured:
            allowed = CommandFlag.DF
        return flags & ~int(allowed | CommandFlag.FUA)

    def _refuse(self, cookie: int, errno_name: str, text: str) -> None:
        if self._terms.structured:
            self._out += error_chunk(cookie, errno_name, text)
        else:
            self._out += simple_reply(cookie, errno_name)

    def fail(self, request: Request, errno_name: str) -> None:
        """The request could not be done."""
        self._refuse(request.cookie, errno_name, _FAILURES[request.command])

    def reply(self, request: Request, data: bytes = b"") -> None:
        """The request has been done; `data` is what was read."""
        if request.command is not Command.READ:
            self._out += simple_reply(request.cookie)
        elif self._terms.structured:
            whole = CommandFlag.DF in request.flags
            self._out += data_chunks(request.cookie, request.offset_bytes, data, whole)
        else:
            self._out += simple_reply(request.cookie, data=data)

    def reply_extents(self, request: Request, found: Mapping[str, Sequence[Extent]]) -> None:
        """For each context: the extents from the request's offset on, each length with flags."""
        for name in self._terms.contexts:
            extents = found[name][:1] if CommandFlag.REQ_ONE in request.flags else found[name]
            number = self._terms.offer.contexts[name]
            last = name == self._terms.contexts[-1]
            self._out += status_chunk(request.cookie, number, extents, last)
