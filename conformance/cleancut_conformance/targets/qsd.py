"""A real `qemu-storage-daemon`: drives are nodes, guests reach them by NBD."""

import copy
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cleancut_conformance.case import Case
from cleancut_conformance.targets import layers
from cleancut_conformance.targets.base import Setup, TargetError
from cleancut_conformance.targets.qemu import Qemu

_BACKUPS: Final = ("drive-backup", "blockdev-backup")


@dataclass(frozen=True, slots=True)
class StorageDaemon:
    """`qsd:PATH`: the daemon without a machine; it has no human monitor and no drives' names."""

    program: str
    qemu_io: str

    @property
    def name(self) -> str:
        """What the user called it."""
        return f"qsd:{self.program}"

    @property
    def capabilities(self) -> frozenset[str]:
        """A node always has a medium."""
        return frozenset({"guest-io", "files", "fault", "quit", "process"})

    @property
    def at_once(self) -> bool:
        """Each case starts a process."""
        return True

    @property
    def partial(self) -> bool:
        """It has no commands of a machine."""
        return True

    def command(self, setup: Setup) -> list[str]:
        """The daemon with a node and a writable export for each drive."""
        # With wait=off a client that is early is greeted twice now and then (seen on 7.2).
        command = [self.program, "--chardev", "socket,id=m,server=on,wait=on,path=qmp.sock"]
        command += ["--monitor", "chardev=m"]
        if setup.drives:
            command += ["--nbd-server", "addr.type=unix,addr.path=nbd.sock,max-connections=16"]
        for name, drive in setup.drives.items():
            faults = setup.faults_of(name)
            file: dict[str, Any] = {"driver": "file", "filename": str(drive.path)}
            node = {"driver": "raw", "node-name": name, "file": layers.node(file, faults)}
            command += ["--blockdev", json.dumps({**node, "auto-read-only": False})]
            export = {"type": "nbd", "id": f"export-{name}", "node-name": name, "name": name}
            command += ["--export", json.dumps({**export, "writable": True})]
        return command

    def socket(self, setup: Setup) -> Path:
        """In the case's folder."""
        return setup.socket

    def nbd_socket(self, setup: Setup) -> Path:
        """In the case's folder, which is the daemon's own."""
        return Path("nbd.sock")

    def target_text(self, setup: Setup, name: str) -> str:
        """As QEMU names it."""
        return Qemu(self.program).target_text(setup, name)

    def unfit(self, case: Case) -> str:
        """What it has are nodes, and no machine."""
        said = json.dumps([case.steps, case.then])
        return "drives that query-block would list" if '"query-block"' in said else ""

    def request(self, message: Any) -> Any:
        """A node has no drive's name: a job must be given its id, a snapshot the node's name."""
        message = copy.deepcopy(message)
        arguments = message.get("arguments")
        if not isinstance(arguments, dict):
            return message
        if message.get("execute") == "transaction":
            actions = arguments.get("actions")
            for action in actions if isinstance(actions, list) else []:
                if isinstance(action, dict):
                    _on_nodes(action.get("type"), action.get("data"))
        else:
            _on_nodes(message.get("execute"), arguments)
        return message


def _on_nodes(kind: Any, data: Any) -> None:
    if not isinstance(data, dict) or not isinstance(data.get("device"), str):
        return
    if kind in _BACKUPS:
        data.setdefault("job-id", data["device"])
    elif kind == "blockdev-snapshot-sync":
        data["node-name"] = data.pop("device")
        data.setdefault("snapshot-node-name", f"{data['node-name']}-overlay")


def storage_daemon(path: str) -> StorageDaemon:
    """The daemon at this path, with the qemu-io beside it or in the PATH; raises TargetError."""
    program = shutil.which(path)
    if program is None:
        raise TargetError(f"no program {path!r} that can be run (Debian: qemu-system-common)")
    beside = str(Path(program).with_name("qemu-io"))
    return StorageDaemon(program, which_qemu_io(beside))


def which_qemu_io(first: str = "qemu-io") -> str:
    """The program that makes guests' requests over NBD; raises TargetError."""
    found = shutil.which(first) or shutil.which("qemu-io")
    if found is None:
        raise TargetError("guests reach their drives by qemu-io, which is not here (qemu-utils)")
    return found
