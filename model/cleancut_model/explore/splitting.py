"""Splits conditions, so that each piece reads little of a state."""

from collections.abc import Callable, Iterator

import z3

from cleancut_model.language import Term
from cleancut_model.printing import conjuncts, disjuncts, kind
from cleancut_model.terms import And, Not, Or


def pieces(term: Term) -> Iterator[Term]:
    """Conditions that together say the same; of `a -> (b & c)` they are `a -> b` and `a -> c`."""
    for part in conjuncts(term):
        alternatives = disjuncts(part)
        several = [each for each in alternatives if len(conjuncts(each)) > 1]
        if len(several) != 1 or len(alternatives) == 1:
            yield part
            continue
        others = [each for each in alternatives if each is not several[0]]
        for each in conjuncts(several[0]):
            yield from pieces(Or(*others, each))


def possible(term: Term, known: Callable[[Term], bool], positive: bool = True) -> Term:
    """What is known of a condition: true wherever the condition is; if not positive, is false."""
    if known(term):
        return term if positive else Not(term)
    top = kind(term)
    if top == z3.Z3_OP_NOT:
        return possible(term.arg(0), known, not positive)
    if top == z3.Z3_OP_IMPLIES:
        return possible(Or(Not(term.arg(0)), term.arg(1)), known, positive)
    if top in (z3.Z3_OP_AND, z3.Z3_OP_OR):
        parts = [possible(child, known, positive) for child in term.children()]
        return And(parts) if (top == z3.Z3_OP_AND) == positive else Or(parts)
    return z3.BoolVal(True)
