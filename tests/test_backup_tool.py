"""A backup tool on qemu.qmp, on the reference and on QEMU alike: full, two increments, restore."""

import asyncio
import importlib.util
import random
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from qemu.qmp import QMPClient

from tests.pair import BARE, needs_qemu

TOOL = Path(__file__).parent.parent / "docs" / "examples" / "backup_tool.py"
DRIVES = ("d0", "d1")
SIZES_BYTES = (6 << 20, (5 << 20) + 3 * 512)
SERVERS = [
    pytest.param([sys.executable, "-m", "cleancut_reference.qemu"], id="reference"),
    pytest.param(["qemu-system-x86_64"], id="qemu", marks=[pytest.mark.qemu, needs_qemu]),
]
pytestmark = pytest.mark.skipif(not shutil.which("qemu-img"), reason="no qemu-img")


def load() -> Any:
    spec = importlib.util.spec_from_file_location("backup_tool", TOOL)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def start(server: list[str], folder: Path) -> subprocess.Popen[bytes]:
    command = [*server, *BARE, "-qmp", "unix:s,server=on,wait=off"]
    for name, size_bytes in zip(DRIVES, SIZES_BYTES, strict=True):
        (folder / f"{name}.img").write_bytes(random.Random(name).randbytes(size_bytes))
        command += ["-drive", f"if=none,id={name},file={name}.img,format=raw"]
    return subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL)


async def connect(path: Path, process: subprocess.Popen[bytes]) -> QMPClient:
    while not path.exists():
        assert process.poll() is None
        await asyncio.sleep(0.02)
    qmp = QMPClient()
    await qmp.connect(str(path))
    return qmp


@pytest.mark.parametrize("server", SERVERS)
def test_what_is_restored_is_what_was_there_at_the_last_cut(
    server: list[str], tmp_path: Path
) -> None:
    tool, folder = load(), tmp_path / "backups"
    folder.mkdir()
    process = start(server, tmp_path)
    try:
        at_the_cut = asyncio.run(save_three_times(tool, tmp_path, folder, process))
    finally:
        process.kill()
        process.wait()
    for name, content in at_the_cut.items():
        assert (tmp_path / f"{name}.img").read_bytes() != content, "guests wrote after the cut"
        assert len(tool.chain(folder, name)) == 3
        assert tool.restore(folder, name).read_bytes() == content
    increment, whole = (tool.chain(folder, "d0")[n].stat().st_size for n in (2, 0))
    assert increment < whole / 4


async def save_three_times(
    tool: Any, place: Path, folder: Path, process: subprocess.Popen[bytes]
) -> dict[str, bytes]:
    """What the drives held when the last backup was asked for."""
    qmp = await connect(place / "s", process)
    chance = random.Random(1)

    async def guests_write(qmp: QMPClient) -> None:
        for _ in range(6):
            which = chance.randrange(len(DRIVES))
            at = chance.randrange(SIZES_BYTES[which] // 512 - 300) * 512
            write = f"write -q -P {chance.randrange(256)} {at} {chance.randrange(1, 300) * 512}"
            line = {"command-line": f'qemu-io {DRIVES[which]} "{write}"'}
            await qmp.execute("human-monitor-command", line)

    await fail_twice(tool, qmp, folder)
    for kind in ("full", "incremental", "incremental"):
        await guests_write(qmp)
        content = {name: (place / f"{name}.img").read_bytes() for name in DRIVES}
        await tool.back_up(qmp, folder, DRIVES, kind, during=guests_write)
    with pytest.raises(tool.BackupError):
        await tool.back_up(qmp, folder, DRIVES, "full")
    await qmp.execute("quit")
    assert process.wait(30) == 0
    return content


async def fail_twice(tool: Any, qmp: QMPClient, folder: Path) -> None:
    """The second image cannot be made, or not be opened: nothing is left of the first."""
    before: Any = await qmp.execute("query-named-block-nodes")
    run = subprocess.run

    def fails_for_the_second(command: list[str], check: bool) -> None:
        wrong = ["--nonsense"] if f"{DRIVES[1]}.0" in " ".join(command) else []
        run([*command, *wrong], check=check, stderr=subprocess.DEVNULL)

    with (
        patch.object(subprocess, "run", fails_for_the_second),
        pytest.raises(tool.BackupError, match="status 1"),
    ):
        await tool.back_up(qmp, folder, DRIVES, "full")
    assert not list(folder.iterdir())
    null = {"driver": "null-co", "node-name": f"backup-{DRIVES[1]}"}
    await qmp.execute("blockdev-add", null)
    with pytest.raises(tool.ExecuteError, match="Duplicate nodes"):
        await tool.back_up(qmp, folder, DRIVES, "full")
    assert not list(folder.iterdir())
    await qmp.execute("blockdev-del", {"node-name": null["node-name"]})
    assert await qmp.execute("query-named-block-nodes") == before
