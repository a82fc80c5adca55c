"""`cleancut prove` and `cleancut explore`."""

import json
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, Final

import click
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from cleancut_model.backup import Options
from cleancut_model.bugs import BUGS
from cleancut_model.compiled import compile_model
from cleancut_model.elaborated import elaborate
from cleancut_model.explore import (
    Exploration,
    How,
    Limits,
    NoCompiler,
    SearchError,
    explore_in_python,
)
from cleancut_model.explore import explore as search
from cleancut_model.export import FORMATS
from cleancut_model.properties import STATES, STEPS, WITNESSES, of_instance
from cleancut_model.prove import FiniteProver, Prover, Verdict

ANY_SIZE: Final = "any number of drives, clusters and values"
POLICIES: Final = ("report", "ignore", "stop", "enospc")

EXPORT_EXAMPLES = """
\b
Examples:
  cleancut export promela -o model.pml && spin -a model.pml && cc -O3 -DSAFETY -o pan pan.c && ./pan
  cleancut export tla -o Cleancut.tla; cleancut export tla-config -o Cleancut.cfg
  cleancut export promela --bug no-drain
"""

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
  cleancut explore --writes 2 --errors 1 --threads 1
  cleancut explore --engine python                   slower, and needs no C compiler
  cleancut explore --bug undrain-early               the shortest run that breaks a claim
  cleancut explore --bugs                            what bugs there are

