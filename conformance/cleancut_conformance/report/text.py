"""The report on the terminal: a table by clause, and a picture of each first deviation."""

import json
import shlex
from collections import Counter
from typing import Any, Final

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from cleancut_conformance.abilities import Advice
from cleancut_conformance.baseline import Known
from cleancut_conformance.report import compare
from cleancut_conformance.report.compare import WORST_FIRST
from cleancut_conformance.report.results import Sheet
from cleancut_conformance.suite import unstable
from cleancut_conformance.verdict import Result, Verdict
from cleancut_spec import clause, clauses
from cleancut_spec.trace import Record

SHOWN_RECORDS: Final = 8
SHOWN_DEVIATIONS: Final = 5
SHOWN_ENDING: Final = 8
SHOWN_ADVICE: Final = 12
CUT_OFF: Final = " [magenta](cut off: no footer)[/]"
_WIDTH: Final = 150
COLOUR: Final = {
    Verdict.PASS: "green",
    Verdict.FAIL: "bold red",
    Verdict.UNKNOWN: "bold magenta",
    Verdict.SKIP: "dim",
    Verdict.KNOWN: "yellow",
}


def line(result: Result) -> str:
    """One line for a case that has just ended."""
    colour = COLOUR[result.verdict]
    tail = "" if result.verdict is Verdict.PASS else f"  {escape(result.reason[:110])}"
    return f"   [{colour}]{result.verdict:<8}[/]{result.case.id}{tail}"


def chapter_line(results: list[Result]) -> str:
    """One line for a chapter that is through."""
    counts = Counter(result.verdict for result in results)
    parts = ", ".join(f"[{COLOUR[v]}]{counts[v]} {v}[/]" for v in Verdict if counts[v])
    return f"{results[0].case.chapter:<16}{parts}"


