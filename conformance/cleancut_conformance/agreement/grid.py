"""`cleancut grid`: each bug of the model, and what catches it on either side."""

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Final

import click
from rich.console import Console
from rich.markup import escape

from cleancut_conformance.agreement.command import unfollowed
from cleancut_conformance.agreement.mutants import (
    apart,
    counterexample,
    on_right_engine,
    on_wrong_engine,
)
from cleancut_conformance.agreement.product import Digest, Disagreement, Product
from cleancut_conformance.agreement.wrong import WRONG
from cleancut_conformance.agreement.wrong.elsewhere import NOT_OF_THE_ENGINE
from cleancut_conformance.agreement.wrong.server import CASE_S, server
from cleancut_conformance.agreement.wrong.table import MUTANTS
from cleancut_conformance.case import load_suite
from cleancut_conformance.runner import run
from cleancut_conformance.verdict import Verdict
from cleancut_model.bugs import BUGS, instance_of
from cleancut_model.commands.shared import progress_bar
from cleancut_model.options import Options
from cleancut_model.prove import Prover

EXAMPLES: Final = """
Each bug of the model is looked for in five ways: the proof must reject it, the exploration must
find a run to it; on the wrong engine that has the same bug, that run must be seen by the judge as
a breach of the same clause, and on the right engine not; random schedules of the wrong engine must
part from the model; and a case of the suite must fail on a server of it. Where one of them cannot
be, the reason stands in its place.

\b
Examples:
  cleancut grid                          all bugs, all columns; takes minutes
  cleancut grid no-drain undrain-early   two of them
  cleancut grid --only replay --only property
  cleancut grid --json

\b
Exit codes: 0 every cell is filled or has its reason, 1 one is not, 2 wrong use.
"""

WALKS: Final = 400  # random schedules, at most
WALK_STEPS: Final = 80
TIMEOUT_S: Final = 20.0


@dataclass(frozen=True, slots=True)
class Cell:
    """What came of one way to look for a bug; a reason stands where there is none."""

    well: bool
    text: str
    is_reason: bool = False


@dataclass(slots=True)
class Line:
    """A bug and its cells by column."""

    bug: str
    engine: str
    cells: dict[str, Cell] = field(default_factory=dict)


def reason(text: str) -> Cell:
    """Why there is nothing."""
    return Cell(True, text, is_reason=True)


# ---- the columns


def proof(bug: str) -> Cell:
    """The proof for any number of drives must reject the bug."""
    prover = Prover(instance_of(bug).without_limits(), TIMEOUT_S)
    for name in sorted(prover.claims(), key=lambda name: name not in BUGS[bug].breaks):
        if prover.prove(name).status == "refuted":
            return Cell(True, f"rejects {name}")
    return Cell(False, "proves every claim")


def exploration(bug: str) -> Cell:
    """The exploration must find a run that breaks one of the bug's claims."""
    found = counterexample(bug)
    well = found.broken in BUGS[bug].breaks
    return Cell(well, f"{len(found.moves)} steps to {found.broken or 'no breach'}")


def replay(bug: str) -> Cell:
    """The model's run on the wrong engine must break the clause, on the right one nothing."""
    mutant = MUTANTS[bug]
    if mutant.no_replay:
        return reason(mutant.no_replay)
    run_to_it = counterexample(bug)
    wrong, right = on_wrong_engine(bug, run_to_it), on_right_engine(bug, run_to_it)
    if wrong.followed < len(run_to_it.moves):
        return Cell(False, f"stops at step {wrong.followed + 1}: {wrong.stopped}")
    if not wrong.clause:
        return Cell(False, f"breaks {', '.join(sorted(wrong.clauses)) or 'nothing'}")
    if right.clauses:
        return Cell(False, f"the right engine breaks {', '.join(sorted(right.clauses))}")
    seen = f" ({mutant.why})" if mutant.seen_as else ""
    return Cell(True, f"{wrong.clause}{seen}")


def property_test(bug: str) -> Cell:
    """Random schedules of the wrong engine must part from the model."""
    options = followed_instance(bug)
    if odd := unfollowed(options):
        return reason(f"the engine is not followed with {odd}")
    walks, steps, words = apart(WRONG[MUTANTS[bug].engine].patch, walk, options)
    if not words:
        return Cell(False, f"the same in {walks} schedules")
    return Cell(True, f"parts in schedule {walks} of {steps} steps")


def case(bug: str) -> Cell:
    """A case of the suite must fail on a server of the wrong engine."""
    wrong = WRONG[MUTANTS[bug].engine]
    if not wrong.case:
        return reason(wrong.why_no_case)
    found = next(each for each in load_suite() if each.id == wrong.case)
    target = server(found, MUTANTS[bug].engine)
    with TemporaryDirectory(prefix="cleancut-") as folder:
        result = run(found, target, Path(folder), CASE_S)
    clauses = {finding.clause for finding in result.findings}
    if result.verdict is not Verdict.FAIL or wrong.clause not in clauses:
        return Cell(False, f"{wrong.case}: {result.verdict}")
    return Cell(True, f"{wrong.case} ({wrong.clause})")


