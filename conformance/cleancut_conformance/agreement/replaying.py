"""`cleancut replay`: a schedule, step by step, on the model or on the reference engine."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final, TextIO

import click
from rich.console import Console
from rich.markup import escape

from cleancut_conformance.agreement.command import unfollowed
from cleancut_conformance.agreement.following import CannotFollow, on_engine, on_model
from cleancut_conformance.judge import Finding
from cleancut_conformance.steered.running import steer
from cleancut_conformance.steered.steering import FORCED, OBSERVED, OTHERWISE, OUT
from cleancut_conformance.targets.base import TargetError
from cleancut_model.commands.shared import write
from cleancut_model.lanes import Row, lanes
from cleancut_model.language import MutationError
from cleancut_model.options import PARTS, Options, OptionsError
from cleancut_model.properties import STATES, STEPS
from cleancut_model.schedules import read_schedule
from cleancut_spec.schedule import LabelError, Move

Follow = Callable[[Options, Sequence[Move]], Iterator[Row]]

ON: Final[dict[str, Follow]] = {"reference": on_engine, "model": on_model}

#: What an instance may have beyond sizes and policies, where a QEMU is steered.
STEERED: Final = frozenset(("grouped", "manual", "speed", "monitor", "other"))
COLOURS: Final = {FORCED: "green", OBSERVED: "cyan", OUT: "yellow"}

EXAMPLES: Final = """
A schedule has a step a line, as `cleancut explore --draw run.schedule` writes it: the instance in
the first line, then labels such as `guest_write d0 c1 = 1`. `#` begins a comment.

\b
Examples:
  cleancut explore --bug filter-late --draw run.schedule
  cleancut replay run.schedule --on model --draw run.lanes.svg   the bug, as the model has it
  cleancut replay run.schedule                                   the right engine does otherwise
  cleancut replay run.schedule --on qemu:qemu-system-x86_64      a real one, as far as it goes
  printf 'begin\\ndrain d0\\nfail_prepare d0\\n' | cleancut replay -

On QEMU each step is forced (it happens because we make it happen there and then), observed (QEMU
tells of it, at a moment of its own) or out of reach (nobody outside can tell).

\b
Exit codes: 0 every step was taken and no claim broke, 1 a step is not possible, a claim breaks or
QEMU does otherwise, 2 wrong use.
"""


def _in_words(note: str) -> str:
    """`breaks CLAIM`, with what the claim says."""
    claim = note.removeprefix("breaks ")
    known = STATES.get(claim) or STEPS.get(claim)
    said = (known.claim.__doc__ or "").split("\n")[0] if known else ""
    return f"{claim} breaks: {said}"


@click.command("replay", epilog=EXAMPLES)
@click.argument("schedule", type=click.File(encoding="utf-8"))
@click.option("--on", "where", default="reference", show_default=True,
              metavar="reference|model|qemu:PATH", help="What it runs on.")  # fmt: skip
@click.option("--draw", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE.svg",
              help="Draw what drives and targets hold after each step.")  # fmt: skip
@click.option("--trace", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE.jsonl",
              help="With qemu: keep the dialogue.")  # fmt: skip
def replay(schedule: TextIO, where: str, draw: Path | None, trace: Path | None) -> int:
    """Run a schedule on the reference engine, the model or a QEMU, and show what happens."""
    try:
        options, moves = read_schedule(schedule.read())
    except (LabelError, OptionsError, UnicodeDecodeError) as error:
        raise click.UsageError(f"{schedule.name}: {error}") from None
    kind, _, program = where.partition(":")
    if kind == "qemu" and program:
        if draw is not None:
            raise click.UsageError("what a QEMU holds cannot be drawn; --trace keeps the dialogue")
        return _on_qemu(program, options, moves, trace)
    if where not in ON:
        raise click.UsageError(f"a schedule runs on reference, model or qemu:PATH, not on {where}")
    if where == "reference" and (odd := unfollowed(options)):
        raise click.UsageError(f"the reference is not followed in instances with {odd}")
    return _run(schedule.name, where, options, moves, draw)


def _run(name: str, where: str, options: Options, moves: Sequence[Move], draw: Path | None) -> int:
    """On the engine or on the model: what each step does, and a picture of it."""
    console = Console(highlight=False, soft_wrap=True)
    console.print(f"on the {where}: {options.describe()}", markup=False)
    rows: list[Row] = []
    try:
        for row in ON[where](options, moves):
            rows.append(row)
            if row.step:
                notes = f"   [dim]{'; '.join(row.notes)}[/]" if row.notes else ""
                console.print(f"   {len(rows) - 1:>3}  {row.step}{notes}")
        end = ""
    except CannotFollow as error:
        end = str(error)
    except MutationError as error:
        raise click.UsageError(f"{name}: {error}") from None
    broken = [note for row in rows for note in row.notes if note.startswith("breaks ")]
    if draw is not None:
        write(draw, lanes(rows, end or "; ".join(map(_in_words, broken))))
    if end:
        console.print(f"[bold]stops at step {len(rows)}[/]: ", end="")
        console.print(end, markup=False)
        return 1
    console.print(f"all {len(moves)} steps were taken")
    return 1 if broken else 0


def _on_qemu(program: str, options: Options, moves: Sequence[Move], trace: Path | None) -> int:
    """Steer a QEMU, and tell of each step how far that went."""
    if odd := unsteered(options):
        raise click.UsageError(f"QEMU is not steered in instances with {odd}")
    console = Console(highlight=False, soft_wrap=True)
    console.print(f"on {program}: {options.describe()}", markup=False)
    found: list[Finding] = []
    counts: Counter[str] = Counter()
    try:
        for number, step in enumerate(steer(program, options, moves, trace, found), start=1):
            counts[step.how] += 1
            colour = "bold red" if step.how == OTHERWISE else COLOURS[step.how]
            console.print(f"   {number:>3}  {step.move!s:<28} [{colour}]{step.how:<12}[/]  "
                          f"[dim]{escape(step.words)}[/]")  # fmt: skip
    except TargetError as error:
        raise click.ClickException(str(error)) from None
    console.print(", ".join(f"{counts[how]} {how}" for how in COLOURS), end="")
    console.print(f" of {len(moves)} steps")
    for finding in found:
        console.print(f"[bold]{finding.clause}[/] {escape(finding.message)}")
    return 1 if counts[OTHERWISE] or found else 0


def unsteered(options: Options) -> str:
    """The parts of an instance in which no QEMU is steered, in words."""
    odd = [what for part, what in PARTS.items() if getattr(options, part) and part not in STEERED]
    odd += [f"sync {options.sync}"] if options.sync not in ("full", "none") else []
    odd += ["several requests at once"] if max(options.requests, options.workers) > 1 else []
    odd += ["further transactions"] if options.repeats else []
    return ", ".join(odd)
