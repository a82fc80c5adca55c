"""What came out of a case."""

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from cleancut_conformance.case import Case
from cleancut_conformance.judge import Finding
from cleancut_spec.trace import Record


class Verdict(StrEnum):
    """Unknown is not green; known is a deviation that the baseline lists."""

    PASS = "pass"
    FAIL = "fail"
    UNKNOWN = "unknown"
    SKIP = "skip"
    KNOWN = "known"


@dataclass(slots=True)
class Result:
    """One run of a case; `reason` is why it did not pass."""

    case: Case
    verdict: Verdict
    reason: str = ""
    findings: list[Finding] = field(default_factory=list)
    records: list[Record] = field(default_factory=list)
    trace: Path | None = None
    seconds: float = 0.0
    run: int = 1  # of a case that is repeated
    ending: str = ""  # of a target that ended or hung unasked: how, and the end of what it said
