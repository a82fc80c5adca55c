"""A QEMU whose drives and targets stand on blkdebug, so that requests can be held and fail."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cleancut_conformance.case import Fault
from cleancut_conformance.images import make
from cleancut_conformance.targets import layers
from cleancut_conformance.targets.base import DriveFile, Setup
from cleancut_conformance.targets.qemu import Qemu
from cleancut_model.options import Options
from cleancut_spec.schedule import Move

CLUSTER_BYTES: Final = 65536
FIRST_BYTE: Final = 0xD0  # what the drives hold at first


@dataclass(frozen=True, slots=True)
class Machine(Qemu):
    """`qemu:PATH` with drives `d0` … and targets `t0` …, all of them behind blkdebug."""

    def command(self, setup: Setup) -> list[str]:
        """QEMU with these drives."""
        command = Qemu.command(self, Setup(setup.folder, {}, ()))
        for name, drive in setup.drives.items():
            faults = [fault for fault in setup.faults if fault.node == name]
            command += ["-drive", _drive(name, drive, faults)]
        return command


def _drive(name: str, drive: DriveFile, faults: Sequence[Fault]) -> str:
    path = str(drive.path).replace(",", ",,")
    words = [f"if=none,id={name},driver=raw,file.driver=blkdebug,auto-read-only=off"]
    words += ["file.image.driver=file", f"file.image.filename={path}"]
    for index, fault in enumerate(faults):
        for key, value in layers.rule(fault).items():
            text = ("on" if value else "off") if key == "once" else value
            words.append(f"file.inject-error.{index}.{key}={text}")
    return ",".join(words)


def setup_for(options: Options, moves: Sequence[Move], folder: Path) -> Setup:
    """The images of an instance, and the errors that a schedule has."""
    size_bytes, drives = options.clusters * CLUSTER_BYTES, {}
    for number in range(options.drives):
        for name, byte in ((f"d{number}", FIRST_BYTE + number), (f"t{number}", 0)):
            path, extents = folder / f"{name}.img", [[0, size_bytes, byte]]
            make(path, size_bytes, extents)
            drives[name] = DriveFile(path, size_bytes, extents)
    return Setup(folder, drives, tuple(_faults(moves)))


def _faults(moves: Sequence[Move]) -> list[Fault]:
    found = []
    for move in moves:
        name, label = move.label.name, move.label
        if name.startswith(("fail_copy_", "fail_cbw_")) and label.cluster is not None:
            op = name.rpartition("_")[2]
            node = f"{'d' if op == 'read' else 't'}{label.drive}"
            at_bytes = label.cluster * CLUSTER_BYTES
            found.append(Fault(node, op, at_bytes, label.errno or "EIO", False))
    return found
