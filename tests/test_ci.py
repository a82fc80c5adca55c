"""The suite as CI runs it: by pytest, by GitHub's action, always in the same order."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from junitparser import JUnitXml
from ruamel.yaml import YAML

from tests.test_targets import conform, little

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent


PLUGIN = ("-p", "cleancut_conformance.pytest_plugin")


def run_pytest(
    folder: Path, *words: str, autoload: bool = False
) -> subprocess.CompletedProcess[str]:
    """Without what else is installed here; `autoload`: with all of it, as by default."""
    plugin = () if autoload else PLUGIN
    command = [sys.executable, "-m", "pytest", *plugin, "-p", "no:cacheprovider", *words]
    environment = os.environ | ({} if autoload else {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"})
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120
    )


def test_cases_are_items_of_pytest(tmp_path: Path) -> None:
    (tmp_path / "test_own.py").write_text("def test_ids(): pass\n")
    few = ("--cleancut-cases", "protocol/*", "--cleancut-cases", "jobs/no-such-job")
    words = ("--cleancut", "reference", *few, "-k", "ids or JOB-NONE-1", "--junitxml", "j.xml")
    done = run_pytest(tmp_path, *words, "-n", "2", "-v", autoload=True)
    assert done.returncode == 0, done.stdout
    assert "PASSED cleancut::protocol/ids" in done.stdout
    assert "PASSED cleancut::jobs/no-such-job" in done.stdout and "test_own.py" in done.stdout
    cases = {
        case.name: case for suite in JUnitXml.fromfile(str(tmp_path / "j.xml")) for case in suite
    }
    assert "protocol/ids" in cases and "test_ids" in cases
    only = run_pytest(
        tmp_path, "--cleancut", "reference", "--cleancut-only", "--collect-only", "-q"
    )
    assert "test_own.py" not in only.stdout and "cleancut::jobs/cancel\n" in only.stdout


def test_what_deviates_fails_with_its_clause(tmp_path: Path) -> None:
    target = little(tmp_path, "Crashes")
    words = ("--cleancut", target, "--cleancut-cases", "protocol/*", "--cleancut-timeout", "2")
    done = run_pytest(tmp_path, *words, "-rs")
    assert done.returncode == 1
    assert "QMP-ALIVE-1 the target has gone, exit status 3" in done.stdout
    assert f"Again: cleancut conform --target {target} protocol/ids" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


def test_known_deviations_are_expected_and_must_occur(tmp_path: Path) -> None:
    entry = "- {{case: {}, clause: QMP-ALIVE-1, reason: it ends, date: 2026-01-01}}\n"
    known = entry.format("protocol/ids") + entry.format("protocol/greeting")
    (tmp_path / "known.yaml").write_text(known)
    target = little(tmp_path, "Crashes")
    words = ("--cleancut", target, "--cleancut-baseline", "known.yaml", "--cleancut-only")
    done = run_pytest(tmp_path, *words, "-k", "ids or greeting", "-rx")
    assert done.returncode == 1 and "XFAIL cleancut::protocol/ids - it ends" in done.stdout
    assert "passes now: remove QMP-ALIVE-1 from the baseline" in done.stdout


def test_who_does_not_use_the_plugin_does_not_notice_it(tmp_path: Path) -> None:
    (tmp_path / "test_own.py").write_text(
        "import sys\n\n\ndef test_imports():\n"
        "    loaded = {name for name in sys.modules if name.startswith('cleancut')}\n"
        "    assert loaded == {'cleancut_conformance', 'cleancut_conformance.pytest_plugin'}\n"
    )
    done = run_pytest(tmp_path, "--strict-markers", "--strict-config", "-W", "error", autoload=True)
    assert done.returncode == 0 and "1 passed" in done.stdout, done.stdout
    assert not (tmp_path / "cleancut-traces").exists()


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--cleancut", "nothing"], "no target 'nothing'; it is one of reference"),
        (["--cleancut", "reference", "--cleancut-cases", "none"], "no case is called 'none'"),
        (
            ["-p", "xdist", "--cleancut", "unix:s", "-n", "2"],
            "unix:s is one server for all: run without -n",
        ),
        (["--cleancut-only"], "needs --cleancut TARGET"),
    ],
)
def test_wrong_use_of_the_plugin(words: list[str], text: str, tmp_path: Path) -> None:
    done = run_pytest(tmp_path, *words)
    assert done.returncode == 4 and text in done.stderr, done.stdout + done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(("cases", "code"), [("protocol/greeting protocol/i*", 0), ("none", 4)])
def test_the_action_runs_the_suite_and_keeps_its_reports(
    cases: str, code: int, tmp_path: Path
) -> None:
    """Its own script, as the runner starts it, with what the caller gave in variables."""
    action = YAML(typ="safe").load((ROOT / "action.yml").read_text())
    step = next(step for step in action["runs"]["steps"] if step.get("id") == "conform")
    given = {name: str(part.get("default", "")) for name, part in action["inputs"].items()}
    given |= {"target": "reference", "cases": cases, "reports": "kept; touch pwned"}
    environment = {
        name: given[text.removeprefix("${{ inputs.").removesuffix(" }}")]
        for name, text in step["env"].items()
    }
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment |= {"PATH": path, "GITHUB_OUTPUT": str(tmp_path / "out")}
    script = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]]
    done = subprocess.run(script, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == code, done.stdout + done.stderr
    assert (tmp_path / "out").read_text() == f"exit-code={code}\n"
    kept = {path.name for path in (tmp_path / "kept; touch pwned").iterdir()}
    assert kept >= ({"junit.xml", "report.html", "traces"} if code == 0 else set())
    assert not (tmp_path / "pwned").exists()


def test_the_order_is_the_same_however_many_run_at_once(tmp_path: Path) -> None:
    orders = []
    for jobs in ("1", "4"):
        words = ("protocol", "--seed", "11", "--jobs", jobs, "--repeat", "2")
        code, _, _ = conform(tmp_path, *words)
        lines = (tmp_path / "cleancut-traces" / "reference" / "results.jsonl").read_text()
        found = [json.loads(line) for line in lines.splitlines()]
        orders.append([(r["case"], r["run"]) for r in found if r["kind"] == "result"])
        assert code == 0
    assert orders[0] == orders[1] and len(orders[0]) > 10
