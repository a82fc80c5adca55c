"""A small backup tool on QEMU's own client library: full and incremental backups of all drives.

python backup_tool.py QMP_SOCKET FOLDER full d0 d1         # begins chains: FOLDER/d0.0.qcow2, …
python backup_tool.py QMP_SOCKET FOLDER incremental d0 d1  # what has changed: FOLDER/d0.1.qcow2, …
python backup_tool.py - FOLDER restore d0 d1               # the newest state: FOLDER/d0.restored, …

All drives are taken at one cut, by one transaction, and nothing is kept unless all of it is there.
Needs qemu.qmp (PyPI) and qemu-img; talks to QEMU 5.2 or newer, or to Cleancut.
"""

import asyncio
import subprocess
import sys
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from qemu.qmp import ExecuteError, QMPClient

BITMAP = "since-last-backup"

#: What is to happen while the jobs run.
During = Callable[[QMPClient], Awaitable[None]]


class BackupError(Exception):
    """A backup that is not there; the message says of which drive, and why."""


async def back_up(
    qmp: QMPClient, folder: Path, drives: Sequence[str], kind: str, during: During | None = None
) -> None:
    """Back up the drives, `full` or `incremental`; raises BackupError or ExecuteError."""
    known = await media(qmp)
    images = {}
    for drive in drives:
        below = chain(folder, drive)
        if drive not in known:
            raise BackupError(f"{drive}: there is no such drive with a medium")
        if bool(below) != (kind == "incremental"):
            raise BackupError(f"{drive}: {folder} has {len(below)} backups of it")
        images[drive] = folder / f"{drive}.{len(below)}.qcow2"
        if images[drive].exists():
            raise BackupError(f"{drive}: {images[drive]} is there already")
    try:
        for drive, image in images.items():
            create(image, known[drive]["image"]["virtual-size"], chain(folder, drive))
        planned = [action for drive in drives for action in actions(drive, kind, known[drive])]
        await copy(qmp, images, planned, during)
    except (BackupError, ExecuteError):
        for image in images.values():
            image.unlink(missing_ok=True)
        if kind == "full":  # no increment may stand on a backup that is not there
            await forget(qmp, drives)
        raise


async def copy(
    qmp: QMPClient,
    images: dict[str, Path],
    planned: Sequence[dict[str, Any]],
    during: During | None,
) -> None:
    """Open the targets, run the jobs, and close what has been opened."""
    opened = []
    try:
        for drive, image in images.items():
            await add_node(qmp, f"backup-{drive}", image)
            opened.append(f"backup-{drive}")
        await run_jobs(qmp, planned, during)
    finally:
        for node in opened:
            await qmp.execute("blockdev-del", {"node-name": node})


async def run_jobs(
    qmp: QMPClient, planned: Sequence[dict[str, Any]], during: During | None
) -> None:
    """Start all jobs at one cut, and wait for the last to end."""
    jobs = {action["data"]["job-id"] for action in planned if action["type"] == "blockdev-backup"}
    arguments: dict[str, Any] = {"actions": list(planned)}
    if len(jobs) == len(planned):  # all jobs end well, or the bitmaps keep what they have
        arguments["properties"] = {"completion-mode": "grouped"}
    failed = []
    with qmp.listener(("BLOCK_JOB_COMPLETED", "BLOCK_JOB_CANCELLED")) as ends:
        await qmp.execute("transaction", arguments)
        if during is not None:
            await during(qmp)
        while jobs:
            event = await ends.get()
            job: Any = event["data"]
            jobs.discard(job["device"])
            if event["event"] == "BLOCK_JOB_CANCELLED" or "error" in job:
                failed.append(f"{job['device']}: {job.get('error', 'cancelled')}")
    if failed:
        raise BackupError("; ".join(failed))


def actions(drive: str, kind: str, medium: dict[str, Any]) -> list[dict[str, Any]]:
    """What the transaction does for a drive; a full backup begins to record what changes."""
    data = {"device": drive, "target": f"backup-{drive}", "job-id": drive, "sync": kind}
    if kind == "incremental":
        return [{"type": "blockdev-backup", "data": data | {"bitmap": BITMAP}}]
    old = any(bitmap.get("name") == BITMAP for bitmap in medium.get("dirty-bitmaps", []))
    record = f"block-dirty-bitmap-{'clear' if old else 'add'}"
    return [
        {"type": record, "data": {"node": drive, "name": BITMAP}},
        {"type": "blockdev-backup", "data": data},
    ]


async def forget(qmp: QMPClient, drives: Sequence[str]) -> None:
    """Remove the bitmaps, where they are."""
    for drive in drives:
        with suppress(ExecuteError):
            await qmp.execute("block-dirty-bitmap-remove", {"node": drive, "name": BITMAP})


async def media(qmp: QMPClient) -> dict[str, dict[str, Any]]:
    """What is in each drive that has a medium."""
    drives: Any = await qmp.execute("query-block")
    return {drive["device"]: drive["inserted"] for drive in drives if "inserted" in drive}


async def add_node(qmp: QMPClient, name: str, image: Path) -> None:
    """Open a drive's target."""
    file = {"driver": "file", "filename": str(image)}
    await qmp.execute("blockdev-add", {"driver": "qcow2", "node-name": name, "file": file})


def create(image: Path, size_bytes: int, below: Sequence[Path]) -> None:
    """An empty image, above the newest of those that are there; raises BackupError."""
    backing = ["-b", str(below[-1]), "-F", "qcow2"] if below else []
    command = ["qemu-img", "create", "-q", "-f", "qcow2", *backing, str(image), str(size_bytes)]
    try:
        subprocess.run(command, check=True)
    except subprocess.CalledProcessError as error:
        raise BackupError(f"{image}: qemu-img ends with status {error.returncode}") from None


def chain(folder: Path, drive: str) -> list[Path]:
    """A drive's backups, the full one first."""
    found = folder.glob(f"{drive}.*.qcow2")
    return sorted(found, key=lambda path: int(path.suffixes[-2].removeprefix(".")))


def restore(folder: Path, drive: str) -> Path:
    """The state of the newest backup as a raw image."""
    restored = folder / f"{drive}.restored"
    newest = chain(folder, drive)[-1]
    command = ["qemu-img", "convert", "-f", "qcow2", "-O", "raw", str(newest), str(restored)]
    subprocess.run(command, check=True)
    return restored


async def talk(socket: str, folder: Path, kind: str, drives: Sequence[str]) -> None:
    """One backup, over a connection of its own."""
    qmp = QMPClient("backup")
    await qmp.connect(socket)
    try:
        await back_up(qmp, folder, drives, kind)
    finally:
        await qmp.disconnect()


def main(words: Sequence[str]) -> int:
    """1 for a backup that failed, 2 for wrong use."""
    if len(words) < 4 or words[2] not in ("full", "incremental", "restore"):
        print(__doc__, file=sys.stderr)
        return 2
    socket, folder, kind, *drives = words
    try:
        if kind == "restore":
            for drive in drives:
                print(restore(Path(folder), drive))
        else:
            asyncio.run(talk(socket, Path(folder).resolve(), kind, drives))
            print(f"{kind}: {' '.join(drives)}")
    except (BackupError, ExecuteError) as error:
        print(f"backup: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