COLUMNS: Final[dict[str, Callable[[str], Cell]]] = {
    "proof": proof,
    "exploration": exploration,
    "replay": replay,
    "property": property_test,
    "case": case,
}

#: Columns that need no wrong engine.
OF_THE_MODEL: Final = frozenset(("proof", "exploration"))


def followed_instance(bug: str) -> Options:
    """The bug's instance as far as the engine can be followed in it, without the bug."""
    given = replace(instance_of(bug), **MUTANTS[bug].instance)
    return replace(given, bug="", monitor=True, other=False, **MUTANTS[bug].walk)


def walk(options: Options) -> tuple[int, int, str]:
    """Random schedules of engine and model until they part: how many, how long the last, and how.

    The words are empty if they do not part.
    """
    product, seen = Product(options), set[Digest]()
    for number in range(WALKS):
        chosen, steps = Random(number), 0
        try:
            joint = product.first()
            while steps < WALK_STEPS and (taken := list(product.expand(joint))):
                new = {each.after.digest: each.after for each in taken}
                for digest in new.keys() - seen:
                    product.check(new[digest])
                seen |= new.keys()
                what = chosen.choice(list(dict.fromkeys(each.what for each in taken)))
                ways = [each.after for each in taken if each.what == what]
                # The first transaction is one that nothing refuses: of the others there are many.
                joint = ways[0] if chosen.random() < 0.5 else chosen.choice(ways)
                steps += 1
        except Disagreement as error:
            return number + 1, steps, str(error)
    return WALKS, 0, ""


# ---- the command


@click.command("grid", epilog=EXAMPLES)
@click.argument("bugs", nargs=-1, metavar="[BUG]...")
@click.option("--only", "columns", type=click.Choice(list(COLUMNS)), multiple=True,
              help="Only this column; may be repeated.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print the grid as JSON.")
def grid(bugs: tuple[str, ...], columns: tuple[str, ...], as_json: bool) -> int:
    """For each bug of the model: does proof, exploration, replay, property, case catch it?"""
    for bug in bugs:
        if bug not in BUGS:
            raise click.UsageError(f"no bug {bug!r}; `cleancut explore --bugs` lists them")
    lines: list[Line] = []
    with progress_bar() as progress:
        task = progress.add_task("", total=None)
        for line, column in _cells(bugs or tuple(BUGS), columns or tuple(COLUMNS), lines):
            progress.update(task, description=f"{len(lines)} of {len(bugs or BUGS)}: {line.bug}, "
                                              f"{column}")  # fmt: skip
    bad = [cell for line in lines for cell in line.cells.values() if not cell.well]
    if as_json:
        print(json.dumps([asdict(line) for line in lines], indent=1))
    else:
        _print(lines, columns or tuple(COLUMNS))
    return 1 if bad else 0


def _cells(
    bugs: tuple[str, ...], columns: tuple[str, ...], lines: list[Line]
) -> Iterator[tuple[Line, str]]:
    """Fill the lines, and tell of each cell before it is filled."""
    for bug in bugs:
        mutant = MUTANTS.get(bug)
        line = Line(bug, mutant.engine if mutant else "")
        lines.append(line)
        for name in columns:
            yield line, name
            line.cells[name] = cell(bug, name)


def cell(bug: str, column: str) -> Cell:
    """What comes of one way to look for a bug."""
    if column not in OF_THE_MODEL and bug in NOT_OF_THE_ENGINE:
        return reason(NOT_OF_THE_ENGINE[bug])
    if column not in OF_THE_MODEL and bug not in MUTANTS:
        return Cell(False, "no wrong engine")
    try:
        return COLUMNS[column](bug)
    except (RuntimeError, TimeoutError) as error:
        return Cell(False, str(error).split("\n")[0])
    except EOFError:
        return Cell(False, "the process of the wrong engine has died")


def _print(lines: list[Line], columns: tuple[str, ...]) -> None:
    console = Console(highlight=False, soft_wrap=True)
    notes: dict[str, int] = {}
    rows = [("bug", *columns)]
    rows += [(line.bug, *(_shown(line.cells[name], notes) for name in columns)) for line in lines]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for number, row in enumerate(rows):
        text = "  ".join(word.ljust(width) for word, width in zip(row, widths, strict=True))
        missed = f"[bold red]{escape(text)}[/]" if "MISSED" in text else escape(text)
        console.print(missed if number else f"[bold]{text}[/]")
    for text, number in notes.items():
        console.print(f"   [dim]({number}) {escape(text)}[/]")
    caught = ", ".join(
        f"{name} {sum(c.well and not c.is_reason for line in lines if (c := line.cells[name]))}"
        for name in columns
    )
    console.print(f"{caught} of {len(lines)} bugs; where there is none, a number tells the reason")


def _shown(cell: Cell, notes: dict[str, int]) -> str:
    if not cell.well:
        return f"MISSED {cell.text}"
    if cell.is_reason:
        return f"({notes.setdefault(cell.text, len(notes) + 1)})"
    return cell.text
