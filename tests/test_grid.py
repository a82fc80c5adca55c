"""Bugs of the model as wrong engines: the model's run to each is judged, there and on the right."""

import json

import pytest

from cleancut_conformance.agreement import grid
from cleancut_conformance.agreement.mutants import counterexample
from cleancut_conformance.agreement.staging import orders, stage
from cleancut_conformance.agreement.wrong import WRONG
from cleancut_conformance.agreement.wrong.elsewhere import NOT_OF_THE_ENGINE
from cleancut_conformance.agreement.wrong.table import MUTANTS, Mutant
from cleancut_conformance.cli import main
from cleancut_model.bugs import BUGS

pytestmark = pytest.mark.slow

#: A drain, a copy, a bitmap; `cleancut grid` has them all.
SAMPLE = ("undrain-early", "write-before-copy", "bits-thrown-away")


def cells(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[dict[str, dict[str, str]]]:
    main(["grid", "--json", *arguments])
    return [line["cells"] for line in json.loads(capsys.readouterr().out)]


def test_each_bug_of_the_model_is_one_of_the_engine_or_says_why_not() -> None:
    assert BUGS.keys() == MUTANTS.keys() | NOT_OF_THE_ENGINE.keys()
    assert not MUTANTS.keys() & NOT_OF_THE_ENGINE.keys()
    assert len(MUTANTS) >= 40
    assert all(mutant.engine in WRONG for mutant in MUTANTS.values())
    assert all(bool(mutant.seen_as) == bool(mutant.why) for mutant in MUTANTS.values())
    assert all(bool(wrong.case) != bool(wrong.why_no_case) for wrong in WRONG.values())


@pytest.mark.parametrize("bug", SAMPLE)
def test_the_judge_sees_it_on_the_wrong_engine_only(
    bug: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (found,) = cells(capsys, bug, "--only", "replay", "--only", "property")
    assert all(cell["well"] and not cell["is_reason"] for cell in found.values()), found


def test_the_right_engine_is_not_taken_for_a_wrong_one(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An engine without the bug does not follow the run, and never parts from the model."""
    monkeypatch.setitem(MUTANTS, "hole", Mutant("loses_ids"))
    monkeypatch.setattr(grid, "WALKS", 5)
    (found,) = cells(capsys, "hole", "--only", "replay", "--only", "property")
    assert not any(cell["well"] for cell in found.values())
    assert main(["grid", "hole", "--only", "property"]) == 1
    assert "MISSED the same in 5 schedules" in capsys.readouterr().out


def test_a_write_that_meets_the_transaction_may_lie_on_either_side_of_the_cut() -> None:
    """On the right engine no order of what follows breaks a clause."""
    run = counterexample("no-drain")
    for _, order in orders():
        staged = stage(run.right, run.moves, order)
        assert staged.stopped and not staged.findings


def test_wrong_use(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["grid", "no-such-bug"]) == 2
    assert "no bug 'no-such-bug'" in capsys.readouterr().err
