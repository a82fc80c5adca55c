"""What else reads the model: solvers, drawings, exports."""

import json
import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
import z3

from cleancut_conformance.cli import main
from cleancut_model.backup import Options
from cleancut_model.bugs import instance_of
from cleancut_model.concrete import Run
from cleancut_model.drawing import ARROWS
from cleancut_model.elaborated import elaborate
from cleancut_model.explore import explore
from cleancut_model.export import bounded
from cleancut_model.options import PRESETS
from cleancut_model.properties import WITNESSES, of_instance
from cleancut_spec.schedule import STEPS as LABELS


@pytest.mark.slow
def test_a_run_is_drawn(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = [tmp_path / name for name in ("run.svg", "run.mmd", "run.itf.json")]
    for file in files:
        assert main(["explore", "--bug", "no-drain", "--draw", str(file)]) == 1
    steps = explore(instance_of("no-drain")).schedule
    drawn = [text.text for text in ElementTree.parse(files[0]).iter() if text.tag.endswith("text")]
    assert all(any(str(label) in str(text) for text in drawn) for label in steps)
    assert files[1].read_text().count("->>") == len(steps)
    states = json.loads(files[2].read_text())["states"]
    assert [state["#meta"].get("action") for state in states] == [None, *map(str, steps)]
    assert states[-1]["src"] != states[-1]["cut"]  # that is what is wrong with it
    assert main(["explore", "--draw", str(tmp_path / "run.png")]) == 2
    assert main(["explore", "--bug", "no-drain", "--draw", str(tmp_path / "no" / "run.svg")]) == 2
    assert "cannot be written: No such file or directory" in capsys.readouterr().err


def test_every_step_has_its_place_in_a_drawing() -> None:
    assert ARROWS.keys() == LABELS.keys()


@pytest.mark.slow
@pytest.mark.parametrize("name", WITNESSES)
def test_an_interesting_state_is_reached_by_a_shortest_run(name: str) -> None:
    options = next(each for each in PRESETS.values() if name in of_instance(WITNESSES, each))
    found = explore(options, reach=name)
    assert found.broken == name and found.schedule
    run = Run(options)
    for label, value in zip(found.schedule, found.values, strict=True):
        run.step(label, value)


#: Prints the Horn clauses of an instance. Deadlocks are left to Spin and TLC: with them Spacer
#: takes minutes at times.
HORN = """
import sys
from dataclasses import replace
import z3
from cleancut_model.backup import Options
from cleancut_model.elaborated import elaborate
from cleancut_model.export import chc
model = elaborate(Options(1, 1, 2, 0, 0, control=False, bug=sys.argv[1]))
print(chc(replace(model, may_stop=z3.BoolVal(True))))
"""


@pytest.mark.slow
@pytest.mark.parametrize(("bug", "answer"), [("", z3.sat), ("leaked-drain", z3.unsat)])
def test_spacer_agrees(bug: str, answer: z3.CheckSatResult) -> None:
    # A process and a context of their own: how long Spacer takes hangs on the order of operands,
    # and that on the numbers of all terms made before.
    done = subprocess.run(
        [sys.executable, "-c", HORN, bug],
        env=os.environ | {"PYTHONHASHSEED": "0"}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    solver = z3.SolverFor("HORN", ctx=z3.Context())
    solver.set("rlimit", 200_000_000)
    solver.from_string(done.stdout)
    assert solver.check() == answer


@pytest.mark.slow
@pytest.mark.parametrize("bug", ["leaked-drain", "leaked-job", "start-early", "event-on-rollback"])
def test_bounded_model_checking_finds_the_same_shortest_run(bug: str) -> None:
    options = Options(2, 1, 2, 1, 0, control=False, bug=bug)
    steps = len(explore(options).schedule)
    model = elaborate(options)
    assert bounded(model, steps).check() == z3.sat
    assert bounded(model, steps - 1).check() == z3.unsat


@pytest.mark.slow
def test_the_graph_of_all_states(capsys: pytest.CaptureFixture[str]) -> None:
    small = ["--drives", "1", "--clusters", "1", "--writes", "0"]
    assert main(["export", "dot", *small]) == 0
    found, drawn = explore(Options(1, 1, 2, 0, 0)), capsys.readouterr().out
    assert drawn.count(" [label=") - drawn.count(" -> ") == found.states
    assert drawn.count(" -> ") == found.transitions
    assert main(["export", "dot"]) == 2
    assert "too many to draw" in capsys.readouterr().err


@pytest.mark.slow
def test_the_export_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "Cleancut.tla"
    assert main(["export", "tla", "--clusters", "1", "-o", str(out)]) == 0
    assert out.read_text().startswith("---- MODULE Cleancut ----")
    assert "resume_goes_on_where_it_stood == [][((resume_d0_" in out.read_text()
    assert main(["export", "smtlib", "--depth", "2", "--clusters", "1", "--drives", "1"]) == 0
    assert "(check-sat)" in capsys.readouterr().out
    assert main(["export", "tla-config"]) == 0
    told = capsys.readouterr().out.split("PROPERTIES")
    assert "completed_backups_share_the_cut" in told[0] and "the_cut_does_not_move" in told[1]
    assert main(["export", "promela", "-o", str(tmp_path / "no" / "file")]) == 2
    assert "cannot be written: No such file or directory" in capsys.readouterr().err
