"""Known deviations of a target, each with its reason."""

import io
import itertools
import textwrap
from dataclasses import dataclass
from datetime import UTC, date, datetime
from importlib import resources
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import YAMLError
from ruamel.yaml.scalarstring import FoldedScalarString

from cleancut_conformance.case import Case
from cleancut_conformance.files import write_whole
from cleancut_conformance.greeting import greeter
from cleancut_conformance.judge import Finding
from cleancut_conformance.verdict import Result, Verdict
from cleancut_spec import ClauseError, clause
from cleancut_spec.trace import Record


class BaselineError(ValueError):
    """A baseline that cannot be used; the message names the file and what is wrong."""


@dataclass(frozen=True, slots=True)
class Known:
    """This case is known to break this clause, for this reason; now and then, or each time."""

    case: str  # or a table: now and then some of its rows do
    clause: str
    reason: str
    date: date
    sometimes: bool = False


@dataclass(frozen=True, slots=True)
class Baseline:
    """The known deviations of one target."""

    name: str
    entries: tuple[Known, ...] = ()

    def apply(self, result: Result) -> None:
        """Turn a failure that is listed into a known one."""
        if result.verdict is not Verdict.FAIL:
            return
        names = (result.case.id, result.case.name)
        known = {e.clause: e.reason for e in self.entries if e.case in names}
        broken = [finding.clause for finding in result.findings]
        if known.keys() >= set(broken):
            result.verdict, result.reason = Verdict.KNOWN, known[broken[0]]

    def outlived(self, results: list[Result]) -> list[Known]:
        """The entries whose case ran and did not break the clause."""
        passed = {result.case.id for result in results if result.verdict is Verdict.PASS}
        return [e for e in self.entries if e.case in passed and not e.sometimes]


def parse_baseline(text: str, name: str, cases: tuple[Case, ...]) -> Baseline:
    """The baseline in a YAML text: case, clause, reason, date, and whether `sometimes`.

    A table stands for its rows, of what occurs in some of them, sometimes. Raises BaselineError.
    """
    try:
        data = YAML(typ="safe").load(text) or []
    except YAMLError as error:
        raise BaselineError(f"{name}: {' '.join(str(error).split())}") from None
    if not isinstance(data, list):
        raise BaselineError(f"{name}: it is no list")
    ids, tables = {case.id for case in cases}, {case.table for case in cases if case.table}
    return Baseline(name, tuple(_entry(item, name, ids, tables) for item in data))


def _entry(item: Any, name: str, ids: set[str], tables: set[str]) -> Known:
    keys = {"case", "clause", "reason", "date"}
    sometimes = item.pop("sometimes", False) if isinstance(item, dict) else False
    if not isinstance(item, dict) or set(item) != keys or not all(map(str, item.values())):
        raise BaselineError(f"{name}: an entry has case, clause, reason and date, not {item!r}")
    if not isinstance(sometimes, bool):
        raise BaselineError(f"{name}: sometimes is true or false, not {sometimes!r}")
    if type(item["date"]) is not date:
        raise BaselineError(f"{name}: date is a day such as 2026-11-25, not {item['date']!r}")
    if item["case"] in tables and not sometimes:
        words = "is a table, of which an entry is of what occurs sometimes: true"
        raise BaselineError(f"{name}: {item['case']!r} {words}")
    if item["case"] not in ids | tables:
        raise BaselineError(f"{name}: no case {item['case']!r}")
    try:
        clause(item["clause"])
    except ClauseError as error:
        raise BaselineError(f"{name}: {error}") from None
    reason = " ".join(str(item["reason"]).split())
    return Known(item["case"], item["clause"], reason, item["date"], sometimes)


def load_baseline(path: Path, cases: tuple[Case, ...]) -> Baseline:
    """A user's own baseline file; raises BaselineError."""
    try:
        return parse_baseline(path.read_text(encoding="utf-8"), str(path), cases)
    except (OSError, UnicodeDecodeError) as error:
        raise BaselineError(f"{path}: {error}") from None


def shipped_baseline(records: list[Record], cases: tuple[Case, ...]) -> Baseline:
    """The baseline that comes with the suite for the version of QEMU that has greeted us."""
    name = greeter(records).get("implementation", "")
    file = resources.files(__package__) / "baselines" / f"{name}.yaml"
    if name and file.is_file():
        return parse_baseline(file.read_text(encoding="utf-8"), f"{name}.yaml", cases)
    return Baseline("none")


def update_baseline(path: Path, results: list[Result]) -> tuple[int, int]:
    """Make a baseline file fit these results: how many entries were added, and removed.

    Comments stay. An entry goes when its case ran and passed, unless it occurs `sometimes` only;
    what is new gets what the judge said as its reason, for a person to explain.
    """
    yaml = YAML()
    yaml.width = 100
    old: Any = yaml.load(path.read_text(encoding="utf-8")) if path.exists() else None
    entries: Any = CommentedSeq() if old is None else old
    passed = {result.case.id for result in results} - {
        result.case.id for result in results if result.verdict is not Verdict.PASS
    }
    gone = [
        at for at, e in enumerate(entries) if e["case"] in passed and not e.get("sometimes", False)
    ]
    for at in reversed(gone):
        del entries[at]
    known = {(entry["case"], entry["clause"]) for entry in entries}
    added = 0
    for result in results:
        for finding in result.findings:
            listed = {(n, finding.clause) for n in (result.case.id, result.case.name)}
            if not listed & known:
                known.add((result.case.id, finding.clause))
                entries.append(_new_entry(result.case.id, finding))
                added += 1
    text = io.StringIO()
    yaml.dump(entries, text)
    write_whole(path, text.getvalue().encode())
    return added, len(gone)


def _new_entry(case_id: str, finding: Finding) -> CommentedMap:
    today = datetime.now(UTC).date()
    lines = textwrap.wrap(f"to be explained: {finding.message}", 92, break_on_hyphens=False)
    reason = FoldedScalarString(" ".join(lines))
    ends = itertools.accumulate(len(line) + 1 for line in lines[:-1])
    reason.fold_pos = [end - 1 for end in ends]
    return CommentedMap(case=case_id, clause=finding.clause, date=today, reason=reason)
