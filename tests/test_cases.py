"""The cases as data: each has the form of a case file, and each case and row a reason to stay."""

from collections import Counter
from pathlib import Path

import pytest

from cleancut_conformance.agreement.lint import Evidence, complaints, idle_reasons, kept
from cleancut_conformance.agreement.wrong import WRONG
from cleancut_conformance.case import as_file, form_error, load_suite, parse_case
from cleancut_conformance.expect import matches
from cleancut_conformance.kept import kept as kept_data
from cleancut_conformance.tables import TABLES
from cleancut_conformance.tables.words import Table
from cleancut_spec import clauses

SUITE = load_suite()


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.id)
def test_a_row_has_the_form_of_a_case_file(table: Table) -> None:
    rows = list(table.cases)
    for row in rows:
        assert not form_error(row), row["id"]
        assert set(row["clauses"]) <= clauses().keys(), row["id"]
    # Two rows that do and demand the same would be one case under two names.
    said = Counter(str((row.get("given"), row["steps"], row.get("then"))) for row in rows)
    assert max(said.values()) == 1


def test_no_case_is_there_twice() -> None:
    names = Counter(case.id for case in SUITE)
    assert not [name for name, count in names.items() if count > 1]


def test_there_are_enough_of_them() -> None:
    assert sum(not case.table for case in SUITE) >= 88
    assert len(SUITE) >= 500


def test_a_list_that_has_or_lacks_an_element() -> None:
    listed = [{"name": "a", "count": 0}, {"name": "b"}]
    assert matches({"$has": {"name": "b"}}, listed)
    assert not matches({"$has": {"name": "c"}}, listed)
    assert matches({"$lacks": {"name": "c"}}, listed)
    assert not matches({"$lacks": {"name": "a", "count": 0}}, listed)
    assert matches({"bitmaps": {"$lacks": {"name": "a"}}}, {})  # there is no list at all
    assert not matches({"bitmaps": {"$has": {"name": "a"}}}, {})


def test_a_row_is_a_case_file_when_printed() -> None:
    for row in [case for case in SUITE if case.table][::50]:
        again = parse_case(as_file(row), "printed")
        assert (again.steps, again.given, again.then) == (row.steps, row.given, row.then)


def test_each_case_earns_its_place() -> None:
    evidence = kept()
    assert complaints(SUITE, evidence) == [] and idle_reasons(TABLES, evidence) == []
    named = {engine for engines in evidence.engines.values() for engine in engines}
    assert named <= WRONG.keys()  # else `cleancut lint --try --update`
    assert evidence.engines.keys() | evidence.versions.keys() <= {case.id for case in SUITE}


def test_a_case_that_nothing_speaks_for_is_named() -> None:
    plain = next(case for case in SUITE if not case.why)
    assert complaints((plain,), Evidence())[0].startswith(f"{plain.id}: no wrong engine")
    assert not complaints((plain,), Evidence(engines={plain.id: ["forgets_the_drain"]}))
    assert not complaints((plain,), Evidence(versions={plain.id: {"qemu-7.2": "known"}}))
    assert not complaints((next(case for case in SUITE if case.why),), Evidence())


def test_a_row_of_a_table_speaks_for_itself() -> None:
    rows = lambda: iter([{"id": "first"}, {"id": "second"}, {"id": "third"}])  # noqa: E731
    table = Table("a/b", "rows", rows, {"sec*": "an edge of its own kind", "th*": "another edge"})
    assert [row.get("why") for row in table.cases] == [None, *table.reasons.values()]
    evidence = Evidence(engines={"a/b/third": ["loses_ids"]})
    assert idle_reasons([table], evidence) == ["a/b: no row needs the reason for 'th*'"]


def test_what_was_read_is_kept_until_a_text_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    read = iter(range(9))
    ask = lambda *texts: kept_data(texts, lambda: [next(read)])  # noqa: E731
    assert [ask("a"), ask("a"), ask("ab"), ask("a", "b"), ask("a", "b")] == [
        [0],
        [0],
        [1],
        [2],
        [2],
    ]
    file = tmp_path / "cleancut" / "cases.json"
    for rubbish in ("", "[]", '{"of": 1}'):
        file.write_text(rubbish)
        before = ask("a", "b")
        assert before != [2] and ask("a", "b") == before
    monkeypatch.setenv("XDG_CACHE_HOME", str(file))  # where no folder can be made
    assert ask("a") != ask("a")
