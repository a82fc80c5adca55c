"""What every target can do: start a process with drives, talk to it, look at its end."""

import contextlib
import os
import pty
import queue
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol, runtime_checkable

from cleancut_conformance.case import Case, Fault
from cleancut_conformance.images import fill, make
from cleancut_conformance.judge.image import Extents
from cleancut_conformance.targets.guests import ByNbd, Guests, lines_of
from cleancut_conformance.wire import Connection

START_S: Final = 60.0  # on a machine that is busy with other things
END_S: Final = 10.0
KEPT_LINES: Final = 40  # of what a target writes to its standard error


class TargetError(Exception):
    """The target cannot be started; the message names the program and why."""


@dataclass(frozen=True, slots=True)
class DriveFile:
    """A drive of a case: its file, and what is in it at first. No file: the drive is empty."""

    path: Path | None
    size_bytes: int = 0
    extents: Extents = field(default_factory=list)
    gate: bool = False  # its requests can be held
    target: bool = False  # of a backup; nothing is demanded of it by itself
    bps_write: int | None = None  # as much as may be written to it in a second


@dataclass(frozen=True, slots=True)
class Setup:
    """A folder with the images of a case, and the faults that it wants."""

    folder: Path
    drives: dict[str, DriveFile]
    faults: tuple[Fault, ...]

    @property
    def socket(self) -> Path:
        """Where the server is to listen."""
        return self.folder / "qmp.sock"

    def faults_of(self, name: str) -> list[Fault]:
        """The faults of a drive or another image."""
        return [fault for fault in self.faults if fault.node == name]

    def path(self, name: str) -> Path:
        """The file of an image by the name that the case uses: a drive's, or any other."""
        drive = self.drives.get(name)
        return drive.path if drive is not None and drive.path is not None else self.folder / name


def prepare(case: Case, folder: Path) -> Setup:
    """Make the images of a case in an empty folder."""
    drives = {}
    for index, (name, given) in enumerate(case.given.drives.items()):
        if given.size_bytes is None:
            drives[name] = DriveFile(None)
            continue
        extents = fill(index, given.size_bytes)
        if given.byte is not None:
            extents = [[0, given.size_bytes, given.byte]]
        path = folder / f"{name}.img"
        drives[name] = DriveFile(path, given.size_bytes, extents, given.gate, given.target,
                                 given.bps_write)  # fmt: skip
        make(path, given.size_bytes, extents)
    for name, (size_bytes, byte) in case.given.files.items():
        make(folder / name, size_bytes, [[0, size_bytes, byte]])
    return Setup(folder, drives, case.given.faults)


class Target(Protocol):
    """An implementation that can be judged."""

    @property
    def name(self) -> str:
        """What the user called it."""

    @property
    def capabilities(self) -> frozenset[str]:
        """What a case may need of it."""

    @property
    def at_once(self) -> bool:
        """Whether several cases can run at once, each on a server of its own."""

    @property
    def partial(self) -> bool:
        """Whether it may lack commands: what it does not list is skipped, by name."""

    def command(self, setup: Setup) -> list[str]:
        """The command line that serves these drives; empty if the server runs already."""

    def socket(self, setup: Setup) -> Path:
        """Where to find its QMP socket."""

    def target_text(self, setup: Setup, name: str) -> str:
        """How a backup command names the image that a case calls by this name."""


class Process(Protocol):
    """A running target: what a session uses of `Popen`."""

    pid: int
    returncode: int | None

    def poll(self) -> int | None:
        """The exit status, or None while it runs."""

    def wait(self, timeout: float | None = None) -> int:
        """The exit status, once there is one; raises TimeoutExpired."""


@runtime_checkable
class Starts(Protocol):
    """A target that starts its process in a way of its own."""

    def start(self, command: list[str], folder: Path, output: int, errors: int) -> Process:
        """Run the command in the folder, in a session of its own, with these two descriptors."""


@runtime_checkable
class Narrow(Protocol):
    """A target that knows of cases that do not fit it although it has their commands."""

    def unfit(self, case: Case) -> str:
        """What the case needs and the target does not have; empty if there is nothing."""


@runtime_checkable
class OfProfile(Protocol):
    """A target that is known to be like a version of QEMU."""

    @property
    def profile(self) -> str:
        """The version's name in `PROFILES`."""


@runtime_checkable
class Rewrites(Protocol):
    """A target that wants some requests of a case in another form."""

    def request(self, message: Any) -> Any:
        """The request as this target wants it."""


#: The sessions that are open, so that whoever ends the program can end them.
_open_sessions: "set[Session]" = set()


