"""Schedules as files, and runs of them on the model and on the engine."""

from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cleancut_conformance.agreement.abstraction import parted
from cleancut_conformance.agreement.command import unfollowed
from cleancut_conformance.agreement.following import CannotFollow, on_engine, on_model
from cleancut_conformance.cli import main
from cleancut_model.bugs import BUGS, instance_of
from cleancut_model.explore import explore
from cleancut_model.options import PRESETS, OptionsError
from cleancut_model.schedules import read_schedule, write_schedule
from cleancut_spec.schedule import STEPS, Label, LabelError, Move, parse_moves

#: Bugs of instances that the engine can be followed in.
FOLLOWED = [bug for bug in BUGS if not unfollowed(instance_of(bug))]


def labels() -> st.SearchStrategy[Label]:
    small = st.integers(0, 3)

    def label(step: str, drive: int, cluster: int, errno: str) -> Label:
        kind = STEPS[step]
        return Label(
            step,
            drive if kind.drive else None,
            cluster if kind.cluster else None,
            errno if kind.errno else None,
        )

    return st.builds(label, st.sampled_from(sorted(STEPS)), small, small, st.just("EIO"))


@given(
    st.lists(st.tuples(labels(), st.none() | st.integers(0, 3)), max_size=8),
    st.sampled_from(sorted(PRESETS)),
)
def test_a_schedule_that_was_written_is_read(run: list[tuple[Label, int]], preset: str) -> None:
    schedule, values = [label for label, _ in run], [value for _, value in run]
    text = write_schedule(PRESETS[preset], schedule, values, "what it leads to")
    assert read_schedule(text) == (PRESETS[preset], [Move(*move) for move in run])


def test_a_listing_is_a_schedule() -> None:
    assert parse_moves(["   12  guest_write d0 c1 = 1", " begin  # now", "", "3 reply"]) == [
        Move(Label("guest_write", 0, 1), 1), Move(Label("begin")), Move(Label("reply"))
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("guest_write d0 c0 = x", "no step such as"),
        ("dance d0", "no step is called 'dance'"),
        ("7", "no step is called '7'"),
        ("# instance: {]\nbegin", "cannot be read"),
        ('# instance: {"drive": 2}\nbegin', "cannot be read"),
        ('# instance: {"policy": "hope"}\nbegin', "no policy 'hope'"),
    ],
)
def test_a_bad_schedule_is_refused_by_name(text: str, words: str) -> None:
    with pytest.raises((LabelError, OptionsError), match=words):
        read_schedule(text)


@pytest.mark.slow
@pytest.mark.parametrize("bug", FOLLOWED[::3])
def test_a_counterexample_breaks_the_model_and_not_the_engine(bug: str) -> None:
    options = instance_of(bug)
    found = explore(options)
    moves = [Move(*move) for move in zip(found.schedule, found.values, strict=True)]
    rows = list(on_model(options, moves))
    assert found.broken in {note.removeprefix("breaks ") for note in rows[-1].notes} or (
        found.broken == "no_deadlock"
    )
    try:
        *_, last = on_engine(options, moves)
    except CannotFollow as error:
        assert "the engine does not do" in str(error)
    else:  # the same steps may be taken, but lead the right model, and the engine, elsewhere
        right = list(on_model(replace(options, bug=""), moves))
        assert not any(row.notes for row in right)
        assert not parted(last.state, right[-1].state)


@pytest.mark.slow
def test_the_picture_and_the_verdict(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run, picture = tmp_path / "run.schedule", tmp_path / "run.svg"
    assert main(["explore", "--bug", "undrain-early", "--draw", str(run)]) == 1
    assert main(["replay", str(run), "--on", "model", "--draw", str(picture)]) == 1
    words = " ".join(ElementTree.parse(picture).getroot().itertext())
    assert "the cut: what each backup must hold" in words
    assert "completed_backups_share_the_cut breaks: Each completed target" in words
    capsys.readouterr()
    assert main(["replay", str(run)]) == 1
    assert "the engine does not do undrain d0" in capsys.readouterr().out


def test_the_picture_in_the_readme_is_what_the_commands_draw(tmp_path: Path) -> None:
    run, picture = tmp_path / "run.schedule", tmp_path / "run.svg"
    assert main(["explore", "--bug", "drain-for-an-instant", "--draw", str(run)]) == 1
    assert main(["replay", str(run), "--on", "model", "--draw", str(picture)]) == 1
    shown = Path(__file__).parent.parent / "docs" / "guest-write-slips.svg"
    assert picture.read_text() == shown.read_text()
    assert "The backup of d0 is complete and holds 0 in cluster 0" in shown.read_text()


def test_the_engine_says_what_comes_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "run.schedule"
    run.write_text('# instance: {"drives": 1, "clusters": 1}\nbegin\ndrain d0\nprepare d0\n'
                   "commit d0\nundrain d0\nreply\ncopy_claim d0 c0\nfail_copy_read d0 c0 EIO\n"
                   "abort d0\n")  # fmt: skip
    assert main(["replay", str(run)]) == 0
    told = capsys.readouterr().out
    assert "BLOCK_JOB_ERROR d0" in told
    assert "BLOCK_JOB_COMPLETED d0 Input/output error" in told
    assert "all 9 steps were taken" in told


@pytest.mark.parametrize(
    ("text", "where", "code", "words"),
    [
        ("begin\nreply\n", "reference", 1, "stops at step 2"),
        ("begin\nreply\n", "model", 1, "the guard"),
        ("begin\nprepare\n", "reference", 2, "prepare names a drive"),
        ('# instance: {"busy": true}\nbegin\n', "reference", 2, "not followed in instances"),
        ('# instance: {"bug": "no-such"}\nbegin\n', "model", 2, "there is no bug 'no-such'"),
        ("\udcff".encode("utf-8", "surrogateescape"), "model", 2, "utf-8"),
    ],
)
def test_wrong_use(
    text: str | bytes, where: str, code: int, words: str, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    run = tmp_path / "run.schedule"
    run.write_bytes(text.encode() if isinstance(text, str) else text)
    assert main(["replay", str(run), "--on", where]) == code
    captured = capsys.readouterr()
    assert words in captured.out + captured.err
