"""Each wrong engine is caught by its case; the right one passes the same case."""

from pathlib import Path

import pytest

from cleancut_conformance.case import load_suite
from cleancut_conformance.runner import run
from cleancut_conformance.targets.reference import Reference
from cleancut_conformance.verdict import Verdict
from tests.wrong_engines import WRONG

CASES = {case.id: case for case in load_suite()}
ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_engine_is_caught(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    target = Reference(name=name, module="tests.wrong_engines", arguments=(name,))
    wrong = WRONG[name]
    result = run(CASES[wrong.case], target, tmp_path, timeout_s=2)
    assert result.verdict is Verdict.FAIL, result.reason
    clauses = [finding.clause for finding in result.findings]
    assert wrong.clause in clauses, [f"{f.clause} {f.message}" for f in result.findings]


@pytest.mark.parametrize("case_id", sorted({wrong.case for wrong in WRONG.values()}))
def test_the_right_engine_passes_the_same_case(case_id: str, tmp_path: Path) -> None:
    result = run(CASES[case_id], Reference(), tmp_path, timeout_s=10)
    assert result.verdict is Verdict.PASS, result.reason
