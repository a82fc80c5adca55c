"""TLA+, for TLC: a module, and the configuration that names the claims."""

from typing import Final

import z3

from cleancut_model.elaborated import Elaborated
from cleancut_model.finite import spell
from cleancut_model.printing import TLA, Printer
from cleancut_spec.schedule import Label

MODULE: Final = "Cleancut"


def tla(model: Elaborated) -> str:
    """The module Cleancut; claims about steps are left out, for TLC checks them otherwise."""
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
    lines += [f"{name} == {show(model.states[name])}" for name in _claims(model)]
    return "\n".join([*lines, "===="]) + "\n"


def config(model: Elaborated) -> str:
    """The configuration for TLC, which wants `-deadlock`: a run may end."""
    claims = [f"  {name}" for name in _claims(model)]
    return "\n".join(["SPECIFICATION Spec", "INVARIANTS", *claims]) + "\n"


def _claims(model: Elaborated) -> list[str]:
    return [name for name, claim in model.states.items() if not z3.is_true(claim)]


def _identifier(label: Label) -> str:
    return str(label).replace(" ", "_")
