"""Drives and targets of an instance, all behind blkdebug: requests can be held and can fail."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from cleancut_conformance.case import Fault
from cleancut_conformance.images import CLUSTER_BYTES, make
from cleancut_conformance.targets.base import DriveFile, Setup
from cleancut_model.options import Options
from cleancut_spec.schedule import Move

FIRST_BYTE: Final = 0xD0  # what the drives hold at first


def setup_for(options: Options, moves: Sequence[Move], folder: Path) -> Setup:
    """The images of an instance, and the errors that a schedule has."""
    size_bytes, drives = options.clusters * CLUSTER_BYTES, {}
    for number in range(options.drives):
        for name, byte in ((f"d{number}", FIRST_BYTE + number), (f"t{number}", 0)):
            path, extents = folder / f"{name}.img", [[0, size_bytes, byte]]
            make(path, size_bytes, extents)
            drives[name] = DriveFile(path, size_bytes, extents, gate=True)
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
