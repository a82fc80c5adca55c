"""Full backups and queries: the reference server beside QEMU, on the same files, in one run.

Both are started with one command line and spoken to by one client, in turn; each figure is the best
of several rounds by wall clock, from the request until the job is gone. A ratio above 1 says that
ours is faster. With --sparse only ours runs: its memory and time for images that hold 256 MiB
of data and are as large as stated.

    python benchmarks/backup.py
    python benchmarks/backup.py --mib 256 --rounds 5
    python benchmarks/backup.py --sparse

Needs `apt install qemu-system-x86`, but for --sparse.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from waiting import connect

BARE: Final = ["-machine", "none", "-nodefaults", "-display", "none"]
SERVERS: Final = {
    "ours": [sys.executable, "-m", "cleancut_reference.qemu"],
    "QEMU": ["qemu-system-x86_64"],
}
AT_ONCE: Final = 4
QUERIES: Final = ("query-jobs", "query-block-jobs", "query-block", "query-named-block-nodes")


class Client:
    """A server process, and one connection to it."""

    def __init__(self, process: subprocess.Popen[bytes], socket: Path) -> None:
        self.process = process
        self._socket = connect(socket)
        self._lines = self._socket.makefile()
        self._lines.readline()
        self.ask("qmp_capabilities")

    def ask(self, name: str, **arguments: Any) -> Any:
        """What a command returns; ends the program if it is refused."""
        named = {key.replace("_", "-"): value for key, value in arguments.items()}
        self._socket.sendall(json.dumps({"execute": name, "arguments": named}).encode())
        while "event" in (message := json.loads(self._lines.readline())):
            pass
        if "return" not in message:
            raise SystemExit(f"{name}: {message}")
        return message["return"]

    def back_up(self, drives: list[str], folder: Path) -> float:
        """The seconds until all jobs of one transaction are gone."""
        left = set(drives)
        actions = [
            {
                "type": "drive-backup",
                "data": {"device": drive, "sync": "full", "target": str(folder / f"{drive}.copy")},
            }
            for drive in drives
        ]
        request = {"execute": "transaction", "arguments": {"actions": actions}}
        started = time.perf_counter()
        self._socket.sendall(json.dumps(request).encode())
        while left:
            message = json.loads(self._lines.readline())
            data = message.get("data", {})
            if "error" in message or "error" in data:
                raise SystemExit(f"transaction: {message}")
            if data.get("status") == "null":
                left.discard(data["id"])
        return time.perf_counter() - started

    def queries_s(self, name: str, count: int) -> float:
        """The seconds that so many round trips take."""
        started = time.perf_counter()
        for _ in range(count):
            self.ask(name)
        return time.perf_counter() - started

    def peak_mib(self) -> float:
        """The most memory that the process has had."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        [line] = [line for line in status.splitlines() if line.startswith("VmHWM")]
        return int(line.split()[1]) / 1024


@contextmanager
def serving(command: list[str], images: dict[str, Path], folder: Path) -> Iterator[Client]:
    """A server with these drives, ready to be asked."""
    socket = folder / "qmp"
    words = [*command, *BARE, "-qmp", f"unix:{socket},server=on,wait=off"]
    for name, image in images.items():
        words += ["-drive", f"if=none,id={name},file={image},format=raw"]
    process = subprocess.Popen(words, cwd=folder)
    try:
        yield Client(process, socket)
    finally:
        process.kill()
        process.wait()
        socket.unlink(missing_ok=True)


def fill(path: Path, mib: int, size_mib: int | None = None) -> Path:
    """An image with so much data that is not zero, spread over its size."""
    block = os.urandom(1 << 20)
    apart = (size_mib or mib) // mib << 20
    with path.open("wb") as file:
        for number in range(mib):
            file.seek(number * apart)
            file.write(block)
        file.truncate((size_mib or mib) << 20)
    return path


def compare(arguments: argparse.Namespace, folder: Path) -> None:
    """Print what both need for one large drive, for four at once, and for queries."""
    one = {"d0": fill(folder / "d0.img", arguments.mib)}
    four = {f"d{n}": fill(folder / f"q{n}.img", arguments.mib // AT_ONCE) for n in range(AT_ONCE)}
    rounds: dict[str, dict[str, list[float]]] = {}
    for _ in range(arguments.rounds):
        for server, command in SERVERS.items():
            for what, images in (("one drive", one), ("four drives at once", four)):
                with serving(command, images, folder) as client:
                    took_s = client.back_up(list(images), folder)
                    rounds.setdefault(what, {}).setdefault(server, []).append(took_s)
            with serving(command, one, folder) as client:
                for query in QUERIES:
                    took_s = client.queries_s(query, arguments.queries)
                    rounds.setdefault(query, {}).setdefault(server, []).append(took_s)
    print(f"{'':<26} {'ours':>14} {'QEMU':>14}  ratio")
    for what, by_server in rounds.items():
        mine_s, theirs_s = (min(by_server[server]) for server in SERVERS)
        amount, unit = (arguments.queries, "/s") if what in QUERIES else (arguments.mib, "MiB/s")
        rates = [f"{amount / took_s:>8.0f} {unit:<5}" for took_s in (mine_s, theirs_s)]
        print(f"{what:<26} {rates[0]:>14} {rates[1]:>14}  {theirs_s / mine_s:.2f}")
    per_byte = min(rounds["four drives at once"]["ours"]) / min(rounds["one drive"]["ours"])
    print(f"ours, four drives at once, takes {per_byte:.2f} of the time of one as large")


def sparse(folder: Path, data_mib: int) -> None:
    """Print what ours needs for larger and larger images with the same data."""
    print(f"{'size':>8} {'peak memory':>12} {'time':>8} {'target on disk':>15}")
    for gib in (1, 4, 16, 64):
        image = fill(folder / "sparse.img", data_mib, gib << 10)
        with serving(SERVERS["ours"], {"d0": image}, folder) as client:
            took_s = client.back_up(["d0"], folder)
            peak_mib = client.peak_mib()
        copy = folder / "d0.copy"
        disk_mib = copy.stat().st_blocks * 512 >> 20
        print(f"{gib:>4} GiB {peak_mib:>8.1f} MiB {took_s:>6.1f} s {disk_mib:>11} MiB", flush=True)
        copy.unlink()


def main() -> int:
    """Measure, and print one line for each workload."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--mib", type=int, default=1024, help="size of the drive")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--queries", type=int, default=2000)
    parser.add_argument("--sparse", action="store_true", help="memory and time by an image's size")
    parser.add_argument("--folder", help="where the images lie while this runs")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
        if arguments.sparse:
            sparse(Path(name), min(arguments.mib, 256))
        elif shutil.which("qemu-system-x86_64") is None:
            raise SystemExit("not here: qemu-system-x86_64 (apt install qemu-system-x86)")
        else:
            compare(arguments, Path(name))
    return 0


if __name__ == "__main__":
    sys.exit(main())
