"""`cleancut prove`."""

import json
from dataclasses import replace
from itertools import pairwise
from typing import Final

import click
from rich.console import Console
from rich.table import Table

from cleancut_model.commands.instance import chooses_instance
from cleancut_model.commands.shared import progress_bar
from cleancut_model.options import POLICIES, PRESETS, Options
from cleancut_model.properties import STATES, STEPS
from cleancut_model.prove import FiniteProver, Prover, Verdict

ANY_SIZE: Final = "any number of drives, clusters and values"

PROVE_EXAMPLES = """
\b
Examples:
  cleancut prove                                     every claim of the plain protocol
  cleancut prove --all                               every part of the protocol, every policy
  cleancut prove --policy stop --with grouped        one configuration
  cleancut prove completed_backups_share_the_cut
  cleancut prove --bug no-drain                      the proof must reject a wrong protocol
  cleancut prove --finite                            for two drives, without quantifiers

\b
Exit codes: 0 proved, 1 not proved (refuted by a step), 2 wrong use, 3 z3 does not know.
"""


@click.command("prove", epilog=PROVE_EXAMPLES)
@click.argument("claims", nargs=-1, metavar="[CLAIM]...")
@chooses_instance(sizes=False)
@click.option("--timeout", "timeout_s", type=click.FloatRange(0.1), default=20.0,
              show_default=True, help="Seconds for one question to z3.")  # fmt: skip
@click.option("--finite", is_flag=True, help="Only two drives, clusters and values.")
@click.option("--all", "all_presets", is_flag=True, help="Every preset, a line each.")
@click.option("--json", "as_json", is_flag=True, help="Print the verdicts as JSON.")
def prove(
    options: Options,
    claims: tuple[str, ...],
    timeout_s: float,
    finite: bool,
    all_presets: bool,
    as_json: bool,
) -> int:
    """Prove the claims of the model for any number of drives, clusters, values and requests."""
    if all_presets:
        return _prove_all(timeout_s, as_json)
    prover = _prover(options, finite, timeout_s)
    for claim in claims:
        if claim not in prover.claims():
            raise click.UsageError(f"no claim {claim!r}; there are {', '.join(prover.claims())}")
    names = list(claims) or prover.claims()
    verdicts: list[Verdict] = []
    with progress_bar() as progress:
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
        what = options.describe() if finite else f"{options.parts()}, {ANY_SIZE}"
        _print_proof(verdicts, empty, what)
    statuses = {verdict.status for verdict in verdicts}
    return 1 if "refuted" in statuses or empty else 3 if "unknown" in statuses else 0


def _print_proof(verdicts: list[Verdict], empty: list[str], what: str) -> None:
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
    console.print(f"\n{what}: {proved} of {len(verdicts)} proved in {seconds:.1f} s")


def _prover(options: Options, finite: bool, timeout_s: float) -> Prover | FiniteProver:
    if finite:
        return FiniteProver(replace(options, errors=max(1, options.errors or 0)), timeout_s)
    return Prover(options.without_limits(), timeout_s)


def _prove_all(timeout_s: float, as_json: bool) -> int:
    """Every preset and the policies, each with all its claims."""
    instances = {**PRESETS, **of_policies()}
    rows, worst = [], 0
    with progress_bar() as progress:
        task = progress.add_task("proving", total=len(instances))
        for name, options in instances.items():
            progress.update(task, description=f"proving {name}")
            row = _prove_one(name, options, timeout_s)
            rows.append(row)
            worst = max(worst, 1 if row["refuted"] or row["empty"] else 3 if row["unknown"] else 0)
            progress.advance(task)
    if as_json:
        print(json.dumps(rows, indent=1))
        return worst
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("instance", "claims", "proved", "slowest s", "all s"):
        table.add_column(column, justify="left" if column == "instance" else "right")
    for row in rows:
        counts = [str(row[key]) for key in ("name", "claims", "proved")]
        table.add_row(*counts, f"{row['slowest_s']:.2f}", f"{row['all_s']:.1f}")
    console = Console(highlight=False, soft_wrap=True)
    console.print(table)
    for row in rows:
        for key in ("refuted", "unknown", "empty"):
            if row[key]:
                console.print(f"[bold red]{row['name']}: {key}[/] {row[key]}")
    proved, claims = (sum(int(str(row[key])) for row in rows) for key in ("proved", "claims"))
    console.print(
        f"\n{proved} of {claims} proved for {ANY_SIZE}, in {len(rows)} instances "
        "(cleancut explore --presets tells what is in each)"
    )
    return worst


def of_policies() -> dict[str, Options]:
    """Each policy for both sides where no preset has it so, and for each side beside another.

    What is claimed of one side does not speak of the other, so these few pairs are enough.
    """
    both = {policy: Options(policy=policy) for policy in POLICIES if policy not in PRESETS}
    beside = {
        f"{source}/{target}": Options(source_policy=source, target_policy=target)
        for source, target in pairwise([*POLICIES, *POLICIES[:1]])
    }
    errnos = ("EIO", "ENOSPC")
    return {name: replace(each, errnos=errnos) for name, each in {**both, **beside}.items()}


def _prove_one(name: str, options: Options, timeout_s: float) -> dict[str, object]:
    prover = Prover(options.without_limits(), timeout_s)
    verdicts = [prover.prove(claim) for claim in prover.claims()]
    by_status = {
        status: [v.name for v in verdicts if v.status == status]
        for status in ("proved", "refuted", "unknown")
    }
    return {
        "name": name,
        "claims": len(verdicts),
        "proved": len(by_status["proved"]),
        "refuted": ", ".join(by_status["refuted"]),
        "unknown": ", ".join(by_status["unknown"]),
        "empty": ", ".join(prover.unreachable()),
        "slowest_s": max(verdict.seconds for verdict in verdicts),
        "all_s": sum(verdict.seconds for verdict in verdicts),
        "parts": options.parts(),
    }
