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
from cleancut_model.properties.registry import Claim
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
        return {**claims, NO_DEADLOCK: z3.Or(self.may_stop, *some)}


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
        tuple(_step_claims(protocol, language, instance) for instance in instances),
        hold(WITNESSES, protocol, state),
        end,
        z3.simplify(z3.Or(end, waits(protocol, state))),
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


def _step_claims(protocol: Backup, language: Finite, instance: Instance) -> Mapping[str, Term]:
    """A claim about a step is one about the state before it; those that hold plainly are left."""
    state = language.state()
    found = {}
    for name, step in of_instance(STEPS, protocol.options).items():
        if step.speaks_of(instance.name):
            claim = step.of_step(protocol, state, instance.after, instance.terms)
            term = z3.simplify(z3.Or(z3.Not(instance.guard), claim))
            if not z3.is_true(term):
                found[name] = term
    return found
