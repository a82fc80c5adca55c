"""What qemu-io prints, read as the results of guest requests."""

import contextlib
import errno
import os
import re
from dataclasses import dataclass
from typing import Final

from cleancut_conformance.qemu_io import size

_DONE: Final = re.compile(r"^(wrote|read|discard) \d+/(\d+) bytes at offset (\d+)$")
_FAILED: Final = re.compile(r"^(?:aio_)?(write|read|discard|flush) failed: (.+)$")
_MISMATCH: Final = re.compile(r"^Pattern verification failed at offset (\d+), \d+ bytes$")
_ERRNO: Final = {os.strerror(number): name for number, name in errno.errorcode.items()}
_HELD: Final = re.compile(r"^blkdebug: Suspended request '(\S+)'$")
_LENGTH: Final = re.compile(r"^[\d.]+ (bytes|[KMGT]iB)$")  # which stands for the end of a flush
_KIND: Final = {"wrote": "write", "read": "read", "discard": "discard"}
_REQUEST: Final = re.compile(r"(?:aio_)?(write|read|flush|discard)\b")


@dataclass(slots=True)
class Request:
    """A guest request whose result is still to come."""

    guest: str
    command: str
    result: str = ""

    @property
    def kind(self) -> str:
        """write, read, flush or discard."""
        match = _REQUEST.match(self.command)
        return match[1] if match else ""

    @property
    def offset_bytes(self) -> int | None:
        """Where it begins; None if it does not say so in plain words."""
        words = [word for word in self.command.split() if word[0] != "-"]
        with contextlib.suppress(ValueError):
            return size(words[-2]) if len(words) > 2 else None
        return None

    @property
    def waits(self) -> bool:
        """Whether the monitor's reply comes only after the request has ended."""
        return not self.command.startswith("aio_")


class Console:
    """Matches lines with requests: the oldest of the kind, and at the place, that the line names.

    A line without a guest comes from the target, whichever guest it is about.
    """

    def __init__(self) -> None:
        self.open: list[Request] = []
        self.held: set[str] = set()  # the tags under which requests were held
        self._mismatch = False

    def line(self, line: str, guest: str = "") -> Request | None:
        """The request whose result this line tells; None for any other line."""
        if (held := _HELD.match(line)) is not None:
            self.held.add(held[1])
            return None
        if _MISMATCH.match(line):
            self._mismatch = True
            return None
        if (failed := _FAILED.match(line)) is not None:
            return self._end(guest, failed[1], _ERRNO.get(failed[2], failed[2]))
        if (done := _DONE.match(line)) is not None:
            mismatch, self._mismatch = self._mismatch, False
            at_bytes = int(done[3])
            return self._end(guest, _KIND[done[1]], "mismatch" if mismatch else "ok", at_bytes)
        if guest and _LENGTH.match(line):
            return self._end(guest, "flush", "ok")
        return None

    def _end(
        self, guest: str, kind: str, result: str, at_bytes: int | None = None
    ) -> Request | None:
        for request in self.open:
            here = at_bytes is None or request.offset_bytes in (None, at_bytes)
            if request.kind == kind and here and guest in ("", request.guest):
                request.result = result
                self.open.remove(request)
                return request
        return None
