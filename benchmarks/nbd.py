"""Our NBD server against qemu-nbd: the same clients on the same files, in turn, in one run.

Each line is the best of several rounds, by wall clock. A ratio above 1 says that ours is faster.

    python benchmarks/nbd.py
    python benchmarks/nbd.py --mib 1024 --rounds 5

Needs `apt install qemu-utils libnbd-bin`.
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
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from waiting import connect

TOOLS: Final = ("nbdcopy", "qemu-img", "qemu-nbd")
SMALL_REQUESTS: Final = 5000


@contextmanager
def running(*command: str) -> Iterator[None]:
    """A server process, for as long as it is needed."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.terminate()
        process.wait()


@contextmanager
def ours(image: Path, folder: Path) -> Iterator[str]:
    """The reference, with the image as its drive; the URI of the export."""
    qmp, nbd = folder / "qmp", folder / "nbd"
    drive = f"d0=file:{image}"
    command = [sys.executable, "-m", "cleancut_reference", "--qmp", f"unix:{qmp}"]
    start = {"addr": {"type": "unix", "data": {"path": str(nbd)}}}
    with running(*command, "--drive", drive), connect(qmp) as client:
        replies = client.makefile()
        replies.readline()
        for name, arguments in (
            ("qmp_capabilities", {}),
            ("nbd-server-start", start),
            ("nbd-server-add", {"device": "d0", "writable": True}),
        ):
            client.sendall(json.dumps({"execute": name, "arguments": arguments}).encode())
            if "return" not in (reply := json.loads(replies.readline())):
                raise SystemExit(f"{name}: {reply}")
        yield f"nbd+unix:///d0?socket={nbd}"


@contextmanager
def theirs(image: Path, folder: Path) -> Iterator[str]:
    """qemu-nbd with the image; the URI of the export."""
    nbd = folder / "qemu"
    command = ["qemu-nbd", "-f", "raw", "-e", "16", "-t", "-x", "d0", "-k", str(nbd), str(image)]
    with running(*command):
        connect(nbd).close()
        yield f"nbd+unix:///d0?socket={nbd}"


def measure(command: list[str]) -> float:
    """How many seconds a client takes."""
    started = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def workloads(uri: str, data: Path) -> dict[str, list[str]]:
    """What clients do, by its name."""
    bench = ["qemu-img", "bench", "-f", "raw", "-s", "4096", "-c", str(SMALL_REQUESTS), uri]
    return {
        "nbdcopy, reading": ["nbdcopy", uri, "null:"],
        "nbdcopy, writing": ["nbdcopy", str(data), uri],
        f"{SMALL_REQUESTS} reads of 4 KiB": bench,
    }


def main() -> int:
    """Measure, and print one line for each workload."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--mib", type=int, default=256, help="size of the image")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    if missing := [name for name in TOOLS if shutil.which(name) is None]:
        raise SystemExit(f"not here: {', '.join(missing)} (apt install qemu-utils libnbd-bin)")
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        data, images = folder / "data", [folder / "ours.img", folder / "theirs.img"]
        block = os.urandom(1 << 20)
        for path in (data, *images):
            path.write_bytes(block * arguments.mib)
        uris = [
            stack.enter_context(server(image, folder))
            for server, image in zip((ours, theirs), images, strict=True)
        ]
        print(f"{'':<24} {'ours':>8} {'qemu-nbd':>9}  ratio")
        for what in workloads("", data):
            commands = [workloads(uri, data)[what] for uri in uris]
            rounds = [[measure(command) for command in commands] for _ in range(arguments.rounds)]
            mine, other = (min(times) for times in zip(*rounds, strict=True))
            print(f"{what:<24} {mine:>6.2f} s {other:>7.2f} s  {other / mine:.2f}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
