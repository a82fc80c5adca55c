"""The file of results: a run of the suite as JSON lines, written as it happens, read by reports.

The form of a line is `result.schema.json` of the spec.
"""

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from importlib import resources
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from cleancut_conformance.baseline import Known
from cleancut_conformance.greeting import greeter
from cleancut_conformance.judge import Finding
from cleancut_conformance.verdict import Result, Verdict
from cleancut_spec.trace import Record, TraceError, read

if TYPE_CHECKING:
    import jsonschema

FORMAT: Final = 1
NAME: Final = "results.jsonl"  # beside the traces


class ResultError(ValueError):
    """A file of results that cannot be used; the message names the file, line and what is wrong."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one run of a case came out, as it is stored."""

    case: str
    again: str  # what `cleancut conform` calls the case
    title: str
    clauses: tuple[str, ...]
    verdict: Verdict
    reason: str
    seconds: float
    trace: str | None
    findings: tuple[Finding, ...]
    run: int = 1
    ending: str = ""  # of a target that ended or hung unasked

    @property
    def chapter(self) -> str:
        """The part of the case's id before the slash."""
        return self.case.split("/")[0]


@dataclass(slots=True)
class Sheet:
    """One run of the suite, as it is stored; without footer it was cut off."""

    header: dict[str, Any]
    folder: Path  # where the traces are
    target: dict[str, Any] = field(default_factory=dict)
    outcomes: list[Outcome] = field(default_factory=list)
    footer: dict[str, Any] | None = None

    @property
    def name(self) -> str:
        """The implementation that greeted us, or what the user called it."""
        return str(self.target.get("implementation") or self.header["target"])

    @property
    def complete(self) -> bool:
        """Whether the run came to its end."""
        return self.footer is not None

    def records(self, outcome: Outcome) -> list[Record]:
        """The trace of a run; none if it is not there any more."""
        if outcome.trace is None:
            return []
        try:
            with (self.folder / outcome.trace).open(encoding="utf-8") as file:
                return list(read(file))
        except (OSError, UnicodeDecodeError, TraceError):
            return []

    def again(self, outcome: Outcome) -> list[str]:
        """The words that run the case again."""
        return [*self.header["command"], outcome.again]


class ResultWriter:
    """Hands on each line when it is known, so that a run that is cut off keeps what it had."""

    def __init__(self, write: Callable[[str], object], traces: Path) -> None:
        self._write = write
        self._traces = traces
        self._greeted = False

    def _line(self, kind: str, **parts: Any) -> None:
        self._write(json.dumps({"kind": kind, **parts}) + "\n")

    def header(self, target: str, command: list[str], cases: int, **more: Any) -> None:
        """What is run on what; `more`: seed, shard, repeat."""
        started = datetime.now(UTC).isoformat(timespec="seconds")
        self._line("header", format=FORMAT, suite=version("cleancut"), target=target,
                   command=command, cases=cases, traces=str(self._traces), started=started,
                   **more)  # fmt: skip

    def result(self, result: Result) -> None:
        """How a run came out; before the first that was greeted, who greeted."""
        if not self._greeted and (who := greeter(result.records)):
            self._greeted = True
            self._line("target", **who)
        trace = result.trace and str(result.trace.relative_to(self._traces))
        findings = [{"record": f.index, "clause": f.clause, "message": f.message}
                    for f in result.findings]  # fmt: skip
        self._line("result", case=result.case.id, again=result.case.again, title=result.case.title,
                   clauses=result.case.clauses, verdict=str(result.verdict), reason=result.reason,
                   seconds=round(result.seconds, 3), trace=trace, findings=findings,
                   run=result.run,
                   **({"ending": result.ending} if result.ending else {}))  # fmt: skip

    def footer(
        self, results: list[Result], outlived: list[Known], seconds: float, code: int
    ) -> None:
        """How the whole run ended."""
        counts = Counter(str(result.verdict) for result in results)
        gone = [{"case": entry.case, "clause": entry.clause} for entry in outlived]
        self._line("footer", verdicts=counts, outlived=gone, seconds=round(seconds, 3), exit=code)


@cache
def _validator(kind: str = "") -> "jsonschema.Draft202012Validator":
    """Of any line, or of a line of this kind."""
    import jsonschema  # it takes its time, and only those who read results need it

    text = (resources.files("cleancut_spec") / "schema" / "result.schema.json").read_text("utf-8")
    schema = json.loads(text)
    one = {**schema["$defs"][kind], "$defs": schema["$defs"]} if kind else schema
    return jsonschema.Draft202012Validator(one)


def load(path: Path) -> Sheet:
    """A file of results, or the one in a folder of traces; raises ResultError."""
    file = path / NAME if path.is_dir() else path
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ResultError(f"{file}: {getattr(error, 'strerror', None) or error}") from None
    sheet: Sheet | None = None
    for number, line in enumerate(lines, start=1):
        if number == len(lines) and not line.endswith("}"):
            break  # the last line of a run that was cut off
        data = _parse(line, f"{file}: line {number}")
        if (sheet is None) != (data["kind"] == "header"):
            raise ResultError(f"{file}: line {number}: the header stands first, and once")
        if sheet is None:
            sheet = Sheet(data, _folder(file, data["traces"]))
        else:
            _add(sheet, data)
    if sheet is None:
        raise ResultError(f"{file}: there is no header in it")
    return sheet


def _parse(line: str, place: str) -> dict[str, Any]:
    try:
        data = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ResultError(f"{place}: not JSON: {error}") from None
    if next(_validator().iter_errors(data), None) is None:
        return dict(data)
    kind = data.get("kind") if isinstance(data, dict) else None
    if kind not in ("header", "target", "result", "footer"):
        raise ResultError(f"{place}: no line of a file of results")
    problem = next(_validator(kind).iter_errors(data))
    at = "/".join(map(str, problem.absolute_path))
    raise ResultError(f"{place}: {at + ': ' if at else ''}{problem.message[:200]}")


def _folder(file: Path, said: str) -> Path:
    """The traces lie beside their results, or where the header says."""
    return file.parent if file.name == NAME else Path(said)


def _add(sheet: Sheet, data: dict[str, Any]) -> None:
    kind = data.pop("kind")
    if kind == "target":
        sheet.target = data
    elif kind == "footer":
        sheet.footer = data
    else:
        found = tuple(Finding(f["record"], f["clause"], f["message"]) for f in data["findings"])
        sheet.outcomes.append(Outcome(
            data["case"], data["again"], data["title"], tuple(data["clauses"]),
            Verdict(data["verdict"]), data["reason"], data["seconds"], data["trace"], found,
            data["run"], data.get("ending", ""),
        ))  # fmt: skip
