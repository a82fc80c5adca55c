"""The transaction: prepare each action in turn, then commit all, or take all back.

    PREPARE   drain d, prepare d   for each action, in the order of the list
    COMMIT    commit d             for each; then undrain d for each; then the reply
    ROLLBACK  rollback d           for each, newest first; then undrain d for each; the error

What an action does in each phase is its kind's business (`actions/`). A drive is drained from
before its own prepare until after the last commit. At the first commit all drives are quiet at
once: that instant is the cut. A lone `drive-backup` is a transaction of one.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any

from cleancut_reference.actions.action import Action
from cleancut_reference.block.request import Outcome
from cleancut_reference.block.traffic import Traffic
from cleancut_reference.errors import QmpError, generic
from cleancut_reference.state import State
from cleancut_reference.step import Step
from cleancut_spec import cites
from cleancut_spec.jobs import Status
from cleancut_spec.schedule import Label


class Phase(Enum):
    """Which way the transaction goes."""

    PREPARE = auto()
    COMMIT = auto()
    ROLLBACK = auto()
    ENDED = auto()


@dataclass(slots=True, eq=False)
class Transaction:
    """A transaction under way; `error` is that of the first action that failed."""

    actions: list[Action]
    grouped: bool = False
    phase: Phase = Phase.PREPARE
    position: int = 0  # of the action that is being prepared
    found: bool = False  # its drive is known and drained
    drained: list[Traffic] = field(default_factory=list)
    error: QmpError | None = None

    def result(self) -> dict[str, Any] | QmpError | None:
        """What to answer; None while the transaction goes on."""
        if self.phase is not Phase.ENDED:
            return None
        return self.error or {}

    def steps(self, state: State) -> Iterator[Step]:
        """The one thing that the transaction does next, if its drives let it."""
        match self.phase:
            case Phase.PREPARE if self.position < len(self.actions):
                step = self._prepare_next(state, self.actions[self.position])
            case Phase.PREPARE | Phase.COMMIT:
                step = self._commit_next(state)
            case Phase.ROLLBACK:
                step = self._roll_back_next(state)
            case _:
                step = None
        if step is not None:
            yield step

    @cites("TX-ORDER-1", "TX-FAIL-1")
    def _prepare_next(self, state: State, action: Action) -> Step | None:
        """The next action is prepared only when all before it are, and its drive is quiet."""
        if not self.found:
            step: Step | None = self._find(state, action)
        elif all(traffic.quiet for traffic in self.drained):
            step = action.prepare(state)
        else:
            step = None
        return None if step is None else self._or_fail(state, action, step)

    def _or_fail(self, state: State, action: Action, step: Step) -> Step:
        """The step, after which the next action is due or, if it was refused, the way back."""

        def run(outcome: Outcome) -> Label | None:
            try:
                label = step.run(outcome)
            except QmpError as error:
                self.error, self.phase = error, Phase.ROLLBACK
                return action.refuse_label(state)
            if action.prepared:
                self.position += 1
                self.found = False
            return label

        return Step(step.label, run, step.io)

    @cites("TX-GROUPABLE-1")
    def _find(self, state: State, action: Action) -> Step:
        """Find the action's drive, and let none of its guest requests start from now on."""
        label = action.drain_label(state)

        def run(_: Outcome) -> Label | None:
            self._check_group(state, action)
            traffic = action.find(state)
            self.found = True
            if traffic is None or traffic.drained:
                return None
            traffic.drained = True
            self.drained.append(traffic)
            return label

        return Step(label, run)

    def _check_group(self, state: State, action: Action) -> None:
        """Refuse what cannot be grouped, when its turn comes or at once; raises QmpError."""
        first = state.profile.groups_first
        for each in self.actions if first else [action]:
            if self.grouped and not (each.is_job if first else each.can_be_grouped):
                raise generic(
                    f"Action '{each.kind}' does not support Transaction property "
                    "completion-mode = grouped"
                )

    @cites("TX-ATOMIC-1", "TX-ATOMIC-2", "PIT-ALL-1", "PIT-BEFORE-1")
    def _commit_next(self, state: State) -> Step:
        """All are prepared: start each job, and only then let the guests go on."""
        newest_first = state.profile.commits_newest_first
        for action in reversed(self.actions) if newest_first else self.actions:
            if (step := action.commit(state)) is not None:
                return self._committing(step)
        return self._undrain_next(state) or Step(Label("reply"), self._end)

    def _committing(self, step: Step) -> Step:
        """The step, after which there is no way back."""

        def run(outcome: Outcome) -> Label | None:
            self.phase = Phase.COMMIT
            try:
                return step.run(outcome)
            except QmpError as error:  # the others go on: there is no way back
                self.error = self.error or error
                return None

        return Step(step.label, run, step.io)

    @cites("TX-ATOMIC-1", "TX-FAIL-2", "TX-FAIL-4", "TX-RELEASE-1")
    def _roll_back_next(self, state: State) -> Step:
        """One has failed: take back what was prepared, newest first, then let the guests go on."""
        begun = self.actions[: self.position + 1]
        for action in begun if state.profile.starts_in_prepare else reversed(begun):
            if (step := action.roll_back(state)) is not None:
                return step
        return self._undrain_next(state) or Step(Label("refuse"), self._end)

    def _undrain_next(self, state: State) -> Step | None:
        if not self.drained:
            return None
        traffic = self.drained[-1 if state.profile.commits_newest_first else 0]
        return _undrain(self, state, traffic)

    @cites("TX-EMPTY-1")
    def _end(self, _: Outcome) -> Label:
        self.phase = Phase.ENDED
        return Label("refuse" if self.error else "reply")


def _undrain(transaction: Transaction, state: State, traffic: Traffic) -> Step:
    label = Label("undrain", traffic.index)

    def run(_: Outcome) -> Label:
        traffic.drained = False
        transaction.drained.remove(traffic)
        for job in state.jobs:
            by_drain = job.status is Status.PAUSED and not job.user_paused
            if job.source.traffic is traffic and by_drain:
                state.outbox.append(job.move(Status.RUNNING))
        return label

    return Step(label, run)