def close_all() -> None:
    """End the targets of all sessions, in whatever thread they run."""
    for session in list(_open_sessions):
        session.close()


class Session:
    """One run of a target: its process, its connection and what it prints."""

    def __init__(self, target: Target, setup: Setup, timeout_s: float) -> None:
        self.target = target
        self.setup = setup
        self.console: queue.Queue[tuple[str, str]] = queue.Queue()  # of guest, or none, and line
        self.guests: Guests | None = None  # None: the monitor makes the guests' requests
        self.command = target.command(setup)
        self._errors = setup.folder / "stderr"
        _open_sessions.add(self)
        self._process: Process | None = None
        try:
            if self.command:
                self._process = self._start()
            self.connection = self._connect(timeout_s)
            self.guests = Guests(target, setup, self.console) if isinstance(target, ByNbd) else None
        except BaseException:
            self.close()
            raise

    def _start(self) -> Process:
        # A program writes to a terminal line by line, to a pipe only when its buffer is full.
        reader, writer = pty.openpty()
        try:
            with self._errors.open("wb") as errors:
                process = self._run(writer, errors.fileno())
        except OSError as error:
            os.close(reader)
            raise TargetError(f"cannot start {self.command[0]}: {error.strerror}") from None
        finally:
            os.close(writer)
        threading.Thread(target=self._read_console, args=(reader,), daemon=True).start()
        return process

    def reconnect(self, timeout_s: float) -> None:
        """Hang up and connect once more."""
        self.connection.close()
        self.connection = self._connect(timeout_s)

    def end_process(self) -> None:
        """Kill the process."""
        if self._process is not None and self._process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def start_again(self, timeout_s: float) -> None:
        """Start the program once more, after its end."""
        self.connection.close()
        self.target.socket(self.setup).unlink(missing_ok=True)
        self._process = self._start()
        self.connection = self._connect(timeout_s)
        if self.guests is not None and isinstance(self.target, ByNbd):
            self.guests.close()
            self.guests = Guests(self.target, self.setup, self.console)

    def _run(self, output: int, errors: int) -> Process:
        if isinstance(self.target, Starts):
            return self.target.start(self.command, self.setup.folder, output, errors)
        return subprocess.Popen(
            self.command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=errors,
            cwd=self.setup.folder,
            start_new_session=True,  # Ctrl-C is for us; we end the target
        )

    def _read_console(self, reader: int) -> None:
        for line in lines_of(reader):
            self.console.put(("", line))

    def _connect(self, timeout_s: float) -> Connection:
        path = self.target.socket(self.setup)
        deadline = time.monotonic() + START_S
        while True:
            with contextlib.suppress(OSError):
                return Connection(path, timeout_s)
            if self._process is None:
                raise TargetError(f"nobody listens on {path}")
            if self._process.poll() is not None:
                raise self.no_start(self._process.returncode)
            if time.monotonic() > deadline:
                raise TargetError(f"{self.command[0]} opens no QMP socket in {START_S:.0f} s")
            time.sleep(0.01)

    def no_start(self, status: int | None) -> TargetError:
        """What to say of a program that ended before it greeted."""
        words = f"{self.command[0]} ended at once, {describe_exit(status)}: {self.last_error()}"
        return TargetError(words)

    def last_error(self) -> str:
        """The last line that the target wrote to its standard error."""
        return self.errors().rpartition("\n")[2] or "it says nothing"

    def errors(self) -> str:
        """The last lines that the target wrote to its standard error."""
        with contextlib.suppress(OSError):
            lines = self._errors.read_text(errors="replace").strip().splitlines()
            return "\n".join(lines[-KEPT_LINES:])
        return ""

    def wait(self, timeout_s: float = END_S) -> int | None:
        """The exit status of the process, once it has ended; None if it has not, or is not ours."""
        if self._process is None:
            return None
        try:
            return self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return None

    def close(self) -> None:
        """End the process, whatever it does."""
        _open_sessions.discard(self)
        if hasattr(self, "connection"):
            self.connection.close()
        if self.guests is not None:
            self.guests.close()
        self.end_process()


def describe_exit(status: int | None) -> str:
    """An exit status in words."""
    if status is None:
        return "still running"
    if status < 0:
        return f"killed by {signal.Signals(-status).name}"
    return f"exit status {status}"


@contextlib.contextmanager
def session_folder() -> Iterator[Path]:
    """A private folder, removed at the end."""
    folder = tempfile.mkdtemp(prefix="cleancut-")
    try:
        yield Path(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
