"""Every MUST clause is proved, executed and tested, or says why not."""

import re

import pytest

from cleancut_spec import Clause, ClauseError, cites, clauses
from cleancut_spec.clauses import parse
from tests.traceability import PAGE, Row, render, rows

TABLE = rows()


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.clause.id)
def test_each_must_clause_has_its_evidence(row: Row) -> None:
    assert not row.missing, f"{row.clause.id} is cited by no {' and no '.join(row.missing)}"


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == render(TABLE), "run `make matrix`"


def test_a_gap_would_be_seen() -> None:
    clause = next(c for c in clauses().values() if c.level == "MUST" and not c.planned)
    assert Row(clause, (), ("x",), ("y",)).missing in (["property"], [])
    assert "step" in Row(clause, ("x",), (), ("y",)).missing
    assert "case" in Row(clause, ("x",), ("y",), ()).missing


def test_an_unknown_clause_cannot_be_cited() -> None:
    with pytest.raises(ClauseError, match="no clause 'TX-ATOMIC-99'; alike: TX-ATOMIC-1"):
        cites("TX-ATOMIC-99")


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("### TX-1 - no dash\n\n*MUST · since 2013*\n\nX SHALL.\n", "malformed heading"),
        ("### TX-A-1 — t\n\n*WILL · since 2013*\n\nX SHALL.\n", "level and version"),
        ("### TX-A-1 — t\n\n*MUST · since 2013*\n\nX shall.\n\n**Why.** a\n\n**QEMU.** b", "SHALL"),
        ("### TX-A-1 — t\n\n*MUST · since 2013*\n\nX SHALL.\n\n**Why.** a", r"missing \['QEMU'\]"),
    ],
)
def test_a_malformed_clause_is_named(text: str, error: str) -> None:
    with pytest.raises(ClauseError, match=error):
        parse(text, "10-x")


@pytest.mark.parametrize("clause", clauses().values(), ids=lambda clause: clause.id)
def test_a_clause_is_one_sentence(clause: Clause) -> None:
    assert clause.sentence.endswith(".") and not re.search(r"\. [A-Z]", clause.sentence)
    assert clause.why.endswith(".") and clause.qemu
