"""A schedule on a real QEMU: which steps are forced, observed, out of reach."""

import shutil
from pathlib import Path

import pytest

from cleancut_conformance.cli import main
from cleancut_conformance.steered.running import steer
from cleancut_conformance.steered.steering import FORCED, OBSERVED, OTHERWISE, OUT
from cleancut_model.explore import explore
from cleancut_model.options import Options
from cleancut_spec.schedule import Move, parse_moves

QEMU = shutil.which("qemu-system-x86_64") or ""
needs_qemu = pytest.mark.skipif(not QEMU, reason="no qemu-system-x86_64 here")


def shortest(options: Options, witness: str) -> list[Move]:
    found = explore(options, reach=witness)
    return [Move(*move) for move in zip(found.schedule, found.values, strict=True)]


@pytest.mark.qemu
@needs_qemu
def test_a_guest_write_is_held_by_copy_before_write() -> None:
    """The shortest run to it, as the model has it."""
    options = Options(1, 1, errors=0)
    moves = shortest(options, "a_write_was_copied_first")
    steps = {str(s.move): (s.how, s.words) for s in steer(QEMU, options, moves, None, [])}
    assert steps["commit d0"][0] == OBSERVED and steps["drain d0"][0] == OUT
    how, words = steps["cbw_claim d0"]
    assert how == OBSERVED and words.endswith("the guest's write waits")
    assert steps["cbw_write d0 c0"][0] == FORCED


@pytest.mark.qemu
@needs_qemu
@pytest.mark.parametrize(
    ("options", "lines", "forced"),
    [
        (Options(2, 1), "begin\ndrain d0\nprepare d0\nfail_prepare d1\nrollback d0\nrefuse", 2),
        (Options(1, 1, policy="stop"), "begin\nprepare d0\ncommit d0\nreply\ncopy_claim d0 c0\n"
         "copy_read d0 c0\nfail_copy_write d0 c0 EIO\nresume d0\ncopy_write d0 c0\nfinish d0", 4),
    ],
)  # fmt: skip
def test_what_can_be_forced(options: Options, lines: str, forced: int) -> None:
    findings: list[object] = []
    moves = parse_moves(lines.splitlines())
    steps = list(steer(QEMU, options, moves, None, findings))  # type: ignore[arg-type]
    assert len(steps) == len(moves) and not findings
    assert [step.how for step in steps].count(FORCED) == forced, steps
    assert all(step.how != OTHERWISE for step in steps), steps


@pytest.mark.qemu
@needs_qemu
def test_what_qemu_does_otherwise_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, trace = tmp_path / "run.schedule", tmp_path / "t.jsonl"
    run.write_text('# instance: {"drives": 1, "clusters": 1}\nbegin\nrefuse\n')
    assert main(["replay", str(run), "--on", f"qemu:{QEMU}", "--trace", str(trace)]) == 1
    assert "otherwise" in capsys.readouterr().out
    assert main(["judge", str(trace)]) == 0


@pytest.mark.parametrize(
    ("where", "instance", "code", "words"),
    [
        ("qemu:/no/such/program", "{}", 2, "cannot start /no/such/program"),
        ("qemu:", "{}", 2, "a schedule runs on reference, model or qemu:PATH"),
        ("qemu:x", '{"dies": true}', 2, "QEMU is not steered in instances with the process may"),
    ],
)
def test_wrong_use(
    where: str, instance: str, code: int, words: str, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    run = tmp_path / "run.schedule"
    run.write_text(f"# instance: {instance}\nbegin\n")
    assert main(["replay", str(run), "--on", where]) == code
    assert words in capsys.readouterr().err
