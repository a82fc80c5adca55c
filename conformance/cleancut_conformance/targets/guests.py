"""Guests that reach their drives by NBD, each through a `qemu-io` of its own."""

import contextlib
import os
import pty
import queue
import subprocess
import threading
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol, runtime_checkable

if TYPE_CHECKING:
    from cleancut_conformance.targets.base import Setup

_PROMPT: Final = "qemu-io> "


@runtime_checkable
class ByNbd(Protocol):
    """A target whose drives are NBD exports, each named after its drive."""

    @property
    def qemu_io(self) -> str:
        """The program that makes the guest's requests."""

    def nbd_socket(self, setup: "Setup") -> Path:
        """Where the exports are served."""


class Guests:
    """The guests of a session: a process for each drive that is used, started when it is."""

    def __init__(
        self, target: ByNbd, setup: "Setup", lines: "queue.Queue[tuple[str, str]]"
    ) -> None:
        self._program = target.qemu_io
        self._socket = target.nbd_socket(setup)
        self._folder = setup.folder
        self._lines = lines  # of guest and line
        self._running: dict[str, _Guest] = {}

    def ask(self, guest: str, command: str) -> None:
        """Give a guest a request, in the words of qemu-io; its lines will tell the result."""
        if guest not in self._running:
            export = f"nbd+unix:///{guest}?socket={self._socket}"
            words = [self._program, "-f", "raw", export]
            self._running[guest] = _Guest(guest, words, self._folder, self._lines)
        self._running[guest].ask(command)
        if command == "flush":  # of which qemu-io says nothing: the length stands for its end
            self._running[guest].ask("length")

    def close(self) -> None:
        """End the processes."""
        for guest in self._running.values():
            guest.close()


class _Guest:
    """One process. It is given a command when it prompts: it may leave unread what comes before."""

    def __init__(
        self, name: str, words: list[str], folder: Path, lines: "queue.Queue[tuple[str, str]]"
    ) -> None:
        self._name, self._lines = name, lines
        self._waiting: deque[str] = deque()
        self._prompts = False
        self._lock = threading.Lock()
        reader, writer = pty.openpty()
        try:
            self._process = subprocess.Popen(
                words, stdin=subprocess.PIPE, stdout=writer, stderr=writer, cwd=folder,
                start_new_session=True,
            )  # fmt: skip
        except OSError:
            os.close(reader)
            raise
        finally:
            os.close(writer)
        threading.Thread(target=self._read, args=(reader,), daemon=True).start()

    def ask(self, command: str) -> None:
        """Give it the command at its next prompt."""
        with self._lock:
            self._waiting.append(command)
            self._next()

    def _next(self) -> None:
        if not self._prompts or not self._waiting or self._process.stdin is None:
            return
        self._prompts = False
        with contextlib.suppress(OSError, ValueError):  # it has gone: the case sees its silence
            self._process.stdin.write(self._waiting.popleft().encode() + b"\n")
            self._process.stdin.flush()

    def _read(self, reader: int) -> None:
        for line in lines_of(reader, self._prompted):
            self._lines.put((self._name, line))

    def _prompted(self, rest: bytes) -> bytes:
        """What has come of a line without the prompts at its head."""
        while rest.startswith(_PROMPT.encode()):
            rest = rest[len(_PROMPT) :]
            with self._lock:
                self._prompts = True
                self._next()
        return rest

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        with self._lock, contextlib.suppress(OSError):  # what was not written never will be
            if self._process.stdin is not None:
                self._process.stdin.close()
        self._process.wait()


def lines_of(reader: int, head: Callable[[bytes], bytes] = lambda rest: rest) -> Iterator[str]:
    """The lines that come from a terminal until its other end is closed; closes it.

    `head` is shown what each line begins with, and takes away what is no part of it.
    """
    rest = b""
    while True:
        try:
            data = os.read(reader, 65536)
        except OSError:  # the other end is closed
            break
        if not data:
            break
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            yield head(line).decode(errors="replace").strip()
        rest = head(rest)
    os.close(reader)
