"""TLA+, for TLC: a module, and the configuration that names the claims.

Claims about states are invariants, those about steps action properties, `[][…]_vars`.
"""

from typing import Final

import z3

from cleancut_model.elaborated import Elaborated
from cleancut_model.finite import Name, spell
from cleancut_model.language import State, Term
from cleancut_model.printing import TLA, Printer
from cleancut_model.properties import STEPS, of_instance
from cleancut_model.properties.registry import Step
from cleancut_spec.schedule import Label

MODULE: Final = "Cleancut"


def tla(model: Elaborated) -> str:
    """The module Cleancut, with all claims."""
    show = Printer(TLA)
    listed = ", ".join(map(spell, model.names))
    lines = [
        f"---- MODULE {MODULE} ----",
        f"\\* {model.options.describe()}",
        "EXTENDS Integers",
        f"VARIABLES {listed}",
        f"vars == <<{listed}>>",
        "Init ==",
        *[
            f"  /\\ {spell(name)} = {show(model.language.constant_of(name, model.initial[name]))}"
            for name in model.names
        ],
    ]
    actions = []
    for number, (label, instance) in enumerate(zip(model.labels, model.instances, strict=True)):
        actions.append(f"{_identifier(label)}_{number}")
        kept = ", ".join(spell(name) for name in model.names if name not in instance.next)
        lines.append(f"{actions[-1]} ==")
        lines.append(f"  /\\ ({show(instance.guard)}) = TRUE")
        lines += [f"  /\\ {spell(name)}' = {show(t)}" for name, t in instance.next.items()]
        lines.append(f"  /\\ UNCHANGED <<{kept}>>")
    lines += ["Next ==", *[f"  \\/ {name}" for name in actions], "Spec == Init /\\ [][Next]_vars"]
    lines += [f"{name} == {show(claim)}" for name, claim in model.invariants.items()]
    lines += [
        f"{name} == [][{_property(model, step, actions, show)}]_vars"
        for name, step in _properties(model).items()
    ]
    return "\n".join([*lines, "===="]) + "\n"


def config(model: Elaborated) -> str:
    """The configuration for TLC, which wants `-deadlock`: a run may end where a claim says so."""
    invariants = [f"  {name}" for name in model.invariants]
    properties = [f"  {name}" for name in _properties(model)]
    lines = ["SPECIFICATION Spec", "INVARIANTS", *invariants, "PROPERTIES", *properties]
    return "\n".join(lines) + "\n"


def _properties(model: Elaborated) -> dict[str, Step]:
    """The claims about steps, where there is a step that they speak of."""
    found = of_instance(STEPS, model.options).items()
    names = {instance.name for instance in model.instances}
    return {name: step for name, step in found if any(map(step.speaks_of, names))}


def _property(model: Elaborated, step: Step, actions: list[str], show: Printer) -> str:
    """What a claim says of the variables and their primed selves.

    If it is about some actions only, or asks for their arguments, it says so of those.
    """
    before = model.language.state()
    primed = {name: _primed(model, name) for name in model.names}
    after = State(model.language.fields, model.language.reader(primed))
    alike: dict[tuple[int, ...], tuple[Term, list[str]]] = {}
    for action, instance in zip(actions, model.instances, strict=True):
        if step.speaks_of(instance.name):
            asked = tuple(instance.arguments[name] for name in step.asks_for)
            if asked not in alike:
                claim = step.of_step(model.protocol, before, after, instance.terms)
                alike[asked] = z3.simplify(claim), []
            alike[asked][1].append(action)
    if alike.keys() == {()} and not step.of and not step.but:
        return show(alike[()][0])
    each = [f"(({TLA.disjunction.join(some)}) => {show(claim)})" for claim, some in alike.values()]
    return TLA.conjunction.join(each)


def _primed(model: Elaborated, name: Name) -> Term:
    return z3.Const(f"{spell(name)}'", model.language.symbol(name).sort())


def _identifier(label: Label) -> str:
    return str(label).replace(" ", "_")
