"""Promela, for Spin: one process, each action an atomic step, the claims asserted.

A claim about a step is asserted in the step, one about a state in a step of its own that is there
only where the claim breaks. `pan` names the claim: it is a byte that is never set, so that
`assert(condition || claim)` shows it.
"""

import z3

from cleancut_model.elaborated import Elaborated
from cleancut_model.finite import Instance, spell
from cleancut_model.printing import PROMELA, Printer, variables


def promela(model: Elaborated) -> str:
    """The source, with all claims. `end` lets runs stop anywhere: one of the claims says where."""
    show = Printer(PROMELA)
    lines = [f"/* {model.options.describe()} */"]
    for name in model.names:
        kind = "bit" if z3.is_bool(model.language.symbol(name)) else "byte"
        lines.append(f"{kind} {spell(name)} = {model.initial[name]};")
    lines += [f"hidden byte {title};" for title in _titles(model)]
    most = max(len(instance.next) for instance in model.instances)
    lines += [f"hidden byte t{number};" for number in range(most)]
    lines += ["active proctype backup() {", "end: do"]
    for number, instance in enumerate(model.instances):
        claims = [f"assert({show(c)} || {name})" for name, c in model.steps[number].items()]
        steps = "; ".join([show(instance.guard), *claims, *_assignments(instance, show)])
        lines.append(f"  :: d_step {{ {steps} }} /* {model.labels[number]} */")
    for title, claim in model.invariants.items():
        lines.append(f"  :: d_step {{ !({show(claim)}); assert({title}) }}")
    return "\n".join([*lines, "  od", "}"]) + "\n"


def _titles(model: Elaborated) -> list[str]:
    """The names of the claims that may break."""
    steps = [title for claims in model.steps for title in claims]
    return list(dict.fromkeys([*steps, *model.invariants]))


def _assignments(instance: Instance, show: Printer) -> list[str]:
    """The new values; those read by another assignment go through a temporary."""
    first, then = [], []
    for number, (name, term) in enumerate(instance.next.items()):
        others = {spell(other) for other in instance.next if other != name}
        if variables(term) & others:
            first.append(f"t{number} = {show(term)}")
            then.append(f"{spell(name)} = t{number}")
        else:
            then.append(f"{spell(name)} = {show(term)}")
    return first + then
