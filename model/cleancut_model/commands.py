"""`cleancut prove` and `cleancut explore`."""

import json
from typing import Final

import click
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from cleancut_model.backup import Options
from cleancut_model.bugs import BUGS
from cleancut_model.compiled import compile_model
from cleancut_model.explore import Exploration
from cleancut_model.explore import explore as search
from cleancut_model.properties import STATES, STEPS, WITNESSES
from cleancut_model.prove import FiniteProver, Prover, Verdict

ANY_SIZE: Final = "any number of drives, clusters and values"
POLICIES: Final = ("report", "ignore", "stop", "enospc")

PROVE_EXAMPLES = """
\b
Examples:
  cleancut prove                                     every claim, under policy report
  cleancut prove --policy stop
  cleancut prove completed_backups_share_the_cut
  cleancut prove --bug no-drain                      the proof must reject a wrong protocol
  cleancut prove --finite                            two drives, clusters and values only

\b
Exit codes: 0 proved, 1 not proved (refuted by a step), 2 wrong use, 3 z3 does not know.
"""

EXPLORE_EXAMPLES = """
\b
Examples:
  cleancut explore                                   two drives, two clusters, one guest write
  cleancut explore --drives 2 --clusters 1 --writes 2 --errors 1 --policy stop
  cleancut explore --bug undrain-early               the shortest run that breaks a claim
  cleancut explore --bugs                            what bugs there are

\b
Exit codes: 0 every claim holds in every state, 1 a claim breaks, 2 wrong use,
3 the limit of states was reached.
"""


@click.command("prove", epilog=PROVE_EXAMPLES)
@click.argument("claims", nargs=-1, metavar="[CLAIM]...")
@click.option("--policy", type=click.Choice(POLICIES), default="report", show_default=True)
@click.option("--bug", type=click.Choice(list(BUGS)), help="Build a bug in first.")
@click.option("--timeout", "timeout_s", type=click.FloatRange(0.1), default=20.0,
              show_default=True, help="Seconds for one question to z3.")  # fmt: skip
@click.option("--finite", is_flag=True, help="Only two drives, clusters and values.")
@click.option("--json", "as_json", is_flag=True, help="Print the verdicts as JSON.")
def prove(
    claims: tuple[str, ...],
    policy: str,
    bug: str | None,
    timeout_s: float,
    finite: bool,
    as_json: bool,
) -> int:
    """Prove the claims of the model for any number of drives, clusters, values and requests."""
    errnos = ("EIO", "ENOSPC")
    prover: Prover | FiniteProver
    if finite:
        prover = FiniteProver(
            Options(policy=policy, errnos=errnos, errors=1, bug=bug or ""), timeout_s
        )
    else:
        options = Options(policy=policy, errnos=errnos, writes=None, errors=None, bug=bug or "")
        prover = Prover(options, timeout_s)
    for claim in claims:
        if claim not in prover.claims():
            raise click.UsageError(f"no claim {claim!r}; there are {', '.join(prover.claims())}")
    names = list(claims) or prover.claims()
    verdicts: list[Verdict] = []
    with _progress() as progress:
        task = progress.add_task("proving", total=len(names))
        for name in names:
            progress.update(task, description=f"proving {name}")
            verdicts.append(prover.prove(name))
            progress.advance(task)
        empty = prover.unreachable() if not claims else []
    if as_json:
        keys = ("name", "status", "action", "seconds")
        print(json.dumps([{key: getattr(v, key) for key in keys} for v in verdicts], indent=1))
    else:
        wrong = f", bug {bug}" if bug else ""
        size = "two drives, clusters and values" if finite else ANY_SIZE
        _print_proof(verdicts, empty, f"policy {policy}{wrong}", size)
    statuses = {verdict.status for verdict in verdicts}
    return 1 if "refuted" in statuses or empty else 3 if "unknown" in statuses else 0


def _print_proof(verdicts: list[Verdict], empty: list[str], what: str, size: str) -> None:
    console = Console(highlight=False, soft_wrap=True)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("claim", "kind", "verdict", "seconds"):
        table.add_column(column, justify="right" if column == "seconds" else "left")
    for verdict in verdicts:
        known = verdict.name in STATES
        kind = "state" if known else "step" if verdict.name in STEPS else "lemma"
        colour = "green" if verdict.status == "proved" else "bold red"
        where = f" by {verdict.action}" if verdict.action else ""
        status = f"[{colour}]{verdict.status}{where}[/]"
        table.add_row(verdict.name, kind, status, f"{verdict.seconds:.2f}")
    console.print(table)
    refuted = next((v for v in verdicts if v.status == "refuted"), None)
    if refuted is not None:
        console.print(f"\nFrom this state {refuted.action} breaks {refuted.name}:")
        console.print(refuted.picture, markup=False)
    for name in empty:
        console.print(f"[bold red]no state allows {name}[/]: what is proved of it is empty")
    proved = sum(verdict.status == "proved" for verdict in verdicts)
    seconds = sum(verdict.seconds for verdict in verdicts)
    console.print(f"\n{what}: {proved} of {len(verdicts)} proved for {size} in {seconds:.1f} s")


