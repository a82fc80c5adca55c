"""`cleancut explore`."""

import json
from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path
from typing import Final

import click
from rich.console import Console

from cleancut_model.bugs import BUGS
from cleancut_model.commands.instance import chooses_instance
from cleancut_model.commands.shared import progress_bar, write
from cleancut_model.compiled import compile_model
from cleancut_model.concrete import replay
from cleancut_model.drawing import itf, listing, mermaid, messages, svg
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
from cleancut_model.lanes import Row, lanes
from cleancut_model.options import PRESETS, Options
from cleancut_model.properties import STATES, STEPS, WITNESSES, of_instance
from cleancut_model.schedules import write_schedule

DRAWINGS: Final = (".lanes.svg", ".svg", ".mmd", ".itf.json", ".schedule")

EXPLORE_EXAMPLES = """
\b
Examples:
  cleancut explore                                   two drives, two clusters, one guest write
  cleancut explore --drives 2 --clusters 1 --writes 2 --errors 1 --policy stop
  cleancut explore --writes 2 --errors 1 --threads 1
  cleancut explore --writes 3 --errors 1 --symmetry  fewer states that stand for all
  cleancut explore --preset everything --partial-order --symmetry
  cleancut explore --engine python                   slower, and needs no C compiler
  cleancut explore --bug undrain-early               the shortest run that breaks a claim
  cleancut explore --bugs                            what bugs there are
  cleancut explore --preset grouped-bitmaps          an instance with other parts of the protocol
  cleancut explore --with snapshot --with dies       parts switched on one by one
  cleancut explore --bug no-drain --draw run.svg     and the same as a sequence diagram
  cleancut explore --bug no-drain --draw run.lanes.svg    what drives and targets hold, step by step
  cleancut explore --bug no-drain --draw run.schedule     for `cleancut replay`
  cleancut explore --reach both_complete             the shortest run to an interesting state
  cleancut explore --subject reference --drives 1    the engine's code, in all its schedules
  cleancut explore --presets                         what instances there are

\b
Spin and TLC count the same states and transitions of what `cleancut export` writes.

\b
Exit codes: 0 every claim holds in every state, 1 a claim breaks, 2 wrong use,
3 a limit (of states, memory or time) was reached.
"""


@click.command("explore", epilog=EXPLORE_EXAMPLES)
@chooses_instance()
@click.option("--bugs", "list_bugs", is_flag=True, help="List the bugs.")
@click.option("--presets", "list_presets", is_flag=True, help="List the presets.")
@click.option("--engine", type=click.Choice(("c", "python")), default="c", show_default=True,
              help="A program generated for the instance, or plain Python.")  # fmt: skip
@click.option("--threads", type=click.IntRange(1, 64), default=2, show_default=True)
@click.option("--compact", is_flag=True,
              help="Keep only 63 bits of a hash of each state.")  # fmt: skip
@click.option(
    "--symmetry",
    is_flag=True,
    help="Keep one of the states that differ in the names of clusters or drives only.",
)
@click.option(
    "--partial-order",
    is_flag=True,
    help="Take steps alone whose order with others z3 proves not to matter.",
)
@click.option("--max-states", type=click.IntRange(0), default=0, help="0: no limit.")
@click.option("--max-memory", "max_memory_mib", type=click.IntRange(0), default=4096,
              show_default=True, help="MiB for the states; 0: no limit.")  # fmt: skip
@click.option("--max-time", "max_time_s", type=click.IntRange(0), default=0,
              help="Seconds; 0: no limit.")  # fmt: skip
@click.option("--reach", metavar="WITNESS", help="The shortest run to an interesting state.")
@click.option("--draw", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE",
              help="Write the run that was found, by the name's end: "
                   + ", ".join(DRAWINGS))  # fmt: skip
@click.option("--subject", metavar="NAME",
              help="Run an implementation's code beside the model: reference.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print what was found as JSON.")
def explore(
    options: Options,
    list_bugs: bool,
    list_presets: bool,
    engine: str,
    threads: int,
    compact: bool,
    symmetry: bool,
    partial_order: bool,
    max_states: int,
    max_memory_mib: int,
    max_time_s: int,
    reach: str | None,
    draw: Path | None,
    subject: str | None,
    as_json: bool,
) -> int:
    """Explore every interleaving of a small instance: all states, all claims, shortest runs."""
    if list_bugs:
        for known in BUGS.values():
            print(f"{known.name:<20} {known.what}")
        return 0
    if list_presets:
        for name, preset in PRESETS.items():
            print(f"{name:<16} {preset.describe()}")
        return 0
    if subject is not None:
        return _subject(subject)(options, threads, max_states, as_json)
    _check(options, engine, reach, draw)
    limits = Limits(max_states, max_memory_mib << 20, max_time_s)
    how = How(threads, compact, symmetry=symmetry, partial_order=partial_order)
    try:
        found = _search(options, engine, how, limits, reach or "")
    except (NoCompiler, SearchError) as error:
        raise click.UsageError(str(error)) from None
    if as_json:
        print(json.dumps(_to_json(options, found), indent=1))
    else:
        _print_exploration(options, found, {label.name for label in elaborate(options).labels})
    if draw is not None and found.schedule:
        _draw(draw, options, found)
    if reach:
        return 0 if found.broken else 1 if found.complete else 3
    return 1 if found.broken else 0 if found.complete else 3


