"""The clauses: numbered sentences that say what is promised, and who cites them.

The text lives in `text/NN-*.md`; this module reads it. Code cites a clause with
`@cites("TX-ATOMIC-1")`; an unknown id fails at import, so that no citation can point nowhere.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from types import MappingProxyType
from typing import Final, Literal, TypeVar, cast

Level = Literal["MUST", "SHOULD", "MAY"]

#: The word in the sentence that carries each level.
KEYWORD: Final[Mapping[Level, str]] = {"MUST": "SHALL", "SHOULD": "SHOULD", "MAY": "MAY"}


@dataclass(frozen=True, slots=True)
class Clause:
    """One promise: `sentence` holds for every implementation from version `since` on."""

    id: str
    title: str
    level: Level
    since: str
    planned: bool
    sentence: str
    why: str
    qemu: str
    outside_the_model: str  # the reason why no model property cites it; "" where one must
    chapter: str


class ClauseError(ValueError):
    """A clause text that cannot be read, or an id that no clause bears."""


_HEAD = re.compile(r"^### (?P<id>[A-Z]+(?:-[A-Z]+)*-\d+) — (?P<title>.+)$")
_META = re.compile(
    r"^\*(?P<level>MUST|SHOULD|MAY) · since (?P<since>[\d.]+)(?P<planned> · planned)?\*$"
)


def parse(text: str, chapter: str) -> list[Clause]:
    """The clauses in one chapter's Markdown; raises ClauseError naming the malformed one."""
    blocks = re.split(r"(?m)^(?=### )", text)[1:]
    return [_parse_one(block, chapter) for block in blocks]


def _parse_one(block: str, chapter: str) -> Clause:
    head_line, *rest = block.strip().splitlines()
    head = _HEAD.match(head_line)
    if head is None:
        raise ClauseError(f"{chapter}: malformed heading {head_line!r}")
    paragraphs = [" ".join(p.split()) for p in "\n".join(rest).strip().split("\n\n")]
    meta = _META.match(paragraphs[0])
    if meta is None or len(paragraphs) < 2:
        raise ClauseError(f"{head['id']}: the line of level and version is malformed")
    level = cast(Level, meta["level"])
    named = {}
    for paragraph in paragraphs[2:]:
        label = re.match(r"\*\*([A-Z][A-Za-z ]+)\.\*\* ", paragraph)
        if label is None:
            raise ClauseError(f"{head['id']}: a paragraph has no label: {paragraph!r}")
        named[label[1]] = paragraph[label.end() :]
    missing = {"Why", "QEMU"} - named.keys()
    unknown = named.keys() - {"Why", "QEMU", "Outside the model"}
    if missing or unknown:
        raise ClauseError(f"{head['id']}: missing {sorted(missing)}, unknown {sorted(unknown)}")
    if KEYWORD[level] not in paragraphs[1]:
        raise ClauseError(f"{head['id']}: a {level} clause says {KEYWORD[level]}")
    return Clause(
        id=head["id"],
        title=head["title"],
        level=level,
        since=meta["since"],
        planned=meta["planned"] is not None,
        sentence=paragraphs[1],
        why=named["Why"],
        qemu=named["QEMU"],
        outside_the_model=named.get("Outside the model", ""),
        chapter=chapter,
    )


@cache
def clauses() -> Mapping[str, Clause]:
    """All clauses by id, in the order of the text."""
    found: dict[str, Clause] = {}
    folder = resources.files(__package__) / "text"
    for entry in sorted(folder.iterdir(), key=lambda e: e.name):
        for clause in parse(entry.read_text(encoding="utf-8"), entry.name.removesuffix(".md")):
            if clause.id in found:
                raise ClauseError(f"{clause.id} is defined twice")
            found[clause.id] = clause
    return MappingProxyType(found)


def clause(clause_id: str) -> Clause:
    """The clause with this id; raises ClauseError for an unknown one, naming those alike."""
    try:
        return clauses()[clause_id]
    except KeyError:
        stem = clause_id.split("-")[0]
        alike = [i for i in clauses() if i.startswith(stem)]
        hint = f"; alike: {', '.join(alike)}" if alike else ""
        raise ClauseError(f"no clause {clause_id!r}{hint}") from None


_T = TypeVar("_T", bound=Callable[..., object])

#: Clause id -> places that cite it, as "module:qualified.name".
_citations: dict[str, set[str]] = {}


def cites(*clause_ids: str) -> Callable[[_T], _T]:
    """Record that the decorated function or class is what keeps these clauses."""
    for clause_id in clause_ids:
        clause(clause_id)

    def record(thing: _T) -> _T:
        for clause_id in clause_ids:
            place = f"{thing.__module__}:{thing.__qualname__}"
            _citations.setdefault(clause_id, set()).add(place)
        return thing

    return record


def citations() -> Mapping[str, frozenset[str]]:
    """Clause id -> places in the modules imported so far that cite it."""
    return {clause_id: frozenset(places) for clause_id, places in _citations.items()}
