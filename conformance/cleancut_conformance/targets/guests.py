"""Guests that reach their drives by NBD, each through a `qemu-io` of its own."""

import contextlib
import os
import pty
import queue
import subprocess
import threading
from collections.abc import Iterator
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
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def ask(self, guest: str, command: str) -> None:
        """Give a guest a request, in the words of qemu-io; its lines will tell the result."""
        process = self._running.get(guest)
        if process is None:
            process = self._running[guest] = self._start(guest)
        # Of a flush qemu-io says nothing, so that the length stands for its end.
        text = f"{command}\nlength\n" if command == "flush" else f"{command}\n"
        assert process.stdin is not None
        with contextlib.suppress(OSError):  # it has gone: its silence is what the case sees
            process.stdin.write(text.encode())
            process.stdin.flush()

    def _start(self, guest: str) -> subprocess.Popen[bytes]:
        reader, writer = pty.openpty()
        command = [self._program, "-f", "raw", f"nbd+unix:///{guest}?socket={self._socket}"]
        try:
            process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=writer, stderr=writer, cwd=self._folder,
                start_new_session=True,
            )  # fmt: skip
        except OSError:
            os.close(reader)
            raise
        finally:
            os.close(writer)
        threading.Thread(target=self._read, args=(guest, reader), daemon=True).start()
        return process

    def _read(self, guest: str, reader: int) -> None:
        for line in lines_of(reader):
            while line.startswith(_PROMPT):
                line = line.removeprefix(_PROMPT)
            self._lines.put((guest, line))

    def close(self) -> None:
        """End the processes."""
        for process in self._running.values():
            process.kill()
            with contextlib.suppress(OSError):  # what was not written never will be
                if process.stdin is not None:
                    process.stdin.close()
            process.wait()


def lines_of(reader: int) -> Iterator[str]:
    """The lines that come from a terminal until its other end is closed; closes it."""
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
            yield line.decode(errors="replace").strip()
    os.close(reader)
