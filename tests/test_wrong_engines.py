"""Each wrong engine is caught by its case, as a user sees it; the right one passes that case."""

import json

import pytest

from cleancut_conformance.agreement import selfcheck
from cleancut_conformance.agreement.wrong import WRONG
from cleancut_conformance.agreement.wrong.server import server
from cleancut_conformance.agreement.wrong.table import Wrong
from cleancut_conformance.cli import main

pytestmark = pytest.mark.slow


def test_each_wrong_engine_is_caught(capsys: pytest.CaptureFixture[str]) -> None:
    # They mostly wait for what does not come.
    code = main(["selfcheck", "--json", "--timeout", "2", "--jobs", "6"])
    found = json.loads(capsys.readouterr().out)
    assert found["right_engine_fails"] == []
    uncaught = [row for row in found["engines"] if not row["caught"]]
    assert not uncaught and code == 0
    assert {row["engine"] for row in found["engines"]} == {n for n, w in WRONG.items() if w.case}
    assert all(row["clause"] in row["by"][row["case"]] for row in found["engines"])


def test_an_engine_that_nothing_catches_is_told(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An engine that loses ids passes a case that sends none."""
    wrong = Wrong(WRONG["loses_ids"].patch, "protocol/greeting", "QMP-ID-1")
    monkeypatch.setattr(selfcheck, "WRONG", {"loses_ids": wrong})
    assert main(["selfcheck"]) == 1
    output = capsys.readouterr().out
    assert "UNCAUGHT loses_ids" in output and "That case: pass" in output
    assert "0 of 1 wrong engines are caught; the right engine passes the same cases" in output


def test_a_catch_proves_nothing_where_the_right_engine_fails(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(selfcheck, "server", lambda case, name: server(case, name or "loses_ids"))
    assert main(["selfcheck", "loses_ids"]) == 1
    assert "the right engine fails protocol/ids" in capsys.readouterr().out


def test_a_name_that_is_no_engine(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["selfcheck", "does_well"]) == 2
    assert "no wrong engine 'does_well'" in capsys.readouterr().err
    assert main(["selfcheck", "--list"]) == 0
    assert "forgets_the_drain" in capsys.readouterr().out
