"""QEMU and the reference server side by side: the same lines to both, the replies compared."""

import json
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

QEMU = shutil.which("qemu-system-x86_64")
needs_qemu = pytest.mark.skipif(QEMU is None, reason="no qemu-system-x86_64 here")

BARE = ["-machine", "none", "-nodefaults", "-display", "none"]
PC = ["-machine", "pc", "-accel", "tcg", "-m", "64", "-nodefaults", "-display", "none", "-S"]
_NODE = re.compile(r"#block\d+")


class Client:
    """A plain QMP client: a line out, its reply back; events are kept apart."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(10)
        for _ in range(200):
            try:
                self._socket.connect(str(path))
                break
            except OSError:
                time.sleep(0.05)
        self._lines = self._socket.makefile("r")
        self.events: list[dict[str, Any]] = []
        self.read()
        self.send({"execute": "qmp_capabilities"})

    def read(self) -> dict[str, Any]:
        """The next message."""
        line = self._lines.readline()
        assert line, "the server has hung up"
        message: dict[str, Any] = json.loads(line)
        return message

    def send(self, request: dict[str, Any]) -> dict[str, Any]:
        """The reply."""
        self._socket.sendall(json.dumps(request).encode() + b"\n")
        while "event" in (message := self.read()):
            self.events.append(message)
        return message

    def wait(self, event: str, count: int = 1) -> dict[str, Any]:
        """The first event of a name, or the one of that number, past or to come."""
        while True:
            found = [message for message in self.events if message["event"] == event]
            if len(found) >= count:
                return found[count - 1]
            self.events.append(self.read())

    def read_to_end(self) -> None:
        """Keep the events until the server hangs up."""
        with suppress(ConnectionResetError):
            while line := self._lines.readline():
                self.events.append(json.loads(line))


def request(line: str) -> dict[str, Any]:
    """`command {arguments}`, or `hmp TEXT` for the human monitor."""
    name, _, rest = line.partition(" ")
    if name == "hmp":
        arguments: Any = {"command-line": rest}
        return {"execute": "human-monitor-command", "arguments": arguments}
    return {"execute": name, "arguments": json.loads(rest) if rest else {}}


def mask(value: Any) -> Any:
    """A reply without what must differ: generated names, and the order of keys within `json:`."""
    if isinstance(value, dict):
        return {key: mask(part) for key, part in value.items()}
    if isinstance(value, list):
        return [mask(part) for part in value]
    if isinstance(value, str) and value.startswith("json:"):
        return nested(json.loads(value[5:]))
    return _NODE.sub("#block", value) if isinstance(value, str) else value


def without(hide: frozenset[str], value: Any) -> Any:
    """A reply without the members of these names."""
    if isinstance(value, list):
        return [without(hide, part) for part in value]
    if isinstance(value, dict):
        return {key: without(hide, part) for key, part in value.items() if key not in hide}
    return value


def nested(flat: Any) -> Any:
    """Dotted keys as objects, since QEMU mixes both."""
    if not isinstance(flat, dict):
        return flat
    found: dict[str, Any] = {}
    for key, value in flat.items():
        *path, last = key.split(".")
        place = found
        for part in path:
            place = place.setdefault(part, {})
        place[last] = nested(value)
    return _listed(found)


def _listed(value: Any) -> Any:
    """Objects whose keys are numbers as lists."""
    if not isinstance(value, dict):
        return value
    inner = {key: _listed(part) for key, part in value.items()}
    numbered = bool(inner) and all(key.isdigit() for key in inner)
    return [inner[key] for key in sorted(inner, key=int)] if numbered else inner


class Pair:
    """Both servers, each with a folder of its own and the same images in it."""

    def __init__(
        self,
        qemu: Client,
        ours: Client,
        folders: tuple[Path, Path],
        processes: list[subprocess.Popen[bytes]],
    ) -> None:
        self.qemu, self.ours, self.folders = qemu, ours, folders
        self._processes = processes

    def quit(self) -> None:
        """Both end, with status 0."""
        for side in (self.qemu, self.ours):
            assert side.send({"execute": "quit"}) == {"return": {}}
        assert [process.wait(20) for process in self._processes] == [0, 0]

    def stop(self, number: int) -> None:
        """Both get a signal, and end."""
        for process in self._processes:
            process.send_signal(number)
            process.wait(20)

    def compare(self, *lines: str, hide: frozenset[str] = frozenset()) -> None:
        """Each line's replies are the same, but for members of these names."""
        for line in lines:
            theirs = without(hide, mask(self.qemu.send(request(line))))
            assert without(hide, mask(self.ours.send(request(line)))) == theirs, line

    def printed(self) -> tuple[str, str]:
        """What each has printed, without figures of speed."""
        return tuple(_plain((f / "out").read_text()) for f in self.folders)  # type: ignore[return-value]


def _plain(text: str) -> str:
    text = re.sub(r"(?m)^cleancut: listening .*\n", "", text)
    return re.sub(r"; .* ops/sec\)", "", text)


@contextmanager
def pair(
    folder: Path, *arguments: str, machine: list[str] = BARE, prepare: str = ""
) -> Iterator[Pair]:
    """Both servers with drives d0 and d1 of 4 MiB, a qcow2 file q.qcow2, and more arguments.

    The shell commands in `prepare` run in each folder before.
    """
    folders = folder / "qemu", folder / "ours"
    drives = ["if=none,id=d0,file=a.img,format=raw", "if=none,id=d1,file=b.img,format=raw"]
    options = [word for drive in drives for word in ("-drive", drive)]
    qemu = [str(QEMU), *machine, "-qmp", "unix:s,server=on,wait=off", *options, *arguments]
    ours = [sys.executable, "-m", "cleancut_reference", "--qmp", "unix:s"]
    ours += ["-S"] if "-S" in machine else []
    ours += ["-" + word if word.startswith("-") else word for word in [*options, *arguments]]
    processes = []
    for place, command in zip(folders, (qemu, ours), strict=True):
        place.mkdir(parents=True)
        for name in ("a.img", "b.img", "t.img"):
            with (place / name).open("wb") as file:
                file.truncate(4 << 20)
        if shutil.which("qemu-img"):
            create = ["qemu-img", "create", "-q", "-f", "qcow2", "q.qcow2", "4M"]
            subprocess.run(create, cwd=place, check=True)
        subprocess.run(prepare, cwd=place, check=True, shell=True)
        with (place / "out").open("wb") as out:
            processes.append(
                subprocess.Popen(command, cwd=place, stdout=out, stderr=subprocess.STDOUT)
            )
    try:
        yield Pair(Client(folders[0] / "s"), Client(folders[1] / "s"), folders, processes)
    finally:
        for process in processes:
            process.kill()
            process.wait()
