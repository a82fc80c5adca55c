"""Cases: YAML files that say what is given, what is done, and what is expected."""

import io
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from cleancut_conformance.kept import kept
from cleancut_conformance.tables import TABLES
from cleancut_spec import ClauseError, clause

if TYPE_CHECKING:
    import jsonschema

_UNITS: Final = {"": 1, "k": 1 << 10, "M": 1 << 20, "G": 1 << 30}


class CaseError(ValueError):
    """A case file that cannot be used; the message names the file, the place and what is wrong."""


class NothingSelected(CaseError):
    """No case is called so; the message says by what name, and how to find the right one."""


@dataclass(frozen=True, slots=True)
class Fault:
    """An I/O error of a drive or of a backup's target: at an offset, or of the n-th request."""

    node: str
    op: str
    at_bytes: int | None
    errno: str
    always: bool = False
    nth: int = 0  # the request that fails, counted from one; 0: whichever touches the offset


@dataclass(frozen=True, slots=True)
class Drive:
    """A drive before the first step; without size it is empty."""

    size_bytes: int | None
    byte: int | None = None  # that fills it; None: each cluster has one of its own
    gate: bool = False  # its requests can be held
    target: bool = False  # it is a backup's target, and nothing is demanded of it by itself
    bps_write: int | None = None  # as much as may be written to it in a second


@dataclass(frozen=True, slots=True)
class Given:
    """What there is before the first step."""

    drives: dict[str, Drive] = field(default_factory=dict)
    files: dict[str, tuple[int, int]] = field(default_factory=dict)  # name -> size_bytes, byte
    faults: tuple[Fault, ...] = ()
    disks: dict[str, int] = field(default_factory=dict)  # name -> size_bytes


@dataclass(frozen=True, slots=True)
class Case:
    """One behaviour."""

    id: str
    title: str
    clauses: tuple[str, ...]
    needs: frozenset[str]
    given: Given
    steps: tuple[dict[str, Any], ...]
    then: tuple[dict[str, Any], ...]
    source: str
    why: str = ""  # why it stays, where what it catches does not say so
    table: str = ""  # the id of the table that has made it
    data: dict[str, Any] = field(default_factory=dict)  # as a case file has it

    @property
    def name(self) -> str:
        """Its table's id if it was made from one, else its own."""
        return self.table or self.id

    @property
    def chapter(self) -> str:
        """The part of the id before the slash."""
        return self.id.split("/")[0]

    @property
    def again(self) -> str:
        """What `cleancut conform` calls it: its id, or the file of a case of one's own."""
        return self.id if self.table or self.source == f"{self.id}.yaml" else self.source


def parse_size(text: Any) -> int:
    """`4M`, `1M+512` or a number of bytes."""
    total = 0
    for part in str(text).split("+"):
        match = re.fullmatch(r"(\d+)([kMG]?)", part.strip())
        if match is None:
            raise ValueError(f"{text!r} is no size such as 4M or 1M+512")
        total += int(match[1]) * _UNITS[match[2]]
    return total


@cache
def _schema() -> str:
    return (resources.files("cleancut_spec") / "schema" / "case.schema.json").read_text("utf-8")


@cache
def _validator() -> "jsonschema.Draft202012Validator":
    import jsonschema  # it takes its time, and what is kept needs no check

    return jsonschema.Draft202012Validator(json.loads(_schema()))


def parse_case(text: str, source: str) -> Case:
    """The case in a YAML text; raises CaseError."""
    return _make(_read(text, source), source)


def _read(text: str, source: str, expected_id: str | None = None) -> dict[str, Any]:
    """What a YAML text says, in the form of a case; raises CaseError."""
    try:
        data = YAML(typ="safe").load(text)
    except YAMLError as error:
        raise CaseError(f"{source}: {' '.join(str(error).split())}") from None
    if problem := form_error(data):
        raise CaseError(f"{source}: {problem}")
    if expected_id is not None and data["id"] != expected_id:
        raise CaseError(f"{source}: id is {data['id']!r}, and the path says {expected_id!r}")
    return dict(data)


def form_error(data: Any) -> str:
    """What in a case is not as the schema says, with its place; empty if nothing is."""
    problem = next(iter(_validator().iter_errors(data)), None)
    if problem is None:
        return ""
    place = "/".join(map(str, problem.absolute_path)) or "the case"
    return f"{place}: {problem.message[:200]}"


