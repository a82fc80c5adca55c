"""How fast the judge reads messages, beside json.loads on the same lines.

`python benchmarks/judge.py` judges the traces that lie in tests/data (recorded from QEMU), and one
long dialogue: a recorded run with guest writes, said again and again to one judge, as in a log of
many days (without looks at images, which would not be what they were). Exit code 1 below 20,000
messages a second, or where the long dialogue takes much more for a message than the short one.
"""

import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

from cleancut_conformance.judge import Judge
from cleancut_spec.trace import Record, parse_line

DATA = Path(__file__).parent.parent / "tests" / "data"
LONG = DATA / "judged" / "qemu-7.2" / "point-in-time_overlapping-requests.jsonl"
KNOWN = ("TX-KEEP-1", "TX-CLEAN-1", "QMP-ALIVE-1")  # of QEMU, in these traces
TIMES = 1000  # the long dialogue's length, in runs
ROUNDS = 5
WANTED_PER_S = 20_000
GROWTH = 3.0


def seconds(work: Callable[[], object]) -> float:
    """The median of processor seconds."""
    found = []
    for _ in range(ROUNDS):
        started = time.process_time()
        work()
        found.append(time.process_time() - started)
    return statistics.median(found)


def judge_all(traces: list[list[Record]]) -> None:
    """Each trace by a judge of its own."""
    for records in traces:
        judge = Judge()
        for record in records:
            found = judge.feed(record)
            assert not found or found[0].clause in KNOWN, found
        judge.close()


def repeated(lines: list[str], times: int) -> list[str]:
    """One dialogue in which what lies between negotiation and quit is said so often."""
    lines = [line for line in lines if json.loads(line)["dir"] != "observe"]
    records = [json.loads(line) for line in lines]
    sent = [r.get("msg", {}).get("execute") if r["dir"] == "send" else None for r in records]
    begin = sent.index("qmp_capabilities") + 2
    end = sent.index("quit")
    return lines[:begin] + lines[begin:end] * times + lines[end:]


def row(name: str, lines: list[list[str]]) -> tuple[float, float]:
    """Print how fast both are; messages a second, and how often as long as json.loads."""
    count = sum(map(len, lines))
    traces = [[parse_line(line, 1) for line in some] for some in lines]
    peer = seconds(lambda: [json.loads(line) for some in lines for line in some])
    ours = seconds(lambda: judge_all(traces))
    rate = count / ours
    speeds = f"judge {rate:>9,.0f}/s  json.loads {count / peer:>9,.0f}/s"
    print(f"{name:<34} {count:>7} records  {speeds}  {ours / peer:5.2f} times as long")
    return rate, ours / peer


def main() -> int:
    """Measure; 1 if it is too slow."""
    files = sorted(path for name in ("traces", "dialogues", "judged")
                   for path in (DATA / name).glob("*/*.jsonl"))  # fmt: skip
    rate, _ = row("recorded traces of QEMU", [path.read_text().splitlines() for path in files])
    lines = LONG.read_text().splitlines()
    row("one run with writes and images", [lines] * 20)
    once, _ = row("the run without images", [repeated(lines, 1)] * 20)
    long, _ = row(f"the same, {TIMES} times in one", [repeated(lines, TIMES)])
    return 0 if min(rate, long) >= WANTED_PER_S and once / long < GROWTH else 1


if __name__ == "__main__":
    sys.exit(main())
