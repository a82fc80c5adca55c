"""When a throttle group lets requests through: QEMU 7.2 and the server beside each other.

    python -m tests.throttling            # prints both, request by request, in seconds
    python -m tests.throttling --record   # and keeps QEMU's in tests/data/throttling-7.2.json

Each request begins when the one before it has ended; the node below the throttle takes no time.
Told is the earliest end of each request in several rounds, since a busy machine only adds to it.
"""

import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

from tests.pair import Client, pair, request

RECORDED: Final = Path(__file__).parent / "data" / "throttling-7.2.json"
ROUNDS: Final = 3
K, M = 1 << 10, 1 << 20
#: Limits of a group, and the requests: direction, bytes, how often.
CASES: Final[dict[str, tuple[dict[str, int], list[tuple[str, int]]]]] = {
    "bytes written": ({"bps-write": 512 * K}, [("write", 256 * K)] * 4),
    "small writes": ({"bps-write": 512 * K}, [("write", 16 * K)] * 20),
    "a large write": ({"bps-write": M}, [("write", 2 * M), ("write", 4 * K)]),
    "bytes in all": ({"bps-total": 512 * K}, [("write", 128 * K), ("read", 128 * K)] * 3),
    "the other direction": ({"bps-read": 64 * K}, [("write", M)] * 3),
    "operations": ({"iops-total": 10}, [("write", 4 * K)] * 12),
    "large operations": ({"iops-write": 10, "iops-size": 4 * K}, [("write", 8 * K)] * 6),
    "a burst": ({"bps-write": 128 * K, "bps-write-max": M}, [("write", 128 * K)] * 10),
    "a long burst": (
        {"bps-write": 128 * K, "bps-write-max": 256 * K, "bps-write-max-length": 3},
        [("write", 128 * K)] * 8,
    ),
    "a burst of operations": ({"iops-total": 5, "iops-total-max": 10}, [("write", 4 * K)] * 16),
}


def measure(side: Client, requests: list[tuple[str, int]]) -> list[float]:
    """When each request has ended, in seconds since the first began."""
    begin, ended = time.monotonic(), []
    for direction, length_bytes in requests:
        side.send(request(f'hmp qemu-io t "{direction} -q 0 {length_bytes}"'))
        ended.append(round(time.monotonic() - begin, 2))
    return ended


def main() -> None:
    """Measure all cases on both servers."""
    recorded: dict[str, Any] = {}
    for name, (limits, requests) in CASES.items():
        group = ",".join(f"x-{limit}={value}" for limit, value in limits.items())
        node = "driver=throttle,node-name=t,throttle-group=g,file.driver=null-co,file.size=4194304"
        options = ["-object", f"throttle-group,id=g,{group}", "-blockdev", node]
        rounds = []
        for _ in range(ROUNDS):
            with tempfile.TemporaryDirectory() as root, pair(Path(root) / "p", *options) as both:
                rounds.append([measure(side, requests) for side in (both.qemu, both.ours)])
        best = [list(map(min, *side)) for side in zip(*rounds, strict=True)]
        recorded[name] = best[0]
        print(f"{name}\n  QEMU {best[0]}\n  here {best[1]}", flush=True)
    if "--record" in sys.argv:
        lines = (f" {json.dumps(name)}: {json.dumps(ended)}" for name, ended in recorded.items())
        RECORDED.write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main()