def _make(data: dict[str, Any], source: str, table: str = "") -> Case:
    try:
        for clause_id in data["clauses"]:
            clause(clause_id)
        given = _parse_given(data.get("given", {}))
    except (ClauseError, ValueError) as error:
        raise CaseError(f"{source}: {error}") from None
    return Case(
        data["id"],
        data["title"],
        tuple(data["clauses"]),
        frozenset(data.get("needs", [])),
        given,
        tuple(data["steps"]),
        tuple(data.get("then", [])),
        source,
        data.get("why", ""),
        table,
        data,
    )


def _parse_given(data: dict[str, Any]) -> Given:
    drives = {name: _parse_drive(drive) for name, drive in data.get("drives", {}).items()}
    files = {
        name: (parse_size(file["size"]), file.get("byte", 0))
        for name, file in data.get("files", {}).items()
    }
    faults = tuple(
        Fault(
            f["node"],
            f["op"],
            parse_size(f["at"]) if "at" in f else None,
            f["errno"],
            f.get("always", False),
            f.get("nth", 0),
        )
        for f in data.get("faults", [])
    )
    disks = {name: parse_size(size) for name, size in data.get("disks", {}).items()}
    return Given(drives, files, faults, disks)


def _parse_drive(data: Any) -> Drive:
    if isinstance(data, dict):
        limit = parse_size(data["bps-write"]) if "bps-write" in data else None
        return Drive(parse_size(data["size"]), data.get("byte"), data.get("gate", False),
                     data.get("target", False), limit)  # fmt: skip
    return Drive(None if data == "empty" else parse_size(data))


def as_file(case: Case) -> str:
    """The case as a case file, also one that a table has made."""
    text, first = io.StringIO(), ("id", "title", "why", "clauses", "needs", "given")
    yaml = YAML()
    yaml.default_flow_style = False
    yaml.width = 100
    yaml.dump({name: case.data[name] for name in (*first, *case.data) if name in case.data}, text)
    return text.getvalue()


def load_file(path: Path) -> Case:
    """A user's own case file; raises CaseError."""
    try:
        return parse_case(path.read_text(encoding="utf-8"), str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise CaseError(f"{path}: {error}") from None


def _files() -> Iterator[tuple[str, str, str]]:
    root = resources.files(__package__) / "cases"
    for chapter in sorted(root.iterdir(), key=lambda entry: entry.name):
        if chapter.is_dir():
            for entry in sorted(chapter.iterdir(), key=lambda entry: entry.name):
                if entry.name.endswith(".yaml"):
                    case_id = f"{chapter.name}/{entry.name.removesuffix('.yaml')}"
                    yield case_id, entry.read_text(encoding="utf-8"), f"{case_id}.yaml"


@cache
def load_suite() -> tuple[Case, ...]:
    """All cases of the suite, by chapter and name, those of a table in its order.

    Raises CaseError.
    """
    files = list(_files())
    data = kept(
        [_schema(), *(f"{case_id}\n{text}" for case_id, text, _ in files)],
        lambda: [_read(text, source, case_id) for case_id, text, source in files],
    )
    written = [_make(one, source) for one, (_, _, source) in zip(data, files, strict=True)]
    made = [
        _make(data, f"tables, {table.id}", table.id) for table in TABLES for data in table.cases
    ]
    return tuple(sorted(written + made, key=lambda case: (case.chapter, case.name)))


def select(cases: tuple[Case, ...], globs: tuple[str, ...]) -> list[Case]:
    """The cases whose id one of the globs matches; a chapter or a table stands for all its cases.

    `*` does not cross a slash, `**` does. Raises CaseError for a glob that matches nothing,
    NothingSelected if none of them matches anything.
    """
    chosen: set[str] = set()
    lost = []
    for glob in globs:
        pattern = re.compile(_regex(glob))
        found = {c.id for c in cases if pattern.fullmatch(c.id) or glob in (c.chapter, c.table)}
        chosen |= found
        lost += [] if found else [glob]
    if lost:
        words = f"no case is called {lost[0]!r}; `cleancut conform --list` shows them"
        raise CaseError(words) if chosen else NothingSelected(words)
    return [case for case in cases if case.id in chosen or not globs]


def _regex(glob: str) -> str:
    parts = re.split(r"(\*\*|\*|\?)", glob)
    wild = {"**": ".*", "*": "[^/]*", "?": "[^/]"}
    return "".join(wild.get(part, re.escape(part)) for part in parts)
