"""Writes a trace and shows each record to the judge as it is written."""

import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from cleancut_conformance.images import look
from cleancut_conformance.judge import Finding, Judge
from cleancut_conformance.targets.base import Session, Setup
from cleancut_spec.trace import FORMAT, Dir, Record, Writer


class Recorder:
    """One trace; the records and findings of the run so far."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("w", encoding="utf-8")
        self._writer = Writer(self._file)
        self._start = time.monotonic()
        self.judge = Judge()
        self.records: list[Record] = []
        self.findings: list[Finding] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()

    def add(
        self,
        direction: Dir,
        msg: Any = None,
        raw: str | None = None,
        note: dict[str, Any] | None = None,
    ) -> None:
        """Append a record."""
        record = Record(direction, time.monotonic() - self._start, msg, raw, note or {})
        self.records.append(record)
        self._writer.write(record)
        self.findings += self.judge.feed(record)

    def find(self, clause: str, message: str) -> None:
        """A deviation that the runner has seen, at the newest record."""
        self.findings.append(Finding(len(self.records) - 1, clause, message))

    def header(self, session: Session, case: str = "") -> None:
        """What is run on what."""
        drives = {
            name: None
            if drive.path is None
            else {
                "file": str(drive.path),
                "size_bytes": drive.size_bytes,
                "extents": drive.extents,
            }
            for name, drive in session.setup.drives.items()
            if not drive.target
        }
        note: dict[str, Any] = {"format": FORMAT}
        if case:
            note["case"] = case
        note |= {"target": session.target.name, "cmdline": session.command, "drives": drives}
        self.add("meta", note=note)

    def footer(self, status: int | None, verdict: str, errors: str) -> None:
        """How it ended."""
        note: dict[str, Any] = {"verdict": verdict, "stderr": errors}
        if status is not None:
            note["exit"] = status
        self.add("meta", note=note)
        self.findings += self.judge.close()

    def observe(
        self, path: Path, must: dict[str, Any] | None = None, clause: str | None = None
    ) -> None:
        """Look at an image file."""
        size_bytes, extents = look(path)
        note: dict[str, Any] = {"image": str(path), "size_bytes": size_bytes, "extents": extents}
        if must is not None:
            note["must"] = must
        if clause is not None:
            note["clause"] = clause
        self.add("observe", note=note)

    def observe_all(self, setup: Setup) -> None:
        """Look at every image in the folder of the case."""
        skip = {"qmp.sock", "stderr"}
        for path in sorted(setup.folder.iterdir()):
            if path.is_file() and path.name not in skip:
                self.observe(path)
