"""`cleancut liveness`."""

import click
from rich.console import Console

from cleancut_model.commands.instance import chooses_instance
from cleancut_model.commands.shared import progress_bar
from cleancut_model.drawing import listing
from cleancut_model.explore import NoCompiler, SearchError
from cleancut_model.explore.graph import Graph
from cleancut_model.explore.liveness import Fair, Fairness, Lasso, never_ends
from cleancut_model.options import Options
from cleancut_model.properties.liveness import ENDS

EXAMPLES = """
Fairness: the implementation's own steps, and the client's resume, finalize, dismiss and reconnect,
are taken at some time. Weak: if they stay possible. Strong: if they are possible again and again.

\b
Examples:
  cleancut liveness                            two drives, one cluster, strong fairness
  cleancut liveness --fairness weak            a client that pauses and resumes for ever
  cleancut liveness --preset grouped
  cleancut liveness --preset everything        1.7 million states, about a minute
  cleancut liveness --bug resume-from-start    a bug that no safety claim needs to see

\b
Exit codes: 0 everything ends, 1 something may never end, 2 wrong use.
"""


@click.command("liveness", epilog=EXAMPLES)
@chooses_instance(small=True)
@click.option("--fairness", type=click.Choice(("weak", "strong")), default="strong",
              show_default=True)  # fmt: skip
def liveness(options: Options, fairness: Fairness) -> int:
    """Check that transactions, started jobs and guest writes end in every fair run."""
    console = Console(highlight=False, soft_wrap=True)
    with progress_bar() as progress:
        task = progress.add_task("exploring", total=None)

        def tell(states: int, depth: int) -> None:
            progress.update(task, description=f"{states:,} states, depth {depth}")

        try:
            graph = Graph(options, tell)
        except (NoCompiler, SearchError) as error:
            raise click.UsageError(str(error)) from None
        progress.update(task, description=f"{graph.size:,} states: looking for fair runs")
        fair = Fair(graph)
        found = {
            claim: never_ends(fair, graph, claim, fairness)
            for claim, ends in ENDS.items()
            if options.has(*ends.needs)
        }
    console.print(options.describe())
    for claim, lasso in found.items():
        verdict = "[green]holds[/]" if lasso is None else "[bold red]may fail[/]"
        console.print(f"{claim:<24} {verdict}")
    for claim, lasso in found.items():
        if lasso is not None:
            _print_lasso(console, claim, lasso)
    console.print(f"{graph.size:,} states, {fairness} fairness")
    return 1 if any(found.values()) else 0


def _print_lasso(console: Console, claim: str, lasso: Lasso) -> None:
    case = f" for {lasso.case}" if lasso.case else ""
    console.print(f"\n{claim} may fail{case}: after these steps")
    console.print(listing(lasso.stem, lasso.values))
    if lasso.steps:
        console.print(f"the run may go round {lasso.states} states for ever, by")
        for step in sorted(lasso.steps):
            console.print(f"        {step}")
    else:
        console.print("the run may rest for ever")