\b
Exit codes: 0 every claim holds in every state, 1 a claim breaks, 2 wrong use,
3 a limit (of states, memory or time) was reached.
"""


INSTANCE: Final = (
    click.option("--drives", type=click.IntRange(1, 4), default=2, show_default=True),
    click.option("--clusters", type=click.IntRange(1, 4), default=2, show_default=True),
    click.option("--values", type=click.IntRange(2, 4), default=2, show_default=True),
    click.option("--writes", type=click.IntRange(0, 6), default=1, show_default=True,
                 help="Guest writes in all."),
    click.option("--errors", type=click.IntRange(0, 4), default=0, show_default=True,
                 help="I/O errors of each drive."),
    click.option("--policy", type=click.Choice(POLICIES), default="report", show_default=True),
    click.option("--control/--no-control", default=True,
                 help="The client pauses, resumes, cancels."),
    click.option("--bug", type=click.Choice(list(BUGS)), help="Build a bug in first."),
)  # fmt: skip


def _instance(command: Callable[..., int]) -> Callable[..., int]:
    """The options that choose an instance of the model; the command gets them as `options`."""

    @wraps(command)
    def with_options(
        drives: int, clusters: int, values: int, writes: int, errors: int,
        policy: str, control: bool, bug: str | None, **others: Any,
    ) -> int:  # fmt: skip
        errnos = ("EIO", "ENOSPC") if policy == "enospc" else ("EIO",)
        sizes = (drives, clusters, values, writes, errors)
        return command(Options(*sizes, policy, errnos, control, bug or ""), **others)

    for option in reversed(INSTANCE):
        with_options = option(with_options)
    return with_options


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
@_instance
@click.option("--bugs", "list_bugs", is_flag=True, help="List the bugs.")
@click.option("--engine", type=click.Choice(("c", "python")), default="c", show_default=True,
              help="A program generated for the instance, or plain Python.")  # fmt: skip
@click.option("--threads", type=click.IntRange(1, 64), default=2, show_default=True)
@click.option("--compact", is_flag=True,
              help="Keep only 63 bits of a hash of each state.")  # fmt: skip
@click.option("--max-states", type=click.IntRange(0), default=0, help="0: no limit.")
@click.option("--max-memory", "max_memory_mib", type=click.IntRange(0), default=4096,
              show_default=True, help="MiB for the states; 0: no limit.")  # fmt: skip
@click.option("--max-time", "max_time_s", type=click.IntRange(0), default=0,
              help="Seconds; 0: no limit.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print what was found as JSON.")
def explore(
    options: Options,
    list_bugs: bool,
    engine: str,
    threads: int,
    compact: bool,
    max_states: int,
    max_memory_mib: int,
    max_time_s: int,
    as_json: bool,
) -> int:
    """Explore every interleaving of a small instance: all states, all claims, shortest runs."""
    if list_bugs:
        for known in BUGS.values():
            print(f"{known.name:<16} {known.what}")
        return 0
    limits = Limits(max_states, max_memory_mib << 20, max_time_s)
    try:
        found = _search(options, engine, How(threads, compact), limits)
    except (NoCompiler, SearchError) as error:
        raise click.UsageError(str(error)) from None
    if as_json:
        print(json.dumps(_to_json(options, found), indent=1))
    else:
        _print_exploration(options, found, {label.name for label in elaborate(options).labels})
    return 1 if found.broken else 0 if found.complete else 3


def _search(options: Options, engine: str, how: How, limits: Limits) -> Exploration:
    with _progress() as progress:
        task = progress.add_task("compiling the model", total=None)

        def tell(states: int, depth: int) -> None:
            progress.update(task, description=f"{states:,} states, depth {depth}")

        if engine == "python":
            return explore_in_python(compile_model(options), limits, tell)
        return search(options, how, limits, tell)


def _print_exploration(options: Options, found: Exploration, names: set[str]) -> None:
    console = Console(highlight=False, soft_wrap=True)
    console.print(options.describe())
    if found.broken:
        console.print(f"[bold red]{found.broken}[/] breaks after {len(found.schedule)} steps:")
        broken = STATES.get(found.broken) or STEPS.get(found.broken)
        if broken is not None and broken.claim.__doc__:
            console.print(f"   It says: {broken.claim.__doc__.split(chr(10))[0]}")
        for number, label in enumerate(found.schedule, start=1):
            console.print(f"   {number:>3}  {label}")
    else:
        for name in sorted(names - found.taken):
            console.print(f"[yellow]never taken[/] {name}")
        for name in sorted(of_instance(WITNESSES, options).keys() - found.witnesses):
            console.print(f"[yellow]never seen[/] {name}")
    verdict = "a claim breaks" if found.broken else "every claim holds"
    if found.limit:
        verdict = f"no claim breaks so far (limit of {found.limit})"
    rate = found.states / max(found.seconds, 1e-9)
    console.print(
        f"{found.states:,} states, {found.transitions:,} transitions in {found.seconds:.1f} s "
        f"({rate:,.0f} states/s), depth {found.depth}: {verdict}"
    )
    if found.loss:
        console.print(f"by hashes alone: probability of a lost state below {found.loss:.1g}")


def _to_json(options: Options, found: Exploration) -> dict[str, object]:
    return {
        "instance": options.describe(),
        "states": found.states,
        "transitions": found.transitions,
        "depth": found.depth,
        "bytes": found.bytes,
        "complete": found.complete,
        "limit": found.limit,
        "loss_probability": found.loss,
        "broken": found.broken,
        "schedule": [str(label) for label in found.schedule],
        "witnesses": sorted(found.witnesses),
        "taken": sorted(found.taken),
    }


def _progress() -> Progress:
    """Progress on a terminal; nothing on a file, where it would only be in the way."""
    console = Console(stderr=True)
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)


@click.command("export", epilog=EXPORT_EXAMPLES)
@click.argument("form", type=click.Choice(list(FORMATS)), metavar=f"[{'|'.join(FORMATS)}]")
@_instance
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path),
              help="A file; without it the text is printed.")  # fmt: skip
def export(options: Options, form: str, output: Path | None) -> int:
    """Write an instance of the model in the language of another checker."""
    text = FORMATS[form](elaborate(options))
    if output is None:
        print(text, end="")
        return 0
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        raise click.UsageError(f"{output} cannot be written: {error.strerror}") from None
    return 0
