"""The report as one HTML file that needs no network: matrix, clauses, and each run's dialogue.

The dialogues of a case are alike, on whatever targets: they are deflated together, and the browser
inflates them when one is opened.
"""

import base64
import json
import re
import shlex
import zlib
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
RUN_ID: Final = "\ue000"  # stands for a run's id in what is packed, so that equal runs are equal


@dataclass(frozen=True, slots=True)
class Line:
    """One record as the page shows it."""

    index: int
    t: float
    kind: str
    text: str
    whole: str  # JSON; empty if the text says it all


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a case: what the page shows of it at once, and where its dialogue is packed."""

    id: str
    target: str
    outcome: Outcome
    pack: int
    place: int  # in the pack


@dataclass(frozen=True, slots=True)
class Dialogue:
    """What is shown of a run that is opened."""

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
    runs, dialogues = _runs(sheets, titles)
    table = rows(sheets)
    return environment.get_template("report.html.j2").render(
        titles=titles,
        sheets=sheets,
        totals=[Counter(o.verdict for o in sheet.outcomes) for sheet in sheets],
        rows=table,
        chapters=_chapters(runs, table),
        runs=runs,
        runs_of=_by_clause(runs),
        packs=[_packed(environment, some) for some in dialogues],
        verdicts=WORST_FIRST,
        known=clauses(),
        worst=worst,
        style=_own("report.css"),
        script=_own("report.js").replace("RUN_ID", RUN_ID),
    )


def _runs(sheets: list[Sheet], titles: list[str]) -> tuple[list[Run], list[list[Dialogue]]]:
    """The runs, and by case what each of its packs holds."""
    runs: list[Run] = []
    packs: dict[str, list[Dialogue]] = {}
    numbers: dict[str, int] = {}
    for number, (title, sheet) in enumerate(zip(titles, sheets, strict=True)):
        for outcome in sheet.outcomes:
            pack = packs.setdefault(outcome.case, [])
            of = numbers.setdefault(outcome.case, len(numbers))
            run_id = f"run-{number}-{of}-{len(pack)}"
            runs.append(Run(run_id, title, outcome, of, len(pack)))
            pack.append(_dialogue(sheet, outcome))
    return runs, list(packs.values())


def _packed(environment: Environment, dialogues: list[Dialogue]) -> str:
    """For each run what its part of the page holds, and the whole messages by their records."""
    template = environment.get_template("run.html.j2")
    shown = []
    for one in dialogues:
        text = template.render(run=one, run_id=RUN_ID, known=clauses(), lanes=lanes)
        wholes = {line.index: line.whole for line in one.lines if line.whole}
        shown.append([re.sub(r">\n\s*<", "><", text), wholes])
    deflated = zlib.compress(json.dumps(shown, ensure_ascii=False).encode(), 9)
    return base64.b64encode(deflated).decode()


def write(path: Path, sheets: list[Sheet]) -> None:
    """Write the page, whole or not at all."""
    write_whole(path, render(sheets).encode())


def _own(name: str) -> Markup:
    """A part of the page that is ours, and so needs no escaping."""
    folder = resources.files("cleancut_conformance") / "report" / "page"
    return Markup((folder / name).read_text(encoding="utf-8"))


def _dialogue(sheet: Sheet, outcome: Outcome) -> Dialogue:
    records = sheet.records(outcome)
    broken = {finding.index for finding in outcome.findings}
    picture = lanes.draw(records, broken) if records else None
    lines = [_line(index, record) for index, record in enumerate(records)]
    return Dialogue(outcome, lines, picture, shlex.join(sheet.again(outcome)))


def _line(index: int, record: Record) -> Line:
    kind: str = record.dir
    if isinstance(record.msg, dict):
        kind += " event" if "event" in record.msg else " error" if "error" in record.msg else ""
    text, whole = show(record), _whole(record)
    return Line(index, record.t, kind, text, "" if text.endswith(whole) else whole)


def _whole(record: Record) -> str:
    value: Any = record.raw if record.raw is not None else record.msg or record.note
    if record.dir in ("observe", "meta"):  # the content of images would fill pages
        return ""
    text = json.dumps(value, ensure_ascii=False)
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
