"""A QMP connection as it is on the wire: what was sent and received, in order, and when.

The suite has a client of its own because it judges what a comfortable client hides: the order of
replies among events, several commands in one packet, bytes that are no JSON.
"""

import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

READ_BYTES: Final = 1 << 16
MAX_VALUE_BYTES: Final = 64 << 20  # what is longer is no reply, and shall not fill our memory
_WHITE: Final = " \t\r\n"


class Closed(Exception):
    """The server has closed the connection."""


class Late(Exception):
    """Nothing came in time."""


class Decoder:
    """Cuts a stream of bytes into JSON values; what is none comes out as bytes, line by line."""

    def __init__(self) -> None:
        self._bytes = b""
        self._json = json.JSONDecoder()

    def feed(self, data: bytes) -> Iterator[Any]:
        """The values and the lines of rubbish that are complete now."""
        self._bytes += data
        while line_end := self._bytes.find(b"\n") + 1:
            line, self._bytes = self._bytes[:line_end], self._bytes[line_end:]
            yield from self._line(line)
        yield from self._rest()
        if len(self._bytes) > MAX_VALUE_BYTES:
            rubbish, self._bytes = self._bytes, b""
            yield rubbish

    def rest(self) -> bytes:
        """What has come and is no complete value."""
        return self._bytes

    def _line(self, line: bytes) -> Iterator[Any]:
        try:
            text = line.decode().strip(_WHITE)
            while text:
                value, end = self._json.raw_decode(text)
                yield value
                text = text[end:].lstrip(_WHITE)
        except (ValueError, RecursionError):
            yield line

    def _rest(self) -> Iterator[Any]:
        """Objects that stand complete at the head of what has come, without a newline."""
        try:
            text = self._bytes.decode().lstrip(_WHITE)
            while text.startswith("{") and "}" in text:
                value, end = self._json.raw_decode(text)
                text = text[end:].lstrip(_WHITE)
                self._bytes = text.encode()
                yield value
        except (ValueError, RecursionError):
            return


class Connection:
    """A client's end of a QMP socket."""

    def __init__(self, path: Path, timeout_s: float) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(timeout_s)
        self._socket.connect(str(path))
        self._decoder = Decoder()
        self._inbox: list[Any] = []

    def send(self, data: bytes) -> None:
        """Send bytes as they are; raises Closed."""
        try:
            self._socket.sendall(data)
        except TimeoutError:
            raise Late from None
        except OSError:
            raise Closed from None

    def receive(self, timeout_s: float) -> Any:
        """The next value, or bytes that are none; raises Late or Closed."""
        deadline = time.monotonic() + timeout_s
        while not self._inbox:
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                raise Late
            self._socket.settimeout(left_s)
            try:
                data = self._socket.recv(READ_BYTES)
            except TimeoutError:
                raise Late from None
            except OSError:
                raise Closed from None
            if not data:
                raise Closed
            self._inbox += self._decoder.feed(data)
        return self._inbox.pop(0)

    def close(self) -> None:
        """Hang up."""
        self._socket.close()
