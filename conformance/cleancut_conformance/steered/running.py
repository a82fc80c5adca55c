"""Starts a QEMU, steers it through a schedule, and ends it."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from cleancut_conformance.dialogue import Deviation, Dialogue, Lost
from cleancut_conformance.judge import Finding
from cleancut_conformance.recorder import Recorder
from cleancut_conformance.steered.machine import Machine, setup_for
from cleancut_conformance.steered.steering import PATIENCE_S, Steered, Steering
from cleancut_conformance.targets.base import Session, session_folder
from cleancut_model.options import Options
from cleancut_spec.schedule import Move
from cleancut_spec.trace import FORMAT

CLAUSE = "QMP-ORDER-1"  # what a server breaks that says nothing


def steer(
    program: str, options: Options, moves: Sequence[Move], trace: Path | None, ends: list[Finding]
) -> Iterator[Steered]:
    """The steps of a schedule on a QEMU of its own; the judge's findings come last, in `ends`.

    Raises TargetError if it cannot be started.
    """
    with session_folder() as folder:
        setup = setup_for(options, moves, folder)
        session = Session(Machine(program), setup, PATIENCE_S)
        try:
            with Recorder(trace or folder / "trace.jsonl") as recorder:
                dialogue = Dialogue(session, recorder, CLAUSE, PATIENCE_S)
                yield from _steered(dialogue, options, moves)
                recorder.footer(session.wait(), "", session.errors())
                ends += recorder.findings
        finally:
            session.close()


def _steered(dialogue: Dialogue, options: Options, moves: Sequence[Move]) -> Iterator[Steered]:
    session = dialogue.session
    drives = {
        name: {"file": str(drive.path), "size_bytes": drive.size_bytes, "extents": drive.extents}
        for name, drive in session.setup.drives.items()
    }
    note = {"format": FORMAT, "target": session.target.name, "cmdline": session.command,
            "drives": drives}  # fmt: skip
    dialogue.recorder.add("meta", note=note)
    dialogue.open()
    steering = Steering(dialogue, options, moves)
    try:
        yield from steering.run()
        steering.end()
    except (Deviation, Lost) as error:
        dialogue.recorder.find(CLAUSE, str(error) or "the server has gone")
