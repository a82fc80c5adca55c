"""The `abort` action: it cannot be prepared."""

from cleancut_reference.actions.action import Action
from cleancut_reference.block.request import Outcome
from cleancut_reference.errors import generic
from cleancut_reference.state import State
from cleancut_reference.step import Step
from cleancut_spec import cites
from cleancut_spec.schedule import Label


class Abort(Action):
    """Makes its transaction fail."""

    kind = "abort"
    can_be_grouped = True

    @cites("TX-ABORT-1")
    def prepare(self, state: State) -> Step:
        """Always refused."""

        def run(_: Outcome) -> None:
            raise generic("Transaction aborted using Abort action")

        return Step(Label("fail_other"), run)

    def refuse_label(self, state: State) -> Label:
        """The model has one action for all that fails and is no backup."""
        return Label("fail_other")
