"""`cleancut judge`: judge stored traces again."""

import json
from pathlib import Path

import click
from rich.console import Console
from rich.markup import escape

from cleancut_conformance.judge import Finding, Judge
from cleancut_conformance.report.text import CUT_OFF, show
from cleancut_spec import clause
from cleancut_spec.profiles import PROFILES
from cleancut_spec.trace import Record, TraceError, read

SHOWN = 5

EXAMPLES = """
\b
Examples:
  cleancut judge cleancut-traces/reference/transaction/burst.jsonl
  cleancut judge --json traces/*.jsonl
  cleancut judge --model traces/*.jsonl        is there a run of the model that looks like this?
  cleancut judge --model --states t.jsonl      which of its states does each record leave possible?

\b
Exit codes: 0 no deviation, 1 a deviation or an impossible record, 2 wrong use or an unreadable
file, 3 a trace was cut off (it has no footer) and shows no deviation so far.
"""


@click.command("judge", epilog=EXAMPLES)
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--profile", type=click.Choice(list(PROFILES)), default=None,
              help="The version to judge by; by default what the greeting says.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
@click.option("--model", "by_model", is_flag=True,
              help="Follow the model: which of its states does each record leave possible? "
                   "Data is left out.")  # fmt: skip
@click.option("--states", is_flag=True, help="With --model: tell of each record, not only of those "
              "that are impossible.")  # fmt: skip
def judge(
    files: tuple[Path, ...], profile: str | None, as_json: bool, by_model: bool, states: bool
) -> int:
    """Judge recorded dialogues (JSON lines) by the clauses, or by the model."""
    console = Console(highlight=False, soft_wrap=True)
    if states and not by_model:
        raise click.UsageError("--states goes with --model")
    if profile and by_model:
        raise click.UsageError("--profile does not go with --model, which is of no version")
    if by_model:
        return _by_model(console, files, as_json=as_json, states=states)
    found: list[dict[str, object]] = []
    worst = 0
    for path in files:
        records = _load(path)
        try:
            findings, complete = judge_records(records, profile)
        except TraceError as error:
            raise click.ClickException(f"{path}: {error}") from None
        found += [_to_json(path, finding) for finding in findings]
        if findings:
            worst = 1
        elif not complete and worst == 0:
            worst = 3
        if not as_json:
            _print(console, path, records, findings, complete)
    if as_json:
        print(json.dumps(found, indent=1))
    return worst


def _by_model(console: Console, files: tuple[Path, ...], *, as_json: bool, states: bool) -> int:
    from cleancut_conformance.modelled import report as modelled  # needs the model's packages

    rows: list[dict[str, object]] = []
    worst = 0
    for path in files:
        records = _load(path)
        complete = len(records) > 1 and records[-1].dir == "meta"
        if as_json:
            found = modelled.to_json(str(path), records)
            rows += found
            well = not any(row["impossible"] for row in found)
        else:
            well = modelled.print_all(console, str(path), records, complete, states=states)
        worst = max(worst, 1 if not well else 0 if complete else 3, key=(0, 3, 1).index)
    if as_json:
        print(json.dumps(rows, indent=1))
    return worst


def judge_records(records: list[Record], profile: str | None) -> tuple[list[Finding], bool]:
    """The findings in a trace, and whether it has its footer."""

    judge = Judge(profile)
    findings = [finding for record in records for finding in judge.feed(record)]
    return findings + judge.close(), judge.complete


def _load(path: Path) -> list[Record]:
    try:
        with path.open(encoding="utf-8") as file:
            records = list(read(file))
    except TraceError as error:
        raise click.ClickException(f"{path}: {error}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise click.ClickException(f"{path}: {getattr(error, 'strerror', None) or error}") from None
    if not records:
        raise click.ClickException(f"{path}: there is no record in it")
    return records


def _print(
    console: Console, path: Path, records: list[Record], findings: list[Finding], complete: bool
) -> None:
    cut = "" if complete else CUT_OFF
    if not findings:
        console.print(f"[green]ok[/]      {path}: {len(records)} records{cut}")
        return
    console.print(f"[bold red]breaks[/]  {path}: {len(findings)} findings{cut}")
    for finding in findings[:SHOWN]:
        console.print(f"   record {finding.index}: {escape(show(records[finding.index]))}")
        console.print(f"      [bold]{finding.clause}[/] {escape(finding.message)}")
        console.print(f"      It says: {escape(clause(finding.clause).sentence)}")
    if len(findings) > SHOWN:
        console.print(f"   and {len(findings) - SHOWN} more")


def _to_json(path: Path, finding: Finding) -> dict[str, object]:
    return {
        "file": str(path),
        "record": finding.index,
        "clause": finding.clause,
        "message": finding.message,
    }
