"""Constrained Horn clauses in SMT-LIB, for Spacer and its kind: `sat` if every claim holds."""

import z3

from cleancut_model.elaborated import Elaborated
from cleancut_model.finite import spell
from cleancut_model.language import Term


def chc(model: Elaborated) -> str:
    """One relation, `reach`, over all variables: a clause for each action and each claim.

    A solver that answers `sat` has found an invariant, `unsat` a run that breaks a claim.
    """
    symbols = {name: model.language.symbol(name) for name in model.names}
    bound = " ".join(f"({spell(name)} {symbol.sort()})" for name, symbol in symbols.items())
    before = f"(reach {' '.join(map(spell, model.names))})"
    first = " ".join(
        model.language.constant_of(name, model.initial[name]).sexpr() for name in model.names
    )
    sorts = " ".join(str(symbol.sort()) for symbol in symbols.values())
    lines = [
        f"; {model.options.describe()}",
        "(set-logic HORN)",
        f"(declare-fun reach ({sorts}) Bool)",
        f"(assert (reach {first}))",
    ]

    def clause(comment: str, condition: Term, head: str) -> None:
        lines.append(f"; {comment}")
        body = f"(and {before} {condition.sexpr()})"
        lines.append(f"(assert (forall ({bound}) (=> {body} {head})))")

    for number, (label, instance) in enumerate(zip(model.labels, model.instances, strict=True)):
        after = " ".join(
            instance.next[name].sexpr() if name in instance.next else spell(name)
            for name in model.names
        )
        clause(str(label), instance.guard, f"(reach {after})")
        for title, claim in model.steps[number].items():
            clause(f"{title}: {label}", z3.Not(claim), "false")
    for title, claim in model.invariants.items():
        clause(title, z3.Not(claim), "false")
    return "\n".join([*lines, "(check-sat)"]) + "\n"