def clause_table(results: list[Result]) -> Table:
    """How many cases of each clause came out how."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("clause", "level", "cases", "verdict", "what it promises"):
        table.add_column(name, no_wrap=True, overflow="ellipsis")
    for clause_id, counts in by_clause(results).items():
        known = clause(clause_id)
        total = sum(counts.values())
        table.add_row(clause_id, known.level, str(total), _cell(counts), known.title)
    return table


def by_clause(results: list[Result]) -> dict[str, Counter[Verdict]]:
    """The verdicts of the cases that cite each clause, in the order of the text."""
    found: dict[str, Counter[Verdict]] = {}
    for clause_id in clauses():
        counts = Counter(r.verdict for r in results if clause_id in r.case.clauses)
        if counts:
            found[clause_id] = counts
    return found


def picture(result: Result, again: list[str]) -> str:
    """The first deviation of a case: its messages, the clause, and how to run it again."""
    finding = result.findings[0]
    broken = clause(finding.clause)
    lines = [f"[bold red]{result.case.id}[/]: {escape(result.case.title)}", ""]
    first = max(0, finding.index - SHOWN_RECORDS + 1)
    for index, record in enumerate(result.records[first : finding.index + 1], start=first):
        mark = "[bold red]>[/]" if index == finding.index else " "
        lines.append(f" {mark} {index:>4} {record.t:8.3f} {escape(show(record))}")
    lines += [
        "",
        f"   [bold]{finding.clause}[/] {escape(finding.message)}",
        f"   It says: {escape(broken.sentence)}",
        f"   Why: {escape(broken.why)}",
        *(f"   {escape(text)}" for text in result.ending.splitlines()[-SHOWN_ENDING:]),
        f"   Trace: {result.trace}",
        f"   Again: {escape(shlex.join(again))}",
    ]
    return "\n".join(lines)


def show(record: Record) -> str:
    """A record in one line."""
    if record.raw is not None:
        return f"{_ARROW[record.dir]} {record.raw[:_WIDTH]!r}"
    if record.dir in ("send", "recv"):
        return f"{_ARROW[record.dir]} {_brief(record.msg)}"
    note = record.note
    match record.dir:
        case "io":
            result = f" = {note['result']}" if "result" in note else ""
            return f"~~ {note.get('guest')} {note.get('cmd')}{result}"
        case "observe":
            name = str(note["image"]).rsplit("/", 1)[-1]
            size = "no such file" if note["size_bytes"] is None else f"{note['size_bytes']} bytes"
            must = f", must {_brief(note['must'])}" if "must" in note else ""
            return f"() {name}: {size}{must}"
        case "mark":
            return f"-- {note.get('name')}"
    return f"## {_brief({k: v for k, v in note.items() if k in ('case', 'target', 'exit')})}"


_ARROW: Final = {"send": "->", "recv": "<-"}


def _brief(value: Any) -> str:
    if isinstance(value, dict):
        value = {key: part for key, part in value.items() if key != "timestamp"}
    text = json.dumps(value)
    return text if len(text) <= _WIDTH else text[: _WIDTH - 1] + "…"


def summary(results: list[Result], outlived: list[Known], seconds: float, target: str) -> str:
    """The last line."""
    counts = Counter(result.verdict for result in results)
    parts = [f"[{COLOUR[v]}]{counts[v]} {v}[/]" for v in Verdict if counts[v]]
    parts += [f"[bold red]{len(outlived)} outlived[/]"] if outlived else []
    made = len({result.case.id for result in results if result.case.table})
    written = len({result.case.id for result in results}) - made
    kinds = f" ({written} cases written, {made} made from tables)" if made else ""
    what = ", ".join(parts) or "nothing ran"
    return f"[bold]{escape(target)}[/]: {what} in {seconds:.1f} s{kinds}"


def print_report(
    console: Console, results: list[Result], outlived: list[Known], again: list[str]
) -> None:
    """The table, the first deviations, and the baseline entries that no longer hold."""
    console.print()
    console.print(clause_table(results))
    console.print()
    failed = [result for result in results if result.verdict is Verdict.FAIL]
    for result in failed[:SHOWN_DEVIATIONS]:
        console.print(picture(result, [*again, result.case.again]), soft_wrap=True)
        console.print()
    if len(failed) > SHOWN_DEVIATIONS:
        console.print(f"{len(failed) - SHOWN_DEVIATIONS} more deviations are in the traces.")
    for result in results:
        if result.verdict is Verdict.UNKNOWN:
            console.print(f"[bold magenta]unknown[/] {result.case.id}: {escape(result.reason)}")
            console.print(f"   Trace: {result.trace}", soft_wrap=True)
    for case_id, counts in unstable(results).items():
        console.print(f"[bold red]unstable[/] {case_id}: {_counts(counts)}")
    for entry in outlived:
        words = f"{entry.case} passes now: remove {entry.clause} from the baseline"
        console.print(f"[bold red]outlived[/] {words}")


def print_advice(console: Console, found: list[Advice], unable: Counter[str]) -> None:
    """What the target does not have yet, and what to implement first."""
    if unable:
        words = ", ".join(f"{name} ({count})" for name, count in unable.most_common())
        console.print(f"[bold]Skipped[/] for want of: {words}\n")
    if not found:
        return
    console.print("[bold]What the target does not have yet[/], in the order in which it opens most")
    for number, item in enumerate(found[:SHOWN_ADVICE], start=1):
        alone = f", and it opens {item.opens}" if item.opens else ""
        console.print(f"{number:>4}. {item.words:<40} {item.cases} cases need it{alone}")
    if len(found) > SHOWN_ADVICE:
        console.print(f"      and {len(found) - SHOWN_ADVICE} more")
    console.print()


def _counts(counts: Counter[Verdict]) -> str:
    return ", ".join(f"[{COLOUR[v]}]{counts[v]} {v}[/]" for v in WORST_FIRST if counts[v])


def print_comparison(console: Console, sheets: list[Sheet], only_differences: bool) -> None:
    """Runs of the suite side by side: a column each, then the cases on which they differ."""
    titles = compare.names(sheets)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("clause", "level", *titles, "what it promises"):
        table.add_column(name, no_wrap=True, overflow="ellipsis")
    for row in compare.rows(sheets):
        if not any(row.cells) or (only_differences and not row.differs):
            continue
        level, title = (row.clause.level, row.clause.title) if row.clause else ("", "")
        table.add_row(row.id, level, *(_cell(cell) for cell in row.cells), title)
    console.print(table)
    for case_id, outcomes in compare.differing_cases(sheets).items():
        console.print(f"\n[bold]{case_id}[/]")
        for name, some in zip(titles, outcomes, strict=True):
            words = dict.fromkeys(f"{o.verdict}  {o.reason}".strip() for o in some)
            console.print(f"   {escape(name)}: {escape(' / '.join(words) or 'not run')}")
    console.print()
    for name, sheet in zip(titles, sheets, strict=True):
        totals = Counter(outcome.verdict for outcome in sheet.outcomes)
        cut = "" if sheet.complete else CUT_OFF
        planned = sheet.header["cases"]
        console.print(f"[bold]{escape(name)}[/]: {_counts(totals)}; {planned} planned{cut}")


def _cell(counts: Counter[Verdict]) -> str:
    found = compare.worst(counts)
    if found is None:
        return "[dim]-[/]"
    return f"[{COLOUR[found]}]pass[/]" if found is Verdict.PASS else _counts(counts)