@click.command("explore", epilog=EXPLORE_EXAMPLES)
@click.option("--drives", type=click.IntRange(1, 4), default=2, show_default=True)
@click.option("--clusters", type=click.IntRange(1, 4), default=2, show_default=True)
@click.option("--values", type=click.IntRange(2, 4), default=2, show_default=True)
@click.option("--writes", type=click.IntRange(0, 6), default=1, show_default=True,
              help="Guest writes in all.")  # fmt: skip
@click.option("--errors", type=click.IntRange(0, 4), default=0, show_default=True,
              help="I/O errors of each drive.")  # fmt: skip
@click.option("--policy", type=click.Choice(POLICIES), default="report", show_default=True)
@click.option("--control/--no-control", default=True, help="The client pauses, resumes, cancels.")
@click.option("--bug", type=click.Choice(list(BUGS)), help="Build a bug in first.")
@click.option("--bugs", "list_bugs", is_flag=True, help="List the bugs.")
@click.option("--max-states", type=click.IntRange(1), default=5_000_000, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print what was found as JSON.")
def explore(
    drives: int,
    clusters: int,
    values: int,
    writes: int,
    errors: int,
    policy: str,
    control: bool,
    bug: str | None,
    list_bugs: bool,
    max_states: int,
    as_json: bool,
) -> int:
    """Explore every interleaving of a small instance: all states, all claims, shortest runs."""
    if list_bugs:
        for known in BUGS.values():
            print(f"{known.name:<16} {known.what}")
        return 0
    errnos = ("EIO", "ENOSPC") if policy == "enospc" else ("EIO",)
    options = Options(drives, clusters, values, writes, errors, policy, errnos, control, bug or "")
    with _progress() as progress:
        task = progress.add_task("compiling the model", total=None)
        model = compile_model(options)

        def tell(states: int, waiting: int) -> None:
            words = f"{states:,} states, {waiting:,} still to be explored"
            progress.update(task, description=words)

        found = search(model, max_states, tell)
    if as_json:
        print(json.dumps(_to_json(options, found), indent=1))
    else:
        _print_exploration(options, found, {label.name for label in model.labels})
    return 1 if found.broken else 0 if found.complete else 3


def _print_exploration(options: Options, found: Exploration, names: set[str]) -> None:
    console = Console(highlight=False, soft_wrap=True)
    console.print(options.describe())
    if found.broken:
        console.print(f"[bold red]{found.broken}[/] breaks after {len(found.schedule)} steps:")
        claim = STATES.get(found.broken) or (
            STEPS[found.broken].claim if found.broken in STEPS else None
        )
        if claim is not None and claim.__doc__:
            console.print(f"   It says: {claim.__doc__.split(chr(10))[0]}")
        for number, label in enumerate(found.schedule, start=1):
            console.print(f"   {number:>3}  {label}")
    else:
        for name in sorted(names - found.taken):
            console.print(f"[yellow]never taken[/] {name}")
        for name in sorted(WITNESSES.keys() - found.witnesses.keys()):
            console.print(f"[yellow]never seen[/] {name}")
    verdict = "a claim breaks" if found.broken else "every claim holds"
    verdict = verdict if found.broken or found.complete else "no claim breaks so far (limit)"
    rate = found.states / max(found.seconds, 1e-9)
    console.print(
        f"{found.states:,} states, {found.transitions:,} transitions in {found.seconds:.1f} s "
        f"({rate:,.0f} states/s): {verdict}"
    )


def _to_json(options: Options, found: Exploration) -> dict[str, object]:
    return {
        "instance": options.describe(),
        "states": found.states,
        "transitions": found.transitions,
        "complete": found.complete,
        "broken": found.broken,
        "schedule": [str(label) for label in found.schedule],
        "witnesses": found.witnesses,
        "taken": sorted(found.taken),
    }


def _progress() -> Progress:
    """Progress on a terminal; nothing on a file, where it would only be in the way."""
    console = Console(stderr=True)
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
