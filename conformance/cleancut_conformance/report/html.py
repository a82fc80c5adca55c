"""The report as one HTML file that needs no network: matrix, clauses, and each run's dialogue."""

import json
import shlex
from collections import Counter
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from cleancut_conformance.files import write_whole
from cleancut_conformance.report import lanes
from cleancut_conformance.report.compare import WORST_FIRST, names, rows, worst
from cleancut_conformance.report.results import Outcome, Sheet
from cleancut_conformance.report.text import show
from cleancut_spec import clauses
from cleancut_spec.trace import Record

LINE_CHARS: Final = 2000  # of a message that is shown whole


@dataclass(frozen=True, slots=True)
class Line:
    """One record as the page shows it."""

    index: int
    t: float
    kind: str
    text: str
    whole: str


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a case, with all that the page shows of it."""

    id: str
    target: str
    outcome: Outcome
    lines: list[Line]
    picture: lanes.Picture | None
    again: str


def render(sheets: list[Sheet]) -> str:
    """The page."""
    environment = Environment(
        loader=PackageLoader("cleancut_conformance", "report/page"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    titles = names(sheets)
    runs = [
        _run(f"run-{place}-{number}", title, sheet, outcome)
        for place, (title, sheet) in enumerate(zip(titles, sheets, strict=True))
        for number, outcome in enumerate(sheet.outcomes)
    ]
    table = rows(sheets)
    return environment.get_template("report.html.j2").render(
        titles=titles,
        sheets=sheets,
        totals=[Counter(o.verdict for o in sheet.outcomes) for sheet in sheets],
        rows=table,
        chapters=_chapters(runs, table),
        runs=runs,
        runs_of=_by_clause(runs),
        verdicts=WORST_FIRST,
        known=clauses(),
        worst=worst,
        lanes=lanes,
        style=_own("report.css"),
        script=_own("report.js"),
    )


def write(path: Path, sheets: list[Sheet]) -> None:
    """Write the page, whole or not at all."""
    write_whole(path, render(sheets).encode())


def _own(name: str) -> Markup:
    """A part of the page that is ours, and so needs no escaping."""
    folder = resources.files("cleancut_conformance") / "report" / "page"
    return Markup((folder / name).read_text(encoding="utf-8"))


def _run(run_id: str, title: str, sheet: Sheet, outcome: Outcome) -> Run:
    records = sheet.records(outcome)
    broken = {finding.index for finding in outcome.findings}
    picture = lanes.draw(records, broken) if records else None
    lines = [_line(index, record) for index, record in enumerate(records)]
    return Run(run_id, title, outcome, lines, picture, shlex.join(sheet.again(outcome)))


def _line(index: int, record: Record) -> Line:
    kind: str = record.dir
    if isinstance(record.msg, dict):
        kind += " event" if "event" in record.msg else " error" if "error" in record.msg else ""
    return Line(index, record.t, kind, show(record), _whole(record))


def _whole(record: Record) -> str:
    value: Any = record.raw if record.raw is not None else record.msg or record.note
    if record.dir in ("observe", "meta"):  # the content of images would fill pages
        return ""
    text = json.dumps(value, indent=1, ensure_ascii=False)
    return text if len(text) <= LINE_CHARS else text[:LINE_CHARS] + "…"


def _by_clause(runs: list[Run]) -> dict[str, list[Run]]:
    found: dict[str, list[Run]] = {}
    for run in runs:
        for clause_id in run.outcome.clauses:
            found.setdefault(clause_id, []).append(run)
    return found


def _chapters(runs: list[Run], table: list[Any]) -> list[str]:
    cited = {row.clause.chapter.partition("-")[2] for row in table if row.clause is not None}
    return sorted({run.outcome.chapter for run in runs} | cited)
