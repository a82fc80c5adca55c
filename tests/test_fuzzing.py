"""Any dialogue with the server: no exception, no hang, every guarantee kept."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings

from cleancut_reference.block import guest
from cleancut_reference.engine import Engine
from cleancut_reference.jobs import ending
from cleancut_spec.profiles import PROFILES
from tests.fuzzing.driver import Broken, hold
from tests.fuzzing.requests import ANY, BACKUPS, SEEDS, dialogues


@settings(max_examples=40)
@given(dialogues(ANY), SEEDS)
def test_whatever_is_asked(sent: list[tuple[Any, int]], seed: int) -> None:
    hold(sent, "7.2", seed, foretold=False)


@pytest.mark.parametrize("profile", PROFILES)
@settings(max_examples=15)
@given(dialogues(BACKUPS), SEEDS)
def test_what_backups_hold(profile: str, sent: list[tuple[Any, int]], seed: int) -> None:
    hold(sent, profile, seed, foretold=True)


BACKUP = {
    "execute": "drive-backup",
    "arguments": {"device": "d0", "target": "t0", "sync": "full", "speed": 1},
}
WRITE = {
    "execute": "human-monitor-command",
    "arguments": {"command-line": 'qemu-io d0 "write -P 0x5a 256k 64k"'},
}


def _never_copies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guest, "next_claim", lambda request: None)


def _never_aborts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ending, "may_abort", lambda job: False)


def _loses_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Engine, "_reply", lambda self, result, at=None: None)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (_never_copies, "CBW-COPY-1"),
        (_never_aborts, "requests are answered"),
        (_loses_answers, "never answered|requests are answered"),
    ],
)
def test_what_is_not_kept_is_seen(
    spoil: Callable[[pytest.MonkeyPatch], None], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    hold([(BACKUP, 1000), (WRITE, 1000)], "7.2", 0, foretold=False)
    hold([(BACKUP, 1000), (WRITE, 1000)], "7.2", 0, foretold=True)
    spoil(monkeypatch)
    with pytest.raises(Broken, match=words):
        hold([(BACKUP, 1000), (WRITE, 1000)], "7.2", 0, foretold=True)


def test_a_job_that_ends_before_its_command_is_answered_is_judged_by_its_own_end() -> None:
    """Found by a long run: the judge wanted a copy of what a guest overwrote after the end."""
    failing = {"device": "d0", "target": "bad", "sync": "full"}
    other = {"device": "d1", "target": "t1", "sync": "full"}
    both = {
        "actions": [
            {"type": "blockdev-backup", "data": failing},
            {"type": "drive-backup", "data": other},
        ],
        "properties": {"completion-mode": "grouped"},
    }
    write = {"command-line": 'qemu-io d1 "write -P 0x5a 0 512"'}
    dialogue = [
        ({"execute": "transaction", "arguments": both}, 1000),
        ({"execute": "human-monitor-command", "arguments": write}, 1000),
    ]
    for seed in range(60):
        hold(dialogue, "7.2", seed, foretold=True)


def test_a_write_that_outlives_a_cancelled_job_needs_no_copy() -> None:
    """Found by Hypothesis: one was asked for before the job's end, one before its dismissal."""
    write = {
        "execute": "human-monitor-command",
        "arguments": {"command-line": 'qemu-io d0 "write -P 0x5a 0 512"'},
    }
    for steps, dismissed in ((3, True), (1000, False)):
        backup = {"device": "d0", "target": "t0", "sync": "full", "auto-dismiss": dismissed}
        dialogue = [
            ({"execute": "drive-backup", "arguments": backup}, 10),
            ({"execute": "block-job-cancel", "arguments": {"device": "d0"}}, steps),
            (write, 1000),
        ]
        for seed in range(20):
            hold(dialogue, "7.2", seed, foretold=True)


@pytest.mark.parametrize(
    ("verb", "more"),
    [("set-speed", {"speed": True}), ("set-speed", {"speed": 2**63}), ("cancel", {"force": 0})],
)
def test_what_is_ill_typed_is_refused_before_the_job_is_looked_for(verb: str, more: Any) -> None:
    """Found by a long run: the judge took a switch for a speed."""
    ask = {"execute": f"block-job-{verb}", "arguments": {"device": "d0"} | more}
    hold([(ask, 1000)], "7.2", 0, foretold=False)


def test_the_end_of_a_job_is_not_that_of_the_next_one_of_its_name() -> None:
    """Found by a long run: the next was asked for when the first was about to complete."""
    first, second, slow = (
        {"type": "drive-backup", "data": {"device": drive, "target": target, "sync": "full"} | more}
        for drive, target, more in (("d0", "t0", {}), ("d1", "t1", {}), ("d0", "t0", {"speed": 1}))
    )
    write = {"command-line": 'qemu-io d0 "write -P 0x5a 0 512"'}
    dialogue = [
        ({"execute": "human-monitor-command", "arguments": write}, 1000),
        ({"execute": "transaction", "arguments": {"actions": [first, second]}}, 40),
        ({"execute": "transaction", "arguments": {"actions": [slow]}}, 1000),
    ]
    for seed in range(8):
        hold(dialogue, "7.2", seed, foretold=True)


def test_a_group_is_finalized_by_the_one_that_waits_for_it() -> None:
    """Found by a long run: the one that was finalized is gone when the other completes."""
    first, second = (
        {"type": "drive-backup", "data": {"device": drive, "target": target, "sync": "full"} | more}
        for drive, target, more in (("d0", "t0", {}), ("d1", "t1", {"auto-finalize": False}))
    )
    arguments = {"actions": [first, second], "properties": {"completion-mode": "grouped"}}
    dialogue: list[tuple[Any, int]] = [
        ({"execute": "transaction", "arguments": arguments}, 1000),
        ({"execute": "block-job-finalize", "arguments": {"id": "d1"}}, 1000),
    ]
    hold(dialogue, "7.2", 0, foretold=True)
