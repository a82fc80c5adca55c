"""What every kind of transaction action has: the phases that the transaction leads it through."""

from typing import ClassVar

from cleancut_reference.block.traffic import Traffic
from cleancut_reference.state import State
from cleancut_reference.step import Step
from cleancut_spec.schedule import Label


class Action:
    """One action, and how far it has come; a kind defines the phases in which it does something.

    A phase is asked for its next step until it has none. The step of `prepare` raises QmpError to
    refuse the action, and sets `prepared` when it is done; `prepare` may return None to wait.
    """

    kind: str
    can_be_grouped: ClassVar[bool] = False  # whether completion-mode `grouped` is accepted
    is_job: ClassVar[bool] = False  # whether it starts a job
    prepared: bool = False

    def find(self, state: State) -> Traffic | None:
        """The guest requests that must be at rest before it is prepared; raises QmpError."""
        return None

    def prepare(self, state: State) -> Step | None:
        """The next step that can still be refused, and that can be taken back."""
        raise NotImplementedError

    def commit(self, state: State) -> Step | None:
        """The next step of what cannot be refused any more: all actions are prepared."""
        return None

    def roll_back(self, state: State) -> Step | None:
        """The next step of taking back what has been prepared, in part or in whole."""
        return None

    def drain_label(self, state: State) -> Label | None:
        """What the step is called that drains the action's drive."""
        return None

    def refuse_label(self, state: State) -> Label | None:
        """What the step is called in which the action is refused."""
        return None
