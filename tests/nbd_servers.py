"""Servers with two drives and an NBD socket: the reference and, where it is installed, QEMU."""

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from cleancut_conformance.wire import Closed, Connection

QEMU = shutil.which("qemu-system-x86_64")
ON_QEMU = pytest.param(
    "qemu", marks=[pytest.mark.qemu, pytest.mark.skipif(QEMU is None, reason="no QEMU here")]
)
TARGETS = ["reference", ON_QEMU]


class Server:
    """A running server; commands go in, replies come out, events are kept."""

    def __init__(self, folder: Path, process: subprocess.Popen[bytes]) -> None:
        self.folder = folder
        self.process = process
        self.nbd = folder / "n"
        self.events: list[dict[str, Any]] = []
        self._qmp = self._connect()
        self._qmp.receive(20)
        self("qmp_capabilities")

    def _connect(self) -> Connection:
        while True:
            try:
                return Connection(self.folder / "q", 20)
            except (FileNotFoundError, ConnectionRefusedError):
                assert self.process.poll() is None, (self.folder / "out").read_text()
                time.sleep(0.01)

    def try_(self, command: str, **arguments: Any) -> dict[str, Any]:
        """The whole reply."""
        named = {name.replace("_", "-"): value for name, value in arguments.items()}
        self._qmp.send(json.dumps({"execute": command, "arguments": named}).encode())
        while True:
            message = self._qmp.receive(20)
            if "event" not in message:
                assert isinstance(message, dict)
                return message
            self.events.append(message)

    def __call__(self, command: str, **arguments: Any) -> Any:
        """What the command returns; it must not fail."""
        reply = self.try_(command, **arguments)
        assert "return" in reply, reply
        return reply["return"]

    def error(self, command: str, **arguments: Any) -> str:
        """The text of the error; the command must fail."""
        return str(self.try_(command, **arguments)["error"]["desc"])

    def wait_for(self, name: str, count: int = 1) -> list[dict[str, Any]]:
        """Events of one name, when so many have come."""
        while len(self.seen(name)) < count:
            self.events.append(self._qmp.receive(20))
        return self.seen(name)

    def seen(self, name: str) -> list[dict[str, Any]]:
        return [event["data"] for event in self.events if event["event"] == name]

    def start_nbd(self, **arguments: Any) -> None:
        self("nbd-server-start", addr=unix(self.nbd), **arguments)

    def node_name(self, device: str) -> str:
        drives = {drive["device"]: drive for drive in self("query-block")}
        return str(drives[device]["inserted"]["node-name"])

    def rest(self) -> None:
        """Read events until the server hangs up."""
        try:
            while True:
                self.events.append(self._qmp.receive(20))
        except Closed:
            pass


def unix(path: Path | str) -> dict[str, Any]:
    return {"type": "unix", "data": {"path": str(path)}}


def command_line(target: str, folder: Path) -> list[str]:
    drives = [f"d{index}" for index in (0, 1)]
    if target == "reference":
        command = [sys.executable, "-m", "cleancut_reference", "--qmp", f"unix:{folder}/q"]
        for drive in drives:
            command += ["--drive", f"{drive}=file:{folder}/{drive}.img"]
        return [*command, "--drive", "cd=empty", "--image-root", str(folder)]
    assert QEMU is not None
    command = [QEMU, "-machine", "none", "-nodefaults", "-display", "none"]
    command += ["-qmp", f"unix:{folder}/q,server=on,wait=off"]
    for drive in drives:
        command += ["-drive", f"if=none,id={drive},format=raw,file={folder}/{drive}.img"]
    return [*command, "-drive", "if=none,id=cd"]


@contextmanager
def serving(target: str, folder: Path, content: bytes = bytes(1 << 20)) -> Iterator[Server]:
    """A server whose drives d0 and d1 hold the content; cd is empty."""
    folder.mkdir(exist_ok=True)
    for name in ("d0.img", "d1.img"):
        with (folder / name).open("wb") as image:
            image.truncate(len(content))
            for at in range(0, len(content), 4096):  # holes stay holes
                if any(block := content[at : at + 4096]):
                    image.seek(at)
                    image.write(block)
    with (folder / "out").open("wb") as out:
        process = subprocess.Popen(command_line(target, folder), stdout=out, stderr=out)
    try:
        yield Server(folder, process)
        assert b"Traceback" not in (folder / "out").read_bytes()
    finally:
        process.kill()
        process.wait()
