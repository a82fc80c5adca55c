"""The request stream: bytes in, JSON values and errors out, whatever the packets.

As QEMU does it: no separator is needed between values, strings may stand in single quotes, and what
is no JSON costs one error, after which the stream is read on.
"""

import re
from collections.abc import Iterator
from typing import Final

from cleancut_reference.qmp.parser import Bad, Value, parse

MAX_TOKEN_BYTES: Final = 64 << 20
MAX_DEPTH: Final = 1024


_STRING_STOP: Final = {
    ord('"'): re.compile(rb'["\\\x00-\x1f\xfe\xff]'),
    ord("'"): re.compile(rb"['\\\x00-\x1f\xfe\xff]"),
}
_WORD_BEGINS: Final = frozenset(b"-0123456789abcdefghijklmnopqrstuvwxyz")
_RECOVERED: Final = re.compile(rb"[\x00-\x1f\xfe\xff{}\[\]:,]")
_BARE_END: Final = re.compile(rb"[^\x21-\xfd]|[{}\[\],:'\"\x7f]")
_BARE: Final = frozenset(range(0x21, 0xFE)) - frozenset(b"{}[],:'\"\x7f")


class Lexer:
    """Cuts a stream of bytes into top-level values; keeps what is not complete."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._at = 0  # scanned so far
        self._depth = 0
        self._quote = 0
        self._quote_at = 0
        self._lost = False  # after bytes that begin nothing, until something may begin again

    def feed(self, data: bytes) -> Iterator[Value | Bad]:
        """What can be said after these bytes."""
        self._buffer += data
        while (cut := self._scan()) is not None:
            piece, desc = cut
            if desc:
                yield Bad(desc)
            elif piece:
                yield parse(piece)

    def _scan(self) -> tuple[bytes, str] | None:
        """Go on to the end of a value: its text, or why it is none; None if more is needed."""
        while self._at < len(self._buffer):
            desc = self._advance()
            if desc is None:
                break
            if desc or (self._depth <= 0 and not self._quote):
                return self._cut(desc)
        if len(self._buffer) > MAX_TOKEN_BYTES:
            self._at = len(self._buffer)
            return self._cut("JSON token size limit exceeded")
        return None

    def _advance(self) -> str | None:
        """Go past one mark, word or string: "" if it may stand there, else why not; None: wait."""
        if self._lost and not self._recover():
            return None
        byte = self._buffer[self._at]
        if self._quote:
            return self._in_string()
        if byte in _BARE and byte not in _WORD_BEGINS:
            return self._stray(self._at, self._at + 1)
        if byte in _BARE:
            end = _BARE_END.search(self._buffer, self._at)
            self._at = end.start() if end else self._at
            return "" if end else None
        self._at += 1
        if byte in b"'\"":
            self._quote, self._quote_at = byte, self._at - 1
        elif byte in b"{[":
            self._depth += 1
            return "JSON nesting depth limit exceeded" if self._depth > MAX_DEPTH else ""
        elif byte in b"}]":
            self._depth -= 1
        elif byte in b",:" and self._depth == 0:
            return "JSON parse error, expecting value"
        elif byte not in b" \t\r\n,:":
            return self._stray(self._at - 1, self._at)
        return ""

    def _recover(self) -> bool:
        """Drop what cannot begin anything; false if that is all there is."""
        found = _RECOVERED.search(self._buffer, self._at)
        del self._buffer[: found.start() if found else len(self._buffer)]
        self._at, self._lost = 0, found is None
        return found is not None

    def _stray(self, start: int, end: int) -> str:
        self._at, self._lost = end, True
        text = self._buffer[start:end].decode("utf-8", "replace")
        return f"JSON parse error, stray '{text}'"

    def _in_string(self) -> str | None:
        """Go on to the end of a string: "" if it is one, else why not; None: wait."""
        while stop := _STRING_STOP[self._quote].search(self._buffer, self._at):
            byte = self._buffer[stop.start()]
            self._at = stop.start() + 1
            if byte == self._quote:
                self._quote = 0
                return ""
            if byte != ord("\\"):
                return self._stray(self._quote_at, self._at)
            if self._at == len(self._buffer):  # what the backslash escapes is still to come
                self._at -= 1
                return None
            if 0x20 <= self._buffer[self._at] <= 0xFD:
                self._at += 1
        self._at = len(self._buffer)
        return None

    def _cut(self, desc: str) -> tuple[bytes, str]:
        piece = bytes(self._buffer[: self._at])
        del self._buffer[: self._at]
        self._at = self._depth = self._quote = 0
        return piece.strip(), desc
