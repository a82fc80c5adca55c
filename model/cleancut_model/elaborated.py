"""A finite model with everything that its readers need: actions, labels, claims, as z3 terms."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Final

import z3

from cleancut_model.backup import Backup, Options
from cleancut_model.bugs import mutations
from cleancut_model.finite import Finite, Instance, Name
from cleancut_model.language import State, Term
from cleancut_model.properties import STATES, STEPS, WITNESSES, ended, of_instance, waits
from cleancut_model.properties.registry import Claim, Step
from cleancut_model.terms import Not, Or
from cleancut_spec.schedule import STEPS as LABELS
from cleancut_spec.schedule import Label

NO_DEADLOCK: Final = "no_deadlock"


@dataclass(frozen=True, slots=True)
class Elaborated:
    """A finite model; `labels[i]` and `steps[i]` belong to `instances[i]`."""

    options: Options
    protocol: Backup
    language: Finite
    names: tuple[Name, ...]
    initial: Mapping[Name, int]
    instances: tuple[Instance, ...]
    labels: tuple[Label, ...]
    states: Mapping[str, Term]  # the state claims
    steps: tuple[Mapping[str, Term], ...]  # of each action, as terms over the state before it
    witnesses: Mapping[str, Term]
    ended: Term
    may_stop: Term  # where nothing has to go on: the end, and where only the client can act
    goes_on: tuple[bool, ...]  # whether an action is the implementation's own, and no failure

    @property
    def invariants(self) -> dict[str, Term]:
        """The state claims that do not hold plainly, and that there is no deadlock."""
        claims = {name: claim for name, claim in self.states.items() if not z3.is_true(claim)}
        own = zip(self.instances, self.goes_on, strict=True)
        some = [instance.guard for instance, goes_on in own if goes_on]
        return {**claims, NO_DEADLOCK: Or(self.may_stop, *some)}


@cache
def elaborate(options: Options) -> Elaborated:
    """Elaborate an instance; equal options give the same object."""
    language = Finite(sizes=options.sizes())
    protocol = Backup(language, options, mutations(options.bug))
    instances = tuple(language.instances())
    state = language.state()
    labels = tuple(_label(instance, protocol) for instance in instances)
    end = z3.simplify(ended(protocol, state))
    return Elaborated(
        options,
        protocol,
        language,
        tuple(language.names()),
        language.initial(),
        instances,
        labels,
        hold(STATES, protocol, state),
        tuple(map(_StepClaims(protocol, language).of, instances)),
        hold(WITNESSES, protocol, state),
        end,
        z3.simplify(Or(end, waits(protocol, state))),
        tuple(
            not LABELS[label.name].by_client and not label.name.startswith("fail_")
            for label in labels
        ),
    )


def _label(instance: Instance, protocol: Backup) -> Label:
    arguments = instance.arguments
    errno = protocol.errno.names[arguments["e"]] if "e" in arguments else None
    request = None
    for letter, sort in (("r", protocol.request), ("w", protocol.worker)):
        if letter in arguments and len(sort.values) > 1:  # where there is but one, it has no number
            request = arguments[letter]
    return Label(instance.name, arguments.get("d"), arguments.get("c"), errno, request)


def hold(claims: Mapping[str, Claim], protocol: Backup, state: State) -> dict[str, Term]:
    """What the claims that speak of an instance say of a state."""
    found = of_instance(claims, protocol.options)
    return {name: z3.simplify(each.claim(protocol, state)) for name, each in found.items()}


class _StepClaims:
    """A claim about a step is one about the state before it; those that hold plainly are left."""

    def __init__(self, protocol: Backup, language: Finite) -> None:
        self._protocol, self._language = protocol, language
        self._state = language.state()
        self._claims = of_instance(STEPS, protocol.options)
        self._nothing: dict[str, tuple[Term, set[Name]]] = {}

    def of(self, instance: Instance) -> Mapping[str, Term]:
        """What the claims say of a step by this action."""
        found = {}
        for name, step in self._claims.items():
            if step.speaks_of(instance.name):
                claim = self._claim(name, step, instance)
                if not z3.is_true(claim):
                    term = z3.simplify(Or(Not(instance.guard), claim))
                    if not z3.is_true(term):
                        found[name] = term
        return found

    def _claim(self, name: str, step: Step, instance: Instance) -> Term:
        """Where it reads nothing that the action changes, the state after may be that before."""
        if not step.asks_for:
            claim, read = self._of_nothing(name, step)
            if read.isdisjoint(instance.next):
                return claim
        return step.of_step(self._protocol, self._state, instance.after, instance.terms)

    def _of_nothing(self, name: str, step: Step) -> tuple[Term, set[Name]]:
        """What a claim says where nothing changes, and what it reads of the state after."""
        if name not in self._nothing:
            after, read = self._language.watched()
            claim = step.of_step(self._protocol, self._state, after, {})
            plain = z3.simplify(claim)
            self._nothing[name] = plain if z3.is_true(plain) else claim, read
        return self._nothing[name]