def _subject(name: str) -> Callable[[Options, int, int, bool], int]:
    """What explores an implementation; the model knows none, so it is found by its entry point."""
    known = entry_points(group="cleancut.subjects")
    if name not in known.names:
        raise click.UsageError(f"no subject {name!r}; there are {', '.join(sorted(known.names))}")
    found: Callable[[Options, int, int, bool], int] = known[name].load()
    return found


def _check(options: Options, engine: str, reach: str | None, draw: Path | None) -> None:
    known = of_instance(WITNESSES, options)
    if reach is not None and reach not in known:
        raise click.UsageError(f"no witness {reach!r} here; there are {', '.join(known)}")
    if reach is not None and engine == "python":
        raise click.UsageError("--reach goes with --engine c")
    if draw is not None and not draw.name.endswith(DRAWINGS):
        raise click.UsageError(f"{draw}: its name must end in {', '.join(DRAWINGS)}")


def _draw(path: Path, options: Options, found: Exploration) -> None:
    run = found.schedule, found.values
    if path.name.endswith(".itf.json"):
        text = itf(options, *run)
    elif path.name.endswith(".lanes.svg"):
        labels = ["", *map(str, found.schedule)]
        states = replay(options, *run)
        text = lanes([Row(*row) for row in zip(labels, states, strict=True)], found.broken)
    elif path.suffix == ".schedule":
        text = write_schedule(options, *run, found.broken)
    else:
        text = (svg if path.suffix == ".svg" else mermaid)(messages(*run), found.broken)
    write(path, text)


def _search(options: Options, engine: str, how: How, limits: Limits, reach: str) -> Exploration:
    with progress_bar() as progress:
        task = progress.add_task("compiling the model", total=None)

        def tell(states: int, depth: int) -> None:
            progress.update(task, description=f"{states:,} states, depth {depth}")

        if engine == "python":
            return explore_in_python(compile_model(options), limits, tell)
        return search(options, how, limits, tell, reach)


def _print_exploration(options: Options, found: Exploration, names: set[str]) -> None:
    console = Console(highlight=False, soft_wrap=True)
    console.print(options.describe())
    if found.broken:
        reached = found.broken in WITNESSES
        what = "[green]is reached[/]" if reached else "breaks"
        colour = "bold" if reached else "bold red"
        console.print(f"[{colour}]{found.broken}[/] {what} after {len(found.schedule)} steps:")
        broken = STATES.get(found.broken) or STEPS.get(found.broken) or WITNESSES.get(found.broken)
        if broken is not None and broken.claim.__doc__:
            console.print(f"   It says: {broken.claim.__doc__.split(chr(10))[0]}")
        console.print(listing(found.schedule, found.values))
    else:
        for name in sorted(names - found.taken):
            console.print(f"[yellow]never taken[/] {name}")
        for name in sorted(of_instance(WITNESSES, options).keys() - found.witnesses):
            console.print(f"[yellow]never seen[/] {name}")
    verdict = "a claim breaks" if found.broken else "every claim holds"
    if found.broken in WITNESSES:
        verdict = "reached"
    if found.limit:
        verdict = f"no claim breaks so far (limit of {found.limit})"
    rate = found.states / max(found.seconds, 1e-9)
    console.print(
        f"{found.states:,} states, {found.transitions:,} transitions in {found.seconds:.1f} s "
        f"({rate:,.0f} states/s), depth {found.depth}: {verdict}"
    )
    if found.represented > found.states:
        console.print(f"by symmetry they stand for {found.represented:,} states")
    if found.safe:
        console.print(f"{found.safe} actions are safe, and taken alone where they are possible")
    if found.loss:
        console.print(f"by hashes alone: probability of a lost state below {found.loss:.1g}")


def _to_json(options: Options, found: Exploration) -> dict[str, object]:
    return {
        "instance": options.describe(),
        "states": found.states,
        "represented": found.represented,
        "safe_actions": found.safe,
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
