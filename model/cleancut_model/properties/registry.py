"""What the protocol promises, each claim with the clauses that it is the model's reading of.

A *state* claim holds in every reachable state. A *step* claim holds of every step from `s` to `t`;
if it names actions it speaks of those only. A *witness* is a state that must be reachable, so that
no claim holds for want of the interesting case; each claim names the witnesses that show it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from inspect import signature
from typing import Final, TypeVar

from z3 import BoolVal

from cleancut_model.backup import Backup, Options
from cleancut_model.language import Action, State, Term
from cleancut_model.terms import And, Not

StateClaim = Callable[[Backup, State], Term]
StepClaim = Callable[..., Term]  # of a Backup, two States, and arguments of the action by name


@dataclass(frozen=True, slots=True)
class Claim:
    """A claim about states, of the instances that have the parts it needs."""

    claim: StateClaim
    needs: tuple[str, ...]
    implied: bool = False  # it follows from the others, without induction
    least: Mapping[str, int] = field(default_factory=dict)  # sizes that an instance must have
    shown_by: tuple[str, ...] = ()  # witnesses of its interesting case


@cache
def _arguments(claim: StepClaim) -> tuple[str, ...]:
    return tuple(signature(claim).parameters)[3:]


@dataclass(frozen=True, slots=True)
class Step:
    """A claim about steps: of the actions in `of`, or of all; not of those in `but`."""

    claim: StepClaim
    needs: tuple[str, ...]
    of: tuple[str, ...] = ()
    but: tuple[str, ...] = ()
    shown_by: tuple[str, ...] = ()

    @property
    def asks_for(self) -> tuple[str, ...]:
        """Those of the action's arguments that it names."""
        return _arguments(self.claim)

    def of_step(self, p: Backup, s: State, t: State, arguments: Mapping[str, Term]) -> Term:
        """What it says of a step; it is given those of the action's arguments that it names."""
        return self.claim(p, s, t, **{name: arguments[name] for name in self.asks_for})

    def speaks_of(self, action: str) -> bool:
        """Whether it says anything of an action."""
        return action not in self.but and (not self.of or action in self.of)


STATES: Final[dict[str, Claim]] = {}
STEPS: Final[dict[str, Step]] = {}
WITNESSES: Final[dict[str, Claim]] = {}
Registered = TypeVar("Registered", Claim, Step)


def always(
    *needs: str, shown_by: Sequence[StateClaim], implied: bool = False
) -> Callable[[StateClaim], StateClaim]:
    """Register a state claim; one that is implied is proved without induction."""

    def register(claim: StateClaim) -> StateClaim:
        STATES[claim.__name__] = Claim(claim, needs, implied, shown_by=names_of(shown_by))
        return claim

    return register


def each_step(
    *of: str,
    shown_by: Sequence[StateClaim],
    needs: tuple[str, ...] = (),
    but: tuple[str, ...] = (),
) -> Callable[[StepClaim], StepClaim]:
    """Register a step claim."""

    def register(claim: StepClaim) -> StepClaim:
        STEPS[claim.__name__] = Step(claim, needs, of, but, names_of(shown_by))
        return claim

    return register


def sometimes(*needs: str, **least: int) -> Callable[[StateClaim], StateClaim]:
    """Register a witness, of the instances with these parts and at least these sizes."""

    def register(claim: StateClaim) -> StateClaim:
        WITNESSES[claim.__name__] = Claim(claim, needs, least=least)
        return claim

    return register


def names_of(witnesses: Sequence[StateClaim]) -> tuple[str, ...]:
    """The names under which witnesses are registered."""
    return tuple(witness.__name__ for witness in witnesses)


def of_instance(claims: Mapping[str, Registered], options: Options) -> dict[str, Registered]:
    """The claims that speak of an instance."""
    return {
        name: each
        for name, each in claims.items()
        if options.has(*each.needs)
        and (
            not isinstance(each, Claim)
            or all(getattr(options, size) >= number for size, number in each.least.items())
        )
    }


def clusters(p: Backup, body: Callable[[Term, Term], Term]) -> Term:
    """For every cluster of every drive."""
    return p.m.all(p.drive, p.cluster, body)


def requests(p: Backup, body: Callable[[Term, Term], Term]) -> Term:
    """For every guest request of every drive."""
    return p.m.all(p.drive, p.request, body)


def copies(p: Backup, body: Callable[[Term, Term], Term]) -> Term:
    """For every background copy of every drive."""
    return p.m.all(p.drive, p.worker, body)


def intact(p: Backup, s: State, d: Term) -> Term:
    """The drive's backup has not been given up for a guest's write."""
    return Not(s.broken[d]) if p.options.breaks else BoolVal(True)


def forgotten(p: Backup, t: State) -> Term:
    """The transaction is behind us: the next one is there, or the process has ended."""
    if not (p.options.repeats or p.options.dies):
        return BoolVal(False)
    return p.tx_is(t, "IDLE DEAD")


def dead(p: Backup, s: State) -> Term:
    """The process has ended."""
    return p.tx_is(s, "DEAD")


def enabled(p: Backup, s: State, name: str, *arguments: Term) -> Term:
    """Whether an action is possible; one that the instance does not have is not."""
    for action in p.m.actions:
        if action.name == name:
            return _guard(action, s, arguments)
    return BoolVal(False)


def _guard(action: Action, s: State, arguments: tuple[Term, ...]) -> Term:
    probe = State(s.fields, s.read)
    action.body(probe, **dict(zip(action.parameters, arguments, strict=True)))
    return And(list(probe.guards.values()))
