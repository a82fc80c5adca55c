"""`cleancut agree`: engine and model take every schedule side by side."""

import json
import os
from dataclasses import replace
from typing import Any, Final

import click
from rich.console import Console

from cleancut_conformance.agreement.instances import FOLLOWED, INSTANCES, LARGE
from cleancut_conformance.agreement.search import Agreement, ProcessDied, agree
from cleancut_model.commands.shared import progress_bar
from cleancut_model.compiled import compile_model
from cleancut_model.explore import Limits, NoCompiler, explore, explore_in_python
from cleancut_model.options import PARTS, Options

EXAMPLES: Final = """
The reference engine's own code is run through every schedule of small instances: every order of
its steps, of guest writes and of the client's commands, with every error that the instance allows.
The model must allow each step and be in the same state after it; what the model allows the engine
must offer; and both must have the same number of states and of steps in the end.

\b
Examples:
  cleancut agree                       all small instances
  cleancut agree --all                 two drives of two clusters, too
  cleancut agree core grouped          two of them
  cleancut agree --list
  cleancut explore --subject reference --drives 1 --clusters 3

\b
Exit codes: 0 both are the same, 1 they part, 2 wrong use or a process was killed, 3 a limit was
reached.
"""


@click.command("agree", epilog=EXAMPLES)
@click.argument("names", nargs=-1, metavar="[INSTANCE]...")
@click.option("--all", "large", is_flag=True, help="The large instances, too.")
@click.option("--list", "list_instances", is_flag=True, help="List the instances.")
@click.option("--processes", type=click.IntRange(1, 64), default=os.cpu_count() or 1,
              show_default="one for each core")  # fmt: skip
@click.option("--max-states", type=click.IntRange(0), default=0, help="0: no limit.")
@click.option("--json", "as_json", is_flag=True, help="Print what was found as JSON.")
def agree_command(
    names: tuple[str, ...],
    large: bool,
    list_instances: bool,
    processes: int,
    max_states: int,
    as_json: bool,
) -> int:  # fmt: skip
    """Check that model and reference engine are the same thing, schedule by schedule."""
    known = INSTANCES | LARGE
    if list_instances:
        for name, options in known.items():
            print(f"{name:<18} {options.describe()}")
        return 0
    for name in names:
        if name not in known:
            raise click.UsageError(f"no instance {name!r}; there are {', '.join(known)}")
    worst, rows = 0, []
    for name in names or (known if large else INSTANCES):
        status, row = follow(name, known[name], processes, max_states, quiet=as_json)
        worst = max(worst, status, key=(0, 3, 1).index)
        rows.append(row)
    if as_json:
        print(json.dumps(rows, indent=1))
    else:
        keys = ("states", "steps", "refusals", "processor_s")
        total = {key: sum(row[key] for row in rows) for key in keys}
        rate = _rate(total["steps"] + total["refusals"], total["processor_s"])
        print(f"\n{total['states']:,} states and {total['steps']:,} steps of the engine", end=" ")
        print(f"and {total['refusals']:,} refused commands in {len(rows)} instances, {rate}")
    return worst


def unfollowed(options: Options) -> str:
    """The parts of an instance in which the engine cannot be followed, in words."""
    odd = [what for part, what in PARTS.items() if getattr(options, part) and part not in FOLLOWED]
    odd += ["several guest requests at once"] if options.requests > 1 else []
    return ", ".join(odd)


def explore_reference(options: Options, processes: int, max_states: int, as_json: bool) -> int:
    """`cleancut explore --subject reference`, for one instance: a server, so with a monitor."""
    options = replace(options, monitor=True)
    if odd := unfollowed(options):
        raise click.UsageError(f"the reference is not followed in instances with {odd}")
    status, row = follow("", options, processes, max_states, quiet=as_json)
    if as_json:
        print(json.dumps(row, indent=1))
    return status


def follow(
    name: str, options: Options, processes: int, max_states: int, *, quiet: bool
) -> tuple[int, dict[str, Any]]:
    """Follow the engine through one instance and print what was found; exit code and row."""
    with progress_bar() as progress:
        task = progress.add_task(name or "following", total=None)

        def tell(states: int, steps: int) -> None:
            text = f"{name} {states:,} states, {steps:,} steps".strip()
            progress.update(task, description=text)

        try:
            found = agree(options, processes, max_states, tell)
        except ProcessDied as error:
            raise click.ClickException(f"{error}: too little memory? try --processes 1") from None
    expected = _expected(options) if not found.limit and not found.disagreement else (0, 0)
    same = found.complete and expected == (found.model_states, found.model_steps)
    if not quiet:
        _print(name, options, found, expected, same)
    status = 3 if found.limit else 0 if same else 1
    return status, _row(name, options, found, expected)


def _expected(options: Options) -> tuple[int, int]:
    """The states and steps of the model alone."""
    try:
        found = explore(options)
    except NoCompiler:
        found = explore_in_python(compile_model(options), Limits())
    return found.states, found.transitions


def _print(
    name: str, options: Options, found: Agreement, expected: tuple[int, int], same: bool
) -> None:
    console = Console(highlight=False, soft_wrap=True)
    console.print(f"[bold]{name}[/] {options.describe()}".strip())
    console.print(
        f"   engine: {found.states:,} states, {found.steps:,} steps, {found.refusals:,} refused "
        f"commands, in {found.seconds:.1f} s, {_rate(found.all_steps, found.processor_s)}"
    )
    if found.disagreement:
        console.print(f"   [bold red]they part[/] after {len(found.schedule)} steps:")
        for step in found.schedule:
            console.print(f"      {step}")
        console.print(f"   {found.disagreement}")
        return
    if found.limit:
        console.print("   [yellow]the same so far[/]: the limit of states was reached")
        return
    mine = f"{found.model_states:,} states, {found.model_steps:,} steps"
    if same:
        console.print(f"   model: {mine}: [green]the same[/]")
        return
    console.print(f"   model: {expected[0]:,} states, {expected[1]:,} steps; of these {mine} seen")
    for action, count in found.left_out.most_common():
        console.print(f"   [bold red]only the model[/] takes {action}: {count:,} steps")


def _rate(steps: int, processor_s: float) -> str:
    """How fast the engine's steps are followed, those among them that refuse a command."""
    return f"{steps / max(processor_s, 1e-9):,.0f} steps per second and core"


def _row(
    name: str, options: Options, found: Agreement, expected: tuple[int, int]
) -> dict[str, Any]:
    return {
        "name": name,
        "instance": options.describe(),
        "states": found.states,
        "steps": found.steps,
        "refusals": found.refusals,
        "model_states": found.model_states,
        "model_steps": found.model_steps,
        "expected": expected,
        "seconds": found.seconds,
        "processor_s": found.processor_s,
        "limit": found.limit,
        "disagreement": found.disagreement,
        "schedule": found.schedule,
        "left_out": dict(found.left_out),
    }
