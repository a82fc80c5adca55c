"""Several runs of the suite side by side, by clause and by case."""

from collections import Counter
from dataclasses import dataclass
from typing import Any, Final

from cleancut_conformance.report.results import Outcome, Sheet
from cleancut_conformance.verdict import Verdict
from cleancut_spec import Clause, clauses

WORST_FIRST: Final = (Verdict.FAIL, Verdict.UNKNOWN, Verdict.KNOWN, Verdict.SKIP, Verdict.PASS)


@dataclass(frozen=True, slots=True)
class Row:
    """A clause, and how the cases that cite it came out in each run of the suite."""

    id: str
    clause: Clause | None  # None: this version of the spec does not know it
    cells: tuple[Counter[Verdict], ...]

    @property
    def differs(self) -> bool:
        """Whether the runs of the suite disagree."""
        return len({worst(cell) for cell in self.cells}) > 1


def worst(counts: Counter[Verdict]) -> Verdict | None:
    """The gravest of these verdicts; None if there is none."""
    return next((verdict for verdict in WORST_FIRST if counts[verdict]), None)


def names(sheets: list[Sheet]) -> list[str]:
    """A heading for each run; where two would be alike, with what the user called the target."""
    plain = [sheet.name for sheet in sheets]
    longer = [
        name if plain.count(name) == 1 or name == sheet.header["target"]
        else f"{name} ({sheet.header['target']})"
        for name, sheet in zip(plain, sheets, strict=True)
    ]  # fmt: skip
    return [
        name if longer.count(name) == 1 else f"{name} #{number}"
        for number, name in enumerate(longer, start=1)
    ]


def rows(sheets: list[Sheet]) -> list[Row]:
    """A row for each clause, in the order of the text; then those that the text does not have."""
    cited = {c for sheet in sheets for outcome in sheet.outcomes for c in outcome.clauses}
    ids = [*clauses(), *sorted(cited - clauses().keys())]
    return [
        Row(clause_id, clauses().get(clause_id), tuple(_cell(sheet, clause_id) for sheet in sheets))
        for clause_id in ids
    ]


def _cell(sheet: Sheet, clause_id: str) -> Counter[Verdict]:
    return Counter(o.verdict for o in sheet.outcomes if clause_id in o.clauses)


def by_case(sheet: Sheet) -> dict[str, list[Outcome]]:
    """The runs of each case."""
    found: dict[str, list[Outcome]] = {}
    for outcome in sheet.outcomes:
        found.setdefault(outcome.case, []).append(outcome)
    return found


def differing_cases(sheets: list[Sheet]) -> dict[str, list[list[Outcome]]]:
    """The cases whose gravest verdict is not the same everywhere: id -> outcomes by sheet."""
    cases = [by_case(sheet) for sheet in sheets]
    ids = dict.fromkeys(case_id for found in cases for case_id in found)
    chosen = {}
    for case_id in ids:
        outcomes = [found.get(case_id, []) for found in cases]
        verdicts = {worst(Counter(o.verdict for o in some)) for some in outcomes}
        if len(verdicts) > 1:
            chosen[case_id] = outcomes
    return chosen


def to_json(sheets: list[Sheet]) -> dict[str, Any]:
    """The comparison as plain data."""
    titles = names(sheets)
    return {
        "targets": [
            {"name": title, "target": sheet.header["target"], **sheet.target,
             "complete": sheet.complete}
            for title, sheet in zip(titles, sheets, strict=True)
        ],
        "clauses": {
            row.id: dict(zip(titles, map(dict, row.cells), strict=True)) for row in rows(sheets)
        },
        "differ": {
            case_id: {
                title: [{"verdict": o.verdict, "reason": o.reason} for o in some]
                for title, some in zip(titles, outcomes, strict=True)
            }
            for case_id, outcomes in differing_cases(sheets).items()
        },
    }  # fmt: skip
