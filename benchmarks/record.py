"""What `cleancut record` adds to a request and its reply, beside a relay that only copies.

A client sends small requests, one after the other, to a server that answers at once: directly,
through a plain relay in Python, and through the recorder. Printed are medians and what is added.

    python benchmarks/record.py
    python benchmarks/record.py --requests 20000

Exit code 1 if a message takes 0.2 ms more than directly, or longer.
"""

import argparse
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from waiting import connect

from cleancut_conformance.relay import Relay
from cleancut_conformance.sockets import listen

WANTED_MS = 0.2  # what a message may cost at most
REQUEST = b'{"execute": "query-jobs", "id": "libvirt-12345"}\n'
REPLY = b'{"return": [], "id": "libvirt-12345"}\r\n'


def serve(path: Path) -> None:
    """Answer whatever comes, client after client, for ever."""
    server = listen(path)
    while True:
        client, _ = server.accept()
        while client.recv(65536):
            client.sendall(REPLY)


def relay(front: Path, back: Path) -> None:
    """Only copy, client after client, for ever."""
    server = listen(front)
    while True:
        client, _ = server.accept()
        with client, socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as other:
            other.connect(str(back))
            Relay(client, other, lambda direction, data: None).run()


def forked(work: object, *arguments: object) -> int:
    """The id of a process that does this work."""
    pid = os.fork()
    if pid == 0:
        try:
            work(*arguments)  # type: ignore[operator]
        finally:
            os._exit(1)
    return pid


def round_trips_ms(path: Path, count: int) -> list[float]:
    """How long each request took, from sending to the reply."""
    times = []
    with connect(path) as client:
        for _ in range(count):
            start = time.perf_counter()
            client.sendall(REQUEST)
            client.recv(65536)
            times.append((time.perf_counter() - start) * 1000)
    return times


def main() -> int:
    """Measure the three ways in turns, so that all see the same machine."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--requests", type=int, default=6000)
    parser.add_argument("--rounds", type=int, default=6)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="cleancut-") as name:
        folder = Path(name)
        back, copied, recorded = (folder / word for word in ("back", "copied", "recorded"))
        pids = [forked(serve, back), forked(relay, copied, back)]
        recorder = subprocess.Popen(
            [sys.executable, "-m", "cleancut_conformance", "record", "--listen", str(recorded),
             "--connect", str(back), "-o", str(folder / "t.jsonl")],
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            times: dict[Path, list[float]] = {back: [], copied: [], recorded: []}
            for path, found in [*times.items()] * given.rounds:
                found += round_trips_ms(path, given.requests // given.rounds)
            written = sum(1 for file in folder.glob("t*.jsonl") for _ in file.open())
        finally:
            recorder.terminate()
            recorder.wait()
            for pid in pids:
                os.kill(pid, 9)
                os.waitpid(pid, 0)
    direct, plain, full = (statistics.median(found) for found in times.values())
    print(f"round trip, median ms: direct {direct:.3f}, plain relay {plain:.3f}, record {full:.3f}")
    print(f"a message (half a round trip) takes {(full - direct) / 2:.3f} ms more than directly,")
    print(
        f"{(full - plain) / 2:.3f} ms more than through the plain relay ({full / plain:.2f} times)"
    )
    print(f"{written} records were written for {len(times[recorded])} requests")
    return 0 if (full - direct) / 2 < WANTED_MS else 1


if __name__ == "__main__":
    sys.exit(main())
