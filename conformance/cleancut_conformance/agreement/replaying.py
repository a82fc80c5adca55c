"""`cleancut replay`: a schedule, step by step, on the model or on the reference engine."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final, TextIO

import click
from rich.console import Console

from cleancut_conformance.agreement.command import unfollowed
from cleancut_conformance.agreement.following import CannotFollow, on_engine, on_model
from cleancut_model.commands.shared import write
from cleancut_model.lanes import Row, lanes
from cleancut_model.language import MutationError
from cleancut_model.options import Options, OptionsError
from cleancut_model.properties import STATES, STEPS
from cleancut_model.schedules import read_schedule
from cleancut_spec.schedule import LabelError, Move

Follow = Callable[[Options, Sequence[Move]], Iterator[Row]]

ON: Final[dict[str, Follow]] = {"reference": on_engine, "model": on_model}

EXAMPLES: Final = """
A schedule has a step a line, as `cleancut explore --draw run.schedule` writes it: the instance in
the first line, then labels such as `guest_write d0 c1 = 1`. `#` begins a comment.

\b
Examples:
  cleancut explore --bug filter-late --draw run.schedule
  cleancut replay run.schedule --on model --draw run.lanes.svg   the bug, as the model has it
  cleancut replay run.schedule                                   the right engine does otherwise
  printf 'begin\\ndrain d0\\nfail_prepare d0\\n' | cleancut replay -

\b
Exit codes: 0 every step was taken and no claim broke, 1 a step is not possible or a claim breaks,
2 wrong use.
"""


def _in_words(note: str) -> str:
    """`breaks CLAIM`, with what the claim says."""
    claim = note.removeprefix("breaks ")
    known = STATES.get(claim) or STEPS.get(claim)
    said = (known.claim.__doc__ or "").split("\n")[0] if known else ""
    return f"{claim} breaks: {said}"


@click.command("replay", epilog=EXAMPLES)
@click.argument("schedule", type=click.File(encoding="utf-8"))
@click.option("--on", "where", type=click.Choice(list(ON)), default="reference", show_default=True)
@click.option("--draw", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE.svg",
              help="Draw what drives and targets hold after each step.")  # fmt: skip
def replay(schedule: TextIO, where: str, draw: Path | None) -> int:
    """Run a schedule on the reference engine or on the model, and show what happens."""
    try:
        options, moves = read_schedule(schedule.read())
    except (LabelError, OptionsError, UnicodeDecodeError) as error:
        raise click.UsageError(f"{schedule.name}: {error}") from None
    if where == "reference" and (odd := unfollowed(options)):
        raise click.UsageError(f"the reference is not followed in instances with {odd}")
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
        raise click.UsageError(f"{schedule.name}: {error}") from None
    broken = [note for row in rows for note in row.notes if note.startswith("breaks ")]
    if draw is not None:
        write(draw, lanes(rows, end or "; ".join(map(_in_words, broken))))
    if end:
        console.print(f"[bold]stops at step {len(rows)}[/]: ", end="")
        console.print(end, markup=False)
        return 1
    console.print(f"all {len(moves)} steps were taken")
    return 1 if broken else 0
