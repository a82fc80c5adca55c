"""What the protocol promises, each claim with the clauses that it is the model's reading of.

A *state* claim holds in every reachable state. A *step* claim holds of every step from `s` to `t`;
if it names actions it speaks of those only. A *witness* is a state that must be reachable, so that
no claim holds for want of the interesting case.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from z3 import And

from cleancut_model.backup import Backup
from cleancut_model.language import Action, State, Term

StateClaim = Callable[[Backup, State], Term]
StepClaim = Callable[[Backup, State, State], Term]


@dataclass(frozen=True, slots=True)
class Step:
    """A claim about steps; `of` names the actions that it speaks of, none means all."""

    claim: StepClaim
    of: tuple[str, ...] = ()


STATES: Final[dict[str, StateClaim]] = {}
STEPS: Final[dict[str, Step]] = {}
WITNESSES: Final[dict[str, StateClaim]] = {}


def always(claim: StateClaim) -> StateClaim:
    """Register a state claim."""
    STATES[claim.__name__] = claim
    return claim


def each_step(*of: str) -> Callable[[StepClaim], StepClaim]:
    """Register a step claim."""

    def register(claim: StepClaim) -> StepClaim:
        STEPS[claim.__name__] = Step(claim, of)
        return claim

    return register


def sometimes(claim: StateClaim) -> StateClaim:
    """Register a witness."""
    WITNESSES[claim.__name__] = claim
    return claim


def clusters(p: Backup, body: Callable[[Term, Term], Term]) -> Term:
    """For every cluster of every drive."""
    return p.m.all(p.drive, p.cluster, body)


def tx_is(p: Backup, s: State, names: str) -> Term:
    """Whether the transaction is in one of these phases."""
    return p.is_in(s.tx, p.tx, names)


def enabled(p: Backup, s: State, name: str, *arguments: Term) -> Term:
    """Whether an action is possible, errors left aside."""
    found = next(action for action in p.m.actions if action.name == name)
    return _guard(found, s, arguments)


def _guard(action: Action, s: State, arguments: tuple[Term, ...]) -> Term:
    probe = State(s.fields, s.read)
    action.body(probe, **dict(zip(action.parameters, arguments, strict=True)))
    return And(list(probe.guards.values()))
