"""Follows a schedule on the model or on the engine, and tells what is seen at each step."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from cleancut_conformance.agreement.abstraction import abstract
from cleancut_conformance.agreement.bench import Bench, build, in_order, transaction
from cleancut_conformance.agreement.product import AT_ANY_TIME, FROM_OUTSIDE, give
from cleancut_conformance.client_steps import COMMANDS
from cleancut_model.compiled import compile_model
from cleancut_model.concrete import NotEnabled, Run, step_of
from cleancut_model.lanes import Row
from cleancut_model.options import Options
from cleancut_reference.outputs import Event, GuestDone, Output, Reply
from cleancut_reference.step import Step
from cleancut_spec.schedule import STEPS, Label, Move

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
        bench.heard.clear()
        try:
            move_engine(bench, options, move, moves)
        except CannotFollow as error:
            raise CannotFollow(f"{error}{_keep_up(right, move)}") from None
        _keep_up(right, move)
        notes = [text for each in bench.heard for text in _say(each)]
        yield Row(str(move), abstract(bench, options), notes)


def move_engine(bench: Bench, options: Options, move: Move, moves: Sequence[Move]) -> None:
    """Take one of these moves on the engine; raises CannotFollow, which says what it can do."""
    for _ in range(MOST_SILENT_STEPS):
        if _try(bench, options, move, moves):
            return
        silent = [step for step in bench.steps() if step.label is None]
        if not silent:
            break
        bench.take(silent[0])
    offered = sorted({str(step.label) for step in bench.steps() if step.label is not None})
    can = ", ".join(offered) or "nothing"
    raise CannotFollow(f"the engine does not do {move}, but can do {can}")


def _keep_up(right: Run, move: Move) -> str:
    """Take the step on the model, too; in words why it is not possible there."""
    try:
        right.step(move.label, move.value)
    except NotEnabled as error:
        return f"; nor does the model allow it: {error}"
    return ""


def _try(bench: Bench, options: Options, move: Move, moves: Sequence[Move]) -> bool:
    """Take the step if it is possible now."""
    label = move.label._replace(request=None)  # requests of a drive are alike
    if STEPS[label.name].by_client and label.name != "finalize":
        return _by_client(bench, options, move, moves)
    if label.name == "finalize" and bench.engine.current is None:
        return give(bench, label, None) and _try(bench, options, move, moves)
    for step in bench.steps():
        errno = _errno_for(step, label)
        if errno is not None:
            return bench.take(step, errno) == label
    return False


def _by_client(bench: Bench, options: Options, move: Move, moves: Sequence[Move]) -> bool:
    name, drive = move.label.name, move.label.drive
    if name in AT_ANY_TIME:
        return give(bench, move.label, 1 if move.value is None else move.value)
    if bench.engine.current is not None:
        return False
    if name == "begin":
        bench.command("transaction", **_transaction_for(bench, options, moves))
        return True
    if name == "other_start":
        assert drive is not None, "the label names a drive"
        return bench.start_other(drive)
    return (name in COMMANDS or name in FROM_OUTSIDE) and give(bench, move.label, None)


def _transaction_for(bench: Bench, options: Options, moves: Sequence[Move]) -> dict[str, Any]:
    """The arguments of the last transaction in a schedule that lead to its steps.

    An action that fails without a drain is refused by what it asks for.
    """
    labels = [move.label for move in moves]
    begun = max(n for n, label in enumerate(labels) if label.name == "begin")
    kept = [label for label in labels[begun:] if label.drive is not None]
    failing = next((label.drive for label in kept if label.name == "fail_prepare"), None)
    drained = {label.drive for label in kept if label.name == "drain"}
    refused = failing if failing not in drained else None
    order = [(label.name.rpartition("_")[2], label.drive) for label in kept if _is_action(label)]
    asked = transaction(options, refused)
    asked["actions"] = in_order(asked["actions"], order, bench.sources)
    if any(label.name == "fail_other" for label in labels):
        asked["actions"].append({"type": "abort", "data": {}})
    return asked


def _is_action(label: Label) -> bool:
    """Whether a step is that of an action of the transaction, so that its place can be told."""
    return label.name.startswith("prepare") or label.name in ("fail_prepare", "fail_bitmap")


def _errno_for(step: Step, wanted: Label) -> str | None:
    """With which errno of its request a step is this one; "" if with none, None if it is not."""
    if step.label == wanted or _is_refused(step, wanted):
        return ""
    if step.label is None or wanted.name != f"fail_{step.label.name}":
        return None
    same = (step.label.drive, step.label.cluster) == (wanted.drive, wanted.cluster)
    return (wanted.errno or "EIO") if same and step.io is not None else None


def _is_refused(step: Step, wanted: Label) -> bool:
    """Whether a step is one of an action that is to be refused for what it asks."""
    if step.label is None or step.label.drive != wanted.drive:
        return False
    if wanted.name == "fail_bitmap":
        return step.label.name.startswith("prepare_")
    return (wanted.name, step.label.name) == ("fail_prepare", "drain")


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
