"""Known deviations of a target, each with its reason."""

from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from cleancut_conformance.case import Case
from cleancut_conformance.verdict import Result, Verdict
from cleancut_spec import ClauseError, clause
from cleancut_spec.trace import Record


class BaselineError(ValueError):
    """A baseline that cannot be used; the message names the file and what is wrong."""


@dataclass(frozen=True, slots=True)
class Known:
    """This case is known to break this clause, for this reason; now and then, or each time."""

    case: str
    clause: str
    reason: str
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
        known = {e.clause: e.reason for e in self.entries if e.case == result.case.id}
        broken = [finding.clause for finding in result.findings]
        if known.keys() >= set(broken):
            result.verdict, result.reason = Verdict.KNOWN, known[broken[0]]

    def outlived(self, results: list[Result]) -> list[Known]:
        """The entries whose case ran and did not break the clause."""
        passed = {result.case.id for result in results if result.verdict is Verdict.PASS}
        return [e for e in self.entries if e.case in passed and not e.sometimes]


def parse_baseline(text: str, name: str, cases: tuple[Case, ...]) -> Baseline:
    """The baseline in a YAML text: case, clause, reason, and whether `sometimes`.

    Raises BaselineError.
    """
    try:
        data = YAML(typ="safe").load(text) or []
    except YAMLError as error:
        raise BaselineError(f"{name}: {' '.join(str(error).split())}") from None
    if not isinstance(data, list):
        raise BaselineError(f"{name}: it is no list")
    ids = {case.id for case in cases}
    return Baseline(name, tuple(_entry(item, name, ids) for item in data))


def _entry(item: Any, name: str, ids: set[str]) -> Known:
    keys = {"case", "clause", "reason"}
    sometimes = item.pop("sometimes", False) if isinstance(item, dict) else False
    if not isinstance(item, dict) or set(item) != keys or not all(map(str, item.values())):
        raise BaselineError(f"{name}: an entry has case, clause and reason, not {item!r}")
    if not isinstance(sometimes, bool):
        raise BaselineError(f"{name}: sometimes is true or false, not {sometimes!r}")
    if item["case"] not in ids:
        raise BaselineError(f"{name}: no case {item['case']!r}")
    try:
        clause(item["clause"])
    except ClauseError as error:
        raise BaselineError(f"{name}: {error}") from None
    reason = " ".join(str(item["reason"]).split())
    return Known(item["case"], item["clause"], reason, sometimes)


def load_baseline(path: Path, cases: tuple[Case, ...]) -> Baseline:
    """A user's own baseline file; raises BaselineError."""
    try:
        return parse_baseline(path.read_text(encoding="utf-8"), str(path), cases)
    except (OSError, UnicodeDecodeError) as error:
        raise BaselineError(f"{path}: {error}") from None


def shipped_baseline(records: list[Record], cases: tuple[Case, ...]) -> Baseline:
    """The baseline that comes with the suite for the version of QEMU that has greeted us."""
    name = _implementation(records)
    file = resources.files(__package__) / "baselines" / f"{name}.yaml"
    if name and file.is_file():
        return parse_baseline(file.read_text(encoding="utf-8"), f"{name}.yaml", cases)
    return Baseline("none")


def _implementation(records: list[Record]) -> str:
    for record in records:
        if record.dir == "recv" and isinstance(record.msg, dict) and "QMP" in record.msg:
            version = record.msg["QMP"]["version"]
            if str(version.get("package", "")).startswith("cleancut"):
                return "cleancut"
            return "qemu-{major}.{minor}".format(**version["qemu"])
    return ""
