"""Starts a QEMU, steers it through a schedule, and ends it."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from cleancut_conformance.dialogue import Deviation, Dialogue, Lost
from cleancut_conformance.judge import Finding
from cleancut_conformance.recorder import Recorder
from cleancut_conformance.steered.images import setup_for
from cleancut_conformance.steered.steering import PATIENCE_S, Steered, Steering
from cleancut_conformance.targets.base import Session, session_folder
from cleancut_conformance.targets.qemu import Qemu
from cleancut_model.options import Options
from cleancut_spec.schedule import Move

CLAUSE = "QMP-ORDER-1"  # what a server breaks that says nothing


def steer(
    program: str, options: Options, moves: Sequence[Move], trace: Path | None, ends: list[Finding]
) -> Iterator[Steered]:
    """The steps of a schedule on a QEMU of its own; the judge's findings come last, in `ends`.

    Raises TargetError if it cannot be started.
    """
    with session_folder() as folder:
        setup = setup_for(options, moves, folder)
        session = Session(Qemu(program), setup, PATIENCE_S)
        try:
            with Recorder(trace or folder / "trace.jsonl") as recorder:
                dialogue = Dialogue(session, recorder, CLAUSE, PATIENCE_S)
                yield from _steered(dialogue, options, moves)
                recorder.footer(session.wait(), "", session.errors())
                ends += recorder.findings
        finally:
            session.close()


def _steered(dialogue: Dialogue, options: Options, moves: Sequence[Move]) -> Iterator[Steered]:
    dialogue.recorder.header(dialogue.session)
    dialogue.open()
    steering = Steering(dialogue, options, moves)
    try:
        yield from steering.run()
        steering.end()
    except (Deviation, Lost) as error:
        dialogue.recorder.find(CLAUSE, str(error) or "the server has gone")
