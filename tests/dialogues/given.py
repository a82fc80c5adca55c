"""The images that lie there when a recorded dialogue begins."""

import json
import re
import subprocess
from pathlib import Path

from .recording import IMAGES, Recording

A, B = b"\x11", b"\x22"
MIB = 1 << 20

OTHERS: dict[str, dict[str, bytes]] = {
    "pit_odd_bytes_size": {"odd.img": A * (MIB + 100)},
    "pit_partial_last_cluster": {"odd.img": A * (MIB + 1536)},
    "pit_failed_tx_cleanup": {"t0.img": b"\x99" * (4 * MIB)},
}


def lay_out(recording: Recording, folder: Path) -> None:
    """Make the images of a dialogue; those that are opened, and not made by it, are empty."""
    files = {"a.img": A * (4 * MIB), "b.img": B * (4 * MIB)} | OTHERS.get(recording.name, {})
    files = {name: bytes(4 * MIB) for name in _opened(recording)} | files
    for name, content in files.items():
        (folder / name).write_bytes(content)
    if recording.name == "pit_sync_modes":
        _lay_out_chain(folder)


def lay_out_later(recording: Recording, folder: Path) -> None:
    """Make what the recorder made only after it had looked at the folder for the first time."""
    if recording.name == "err_drive_backup" and not (folder / "ro").exists():
        (folder / "ro").mkdir()
        (folder / "rofile").write_bytes(bytes(4 * MIB))


def needs_qemu_img(recording: Recording) -> bool:
    """Whether the dialogue has images that QEMU's tool makes or looks at."""
    notes = [record["note"] for record in recording.records if record["dir"] == "io"]
    return any("qemu-img" in note for note in notes)


def _lay_out_chain(folder: Path) -> None:
    """A full qcow2 image under one that has two clusters."""
    base, top = ["base.qcow2", "4M"], ["-b", "base.qcow2", "-F", "qcow2", "top.qcow2"]
    for words in (base, top):
        subprocess.run(
            ["qemu-img", "create", "-f", "qcow2", *words],
            cwd=folder,
            check=True,
            stdout=subprocess.DEVNULL,
        )
    for words in (
        ["-c", "write -P 0x11 0 4M", "base.qcow2"],
        ["-c", "write -P 0x33 1M 64k", "-c", "write -P 0x33 3M 64k", "top.qcow2"],
    ):
        subprocess.run(["qemu-io", *words], cwd=folder, check=True, stdout=subprocess.DEVNULL)


def _opened(recording: Recording) -> set[str]:
    """The files that the command line or a command opens by a driver's `filename`."""
    sent = [record.get("msg") for record in recording.records if record["dir"] == "send"]
    text = json.dumps([recording.command_line, sent]).replace("\\", "")
    pattern = rf'filename(?:=|": "){IMAGES}/([a-z0-9]+\.img)'
    return set(re.findall(pattern, text))
