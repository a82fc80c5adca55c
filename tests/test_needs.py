"""What a case uses and a target does not have is told by its name, and never by a version."""

from typing import Any

import pytest

from cleancut_conformance.abilities import Abilities, lacks, unpromised
from cleancut_conformance.case import Case, load_suite, parse_case
from cleancut_conformance.needs import lacking, profile_for, types_in, words
from cleancut_conformance.targets import choose
from cleancut_spec.profiles import PROFILES
from cleancut_spec.qmp import schema

SUITE = {case.id: case for case in load_suite()}


def named(case: Case, profile: str) -> list[str]:
    return [words(part) for part in lacking(case, schema(profile))]


@pytest.mark.parametrize(
    ("case_id", "profile", "expected"),
    [
        ("arguments/perf", "5.2", ["argument x-perf of drive-backup"]),
        ("arguments/perf", "7.2", []),
        ("policy/copy-first/break-snapshot-read-once", "10.0",
         ["argument on-cbw-error of drive-backup"]),
        ("arguments/wrong/unheard-of-unknown", "5.2", []),  # it is there to be refused
        ("arguments/malformed-last-action", "7.2", []),
        ("policy/stop", "2013", ["member status of query-block-jobs"]),
        ("transaction/grouped-fails", "2013", ["argument properties of transaction"]),
        ("bitmaps/busy", "2013", ["command block-dirty-bitmap-add"]),
        ("bitmaps/chain", "2013", ["action block-dirty-bitmap-add of transaction"]),
    ],
)  # fmt: skip
def test_what_a_version_lacks_is_named(case_id: str, profile: str, expected: list[str]) -> None:
    found = named(SUITE[case_id], profile)
    assert set(expected) <= set(found) and bool(expected) == bool(found)


def test_values_and_pieces_of_arguments_are_looked_for_too() -> None:
    text = """
id: arguments/mine
title: something of a newer version
clauses: [ARG-TYPE-1]
steps:
  - send: {execute: transaction, arguments: {actions: [{type: drive-backup, data:
      {device: d0, target: t, sync: full, x-perf: {min-cluster-size: 1, bogus: 2}}}]}}
  - send: {execute: drive-backup, arguments: {device: d0, target: t, sync: bitmap, mode: bogus}}
  - expect: {event: BLOCK_JOB_PENDING, data: {id: d0}}
"""
    case = parse_case(text, "mine")
    inner = "argument x-perf.min-cluster-size of action drive-backup of transaction"
    assert named(case, "7.2") == [inner]
    assert "event BLOCK_JOB_PENDING" in named(case, "2013")
    assert profile_for(case) == "11" and profile_for(SUITE["protocol/greeting"]) == "7.2"
    types = {name: dict(entity) for name, entity in schema("11").items()}
    types["drive-backup.sync"]["values"] = ["full"]
    assert [words(p) for p in lacking(case, types)] == ["value bitmap of argument sync of "
                                                        "drive-backup"]  # fmt: skip


@pytest.mark.parametrize(
    "answer",
    [None, 7, [], {}, [{"name": "a"}], [{"name": "a", "meta-type": "strange"}],
     [{"name": "quit", "meta-type": "command", "arg-type": "gone", "ret-type": "gone"}]],
)  # fmt: skip
def test_what_is_no_schema_says_nothing(answer: Any) -> None:
    assert types_in(answer) is None
    assert types_in(list(schema().values())) == schema()


def test_a_case_is_skipped_for_a_piece_but_qemu_owes_what_is_whole() -> None:
    qemu_like, stranger = choose("reference:5.2"), choose("unix:s")
    told = Abilities(types=schema("5.2"))
    words = "the target has no argument x-perf of drive-backup"
    assert lacks(SUITE["arguments/perf"], qemu_like, told) == words
    old = Abilities(types=schema("2013"))
    plain = next(c for c in SUITE.values() if not c.needs and "query-jobs" in str(c.steps))
    assert lacks(plain, qemu_like, old) == ""
    assert "command query-jobs" in lacks(plain, stranger, old)


def test_no_version_is_asked_for_what_was_promised_later() -> None:
    old = choose("reference:2013")
    assert unpromised("TX-FAIL-3", old) == "TX-FAIL-3 is promised since 2.8 only"
    assert not unpromised("TX-ATOMIC-1", old) and not unpromised("TX-FAIL-3", choose("reference"))
    for profile in list(PROFILES)[1:]:
        assert not unpromised("POLICY-ENOSPC-1", choose(f"reference:{profile}"))
