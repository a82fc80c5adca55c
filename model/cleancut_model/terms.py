"""The connectives of z3 without z3py's conversions: an instance is made of some ten thousand."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import z3

from cleancut_model.language import Term


def And(*terms: Any) -> Term:
    """The conjunction of truths, or of those in a list."""
    return _joined(z3.Z3_mk_and, z3.And, terms)


def Or(*terms: Any) -> Term:
    """The disjunction of truths, or of those in a list."""
    return _joined(z3.Z3_mk_or, z3.Or, terms)


def Not(term: Term) -> Term:
    """The negation of a truth."""
    ctx = term.ctx
    return z3.BoolRef(z3.Z3_mk_not(ctx.ref(), term.ast), ctx)


def Implies(one: Term, other: Term) -> Term:
    """That the other truth follows from the one."""
    ctx = one.ctx
    return z3.BoolRef(z3.Z3_mk_implies(ctx.ref(), one.ast, other.ast), ctx)


def _joined(make: Callable[..., Any], plainly: Callable[..., Term], terms: Sequence[Any]) -> Term:
    several = terms[0] if len(terms) == 1 and isinstance(terms[0], list) else terms
    if not several:
        return plainly([])
    ctx = several[0].ctx
    array = (z3.Ast * len(several))(*[term.ast for term in several])
    return z3.BoolRef(make(ctx.ref(), len(several), array), ctx)


def operands(term: Term) -> list[Term]:
    """The parts of a conjunction, disjunction, negation or implication."""
    ctx = term.ctx
    ref, ast = ctx.ref(), term.ast
    count = z3.Z3_get_app_num_args(ref, ast)
    return [z3.BoolRef(z3.Z3_get_app_arg(ref, ast, i), ctx) for i in range(count)]


class Substitution:
    """Puts terms in the place of variables."""

    def __init__(self, changes: Iterable[tuple[Term, Term]]) -> None:
        self._alive = list(changes)
        array = z3.Ast * len(self._alive)
        self._variables = array(*[variable.ast for variable, _ in self._alive])
        self._terms = array(*[term.ast for _, term in self._alive])

    def __call__(self, term: Term) -> Term:
        """A truth or a number with all of them replaced."""
        ctx, count = term.ctx, len(self._alive)
        found = z3.Z3_substitute(ctx.ref(), term.ast, count, self._variables, self._terms)
        return (z3.BoolRef if isinstance(term, z3.BoolRef) else z3.ArithRef)(found, ctx)
