"""Promela, for Spin: one process, each action an atomic step, the state claims asserted."""

import z3

from cleancut_model.elaborated import Elaborated
from cleancut_model.finite import Instance, spell
from cleancut_model.printing import PROMELA, Printer, variables


def promela(model: Elaborated) -> str:
    """The source; claims about steps are left out, for Spin has no word for them."""
    show = Printer(PROMELA)
    lines = [f"/* {model.options.describe()} */"]
    for name in model.names:
        kind = "bit" if z3.is_bool(model.language.symbol(name)) else "byte"
        lines.append(f"{kind} {spell(name)} = {model.initial[name]};")
    most = max(len(instance.next) for instance in model.instances)
    lines += [f"hidden byte t{number};" for number in range(most)]
    lines += ["active proctype backup() {", "end: do"]
    for label, instance in zip(model.labels, model.instances, strict=True):
        steps = "; ".join([show(instance.guard), *_assignments(instance, show)])
        lines.append(f"  :: d_step {{ {steps} }} /* {label} */")
    for title, claim in model.states.items():
        if not z3.is_true(claim):
            lines.append(f"  :: d_step {{ !({show(claim)}); assert(false) }} /* {title} */")
    return "\n".join([*lines, "  od", "}"]) + "\n"


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
