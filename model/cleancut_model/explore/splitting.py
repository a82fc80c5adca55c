"""Splits conditions, so that each piece reads little of a state."""

from collections.abc import Callable, Iterator

import z3

from cleancut_model.language import Term
from cleancut_model.printing import conjuncts


def pieces(term: Term) -> Iterator[Term]:
    """Conditions that together say the same; of `a -> (b & c)` they are `a -> b` and `a -> c`."""
    for part in conjuncts(term):
        alternatives = _alternatives(part)
        several = [each for each in alternatives if len(conjuncts(each)) > 1]
        if len(several) != 1 or len(alternatives) == 1:
            yield part
            continue
        others = [each for each in alternatives if each is not several[0]]
        for each in conjuncts(several[0]):
            yield from pieces(z3.Or(*others, each))


def _alternatives(term: Term) -> list[Term]:
    """The parts of a disjunction, however it is written."""
    if z3.is_or(term):
        return [part for child in term.children() for part in _alternatives(child)]
    if z3.is_implies(term):
        return [*_alternatives(z3.Not(term.arg(0))), *_alternatives(term.arg(1))]
    if z3.is_not(term) and z3.is_and(term.arg(0)):
        return [part for child in term.arg(0).children() for part in _alternatives(z3.Not(child))]
    if z3.is_not(term) and z3.is_not(term.arg(0)):
        return _alternatives(term.arg(0).arg(0))
    return [term]


def possible(term: Term, known: Callable[[Term], bool], positive: bool = True) -> Term:
    """What is known of a condition: true wherever the condition is (or, if not positive, is not)."""
    if known(term):
        return term if positive else z3.Not(term)
    if z3.is_not(term):
        return possible(term.arg(0), known, not positive)
    if z3.is_implies(term):
        return possible(z3.Or(z3.Not(term.arg(0)), term.arg(1)), known, positive)
    if z3.is_and(term) or z3.is_or(term):
        parts = [possible(child, known, positive) for child in term.children()]
        return z3.And(parts) if z3.is_and(term) == positive else z3.Or(parts)
    return z3.BoolVal(True)
