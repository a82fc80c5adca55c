"""Follows one run of a finite model, step by step, as an oracle for something else that runs."""

from collections.abc import Sequence
from typing import Any

from cleancut_model.backup import Options
from cleancut_model.compiled import Compiled, Values, compile_model
from cleancut_spec.schedule import Label


class NotEnabled(Exception):
    """The model does not allow this step here; the message names the guard that forbids it."""


def step_of(
    model: Compiled, state: Values, label: Label, value: int | None = None
) -> tuple[int, Values]:
    """The action that bears the label and writes the value, and the state after it.

    Without a value it is the first that bears the label. Raises NotEnabled.
    """
    for number, after in model.successors(state):
        if model.labels[number] == label and value in (None, model.arguments[number].get("v")):
            return number, after
    raise NotEnabled(_why_not(model, state, label))


def _why_not(model: Compiled, state: Values, label: Label) -> str:
    for number, known in enumerate(model.labels):
        if known == label:
            for name, guard in model.guards[number].items():
                if not guard(state):
                    return f"{label}: the guard {name!r} does not hold"
    return f"{label}: the model has no such step"


class Run:
    """A run of the model, from its first state."""

    def __init__(self, options: Options) -> None:
        self._model: Compiled = compile_model(options)
        self.state: Values = self._model.initial

    def enabled(self) -> set[Label]:
        """The labels of all steps that the model allows now."""
        return {self._model.labels[number] for number, _ in self._model.successors(self.state)}

    def step(self, label: Label, value: int | None = None) -> None:
        """Take a step; a guest's write says which value. Raises NotEnabled."""
        number, after = step_of(self._model, self.state, label, value)
        broken = self._model.broken_step(number, self.state)
        assert not broken, f"the model's own claim {broken} fails at {label}"
        self.state = after

    def read(self) -> dict[str, Any]:
        """The variables by name."""
        return self._model.read(self.state)

    def ended(self) -> bool:
        """Whether the run may stop here."""
        return self._model.ended(self.state)


def replay(
    options: Options, schedule: Sequence[Label], values: Sequence[int | None]
) -> list[dict[str, Any]]:
    """The states of a run by the names of their variables, whether or not it keeps the claims."""
    model = compile_model(options)
    state = model.initial
    states = [model.read(state)]
    for label, value in zip(schedule, values, strict=True):
        _, state = step_of(model, state, label, value)
        states.append(model.read(state))
    return states
