"""Targets that are Python programs start by a fork of one process that has imported them."""

import atexit
import contextlib
import errno
import json
import os
import select
import socket
import subprocess
import sys
import threading
import time
from functools import cache
from pathlib import Path
from typing import Final

from cleancut_conformance.targets import nursery

START_S: Final = 60.0  # within which the nursery must have imported its module

_lock: Final = threading.Lock()


class Forked:
    """A process that the nursery has forked, with the part of `Popen` that a session uses."""

    def __init__(self, status: socket.socket, command: list[str]) -> None:
        self._status = status
        self._command = command
        self._reading = threading.Lock()  # whoever ends a run waits beside whoever runs it
        self._rest = b""
        self.returncode: int | None = None
        status.setblocking(False)
        self.pid = self._number(START_S)
        if self.pid < 0:
            raise OSError(errno.ECHILD, f"the process that imports {command[2]} has ended")

    def poll(self) -> int | None:
        """The exit status, or None while the process runs."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the exit status; raises TimeoutExpired."""
        return self._number(timeout) if self.returncode is None else self.returncode

    def _number(self, timeout_s: float | None) -> int:
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        while True:
            left_s = None if deadline is None else max(0.0, deadline - time.monotonic())
            if not select.select([self._status], [], [], left_s)[0]:
                raise subprocess.TimeoutExpired(self._command, timeout_s or 0)
            with self._reading, contextlib.suppress(BlockingIOError):
                if self.returncode is not None:
                    return self.returncode
                data = self._status.recv(64)
                self._rest += data or b"-9\n"  # the nursery has gone, and took its children along
                line, end, rest = self._rest.partition(b"\n")
                if end:
                    self._rest = rest
                    if hasattr(self, "pid"):  # the second number, the last that comes
                        self.returncode = int(line)
                    return int(line)


class Nursery:
    """The process that has imported a module; what it forks runs `python -m` something."""

    def __init__(self, preload: str) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._control = ours
        self._process = subprocess.Popen(
            [sys.executable, "-P", nursery.__file__, str(theirs.fileno()), preload],
            stdin=subprocess.DEVNULL, pass_fds=[theirs.fileno()], start_new_session=True,
        )  # fmt: skip
        theirs.close()
        atexit.register(self.close)

    def start(self, command: list[str], folder: Path, output: int, errors: int) -> Forked:
        """Fork a process that runs `python -m MODULE ARGUMENTS…`, as the command says."""
        ours, theirs = socket.socketpair()
        request = {"argv": command[2:], "cwd": str(folder)}
        with theirs:
            fds = [output, errors, theirs.fileno()]
            with _lock:
                socket.send_fds(self._control, [json.dumps(request).encode()], fds)
        return Forked(ours, command)

    def close(self) -> None:
        """Hang up; the process ends by itself."""
        self._control.close()
        self._process.wait()


@cache
def _nursery(preload: str, path: str) -> Nursery:
    return Nursery(preload)


def start(preload: str, command: list[str], folder: Path, output: int, errors: int) -> Forked:
    """Run `python -m MODULE ARGUMENTS…` in a fork of a process that has imported `preload`."""
    with _lock:
        found = _nursery(preload, os.environ.get("PYTHONPATH", ""))
    return found.start(command, folder, output, errors)
