"""Follows a schedule on the model or on the engine, and tells what is seen at each step."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from cleancut_conformance.agreement.abstraction import abstract
from cleancut_conformance.agreement.bench import Bench, build
from cleancut_conformance.agreement.product import COMMANDS, give
from cleancut_model.compiled import compile_model
from cleancut_model.concrete import NotEnabled, Run, step_of
from cleancut_model.lanes import Row
from cleancut_model.options import Options
from cleancut_reference.outputs import Event, GuestDone, Output, Reply
from cleancut_reference.step import Step
from cleancut_spec.schedule import STEPS, Move

MOST_SILENT_STEPS = 50


class CannotFollow(Exception):
    """A step of the schedule is not possible here; the message says why."""


def on_model(options: Options, moves: Sequence[Move]) -> Iterator[Row]:
    """The rows of a run of the model, with the claims that break; raises CannotFollow."""
    model = compile_model(options)
    state = model.initial
    yield Row("", model.read(state))
    for move in moves:
        try:
            number, after = step_of(model, state, move.label, move.value)
        except NotEnabled as error:
            raise CannotFollow(str(error)) from None
        broken = [model.broken_step(number, state), model.broken_state(after)]
        state = after
        yield Row(str(move), model.read(state), [f"breaks {claim}" for claim in broken if claim])


def on_engine(options: Options, moves: Sequence[Move]) -> Iterator[Row]:
    """The rows of a run of the reference engine; raises CannotFollow.

    Steps of the engine that the model does not have are taken where they are in the way.
    """
    bench, right = build(options), Run(replace(options, bug=""))
    yield Row("", abstract(bench, options))
    for move in moves:
        seen = _engine_move(bench, options, move, right)
        notes = [text for each in seen for text in _say(each)]
        yield Row(str(move), abstract(bench, options), notes)


def _engine_move(bench: Bench, options: Options, move: Move, right: Run) -> list[Output]:
    bench.heard.clear()
    for _ in range(MOST_SILENT_STEPS):
        if _try(bench, options, move):
            _keep_up(right, move)
            return list(bench.heard)
        silent = [step for step in bench.steps() if step.label is None]
        if not silent:
            break
        bench.take(silent[0])
    offered = sorted({str(step.label) for step in bench.steps() if step.label is not None})
    can = ", ".join(offered) or "nothing"
    raise CannotFollow(f"the engine does not do {move}, but can do {can}{_keep_up(right, move)}")


def _keep_up(right: Run, move: Move) -> str:
    """Take the step on the model, too; in words why it is not possible there."""
    try:
        right.step(move.label, move.value)
    except NotEnabled as error:
        return f"; nor does the model allow it: {error}"
    return ""


def _try(bench: Bench, options: Options, move: Move) -> bool:
    """Take the step if it is possible now."""
    label = move.label
    if STEPS[label.name].by_client and label.name != "finalize":
        return _by_client(bench, options, move)
    if label.name == "finalize" and bench.engine.current is None:
        return give(bench, label, None) and _try(bench, options, move)
    for step in bench.steps():
        errno = _errno_for(step, move)
        if errno is not None:
            return bench.take(step, errno) == label
    return False


def _by_client(bench: Bench, options: Options, move: Move) -> bool:
    if move.label.name == "guest_write":
        return give(bench, move.label, 1 if move.value is None else move.value)
    if bench.engine.current is not None:
        return False
    if move.label.name == "begin":
        bench.begin(options)
        return True
    return move.label.name in COMMANDS and give(bench, move.label, None)


def _errno_for(step: Step, move: Move) -> str | None:
    """With which errno of its request a step is this one; "" if with none, None if it is not."""
    if step.label == move.label:
        return ""
    wanted = move.label
    if step.label is None or wanted.name != f"fail_{step.label.name}":
        return None
    same = (step.label.drive, step.label.cluster) == (wanted.drive, wanted.cluster)
    return (wanted.errno or "EIO") if same and step.io is not None else None


def _say(output: Output) -> Iterator[str]:
    """What came out of the engine, in a few words."""
    match output:
        case Event():
            device = output.data.get("device", output.data.get("id", ""))
            status = output.data.get("status", output.data.get("error", ""))
            yield " ".join(filter(None, (output.name, str(device), str(status))))
        case Reply():
            yield "return" if "return" in output.body else f"error: {output.body['error']['desc']}"
        case GuestDone():
            yield f"guest write ended{': ' + output.errno if output.errno else ''}"
