"""Prints terms of finite models in the languages that read them."""

from dataclasses import dataclass
from typing import Final

import z3

from cleancut_model.language import Term


@dataclass(frozen=True, slots=True)
class Dialect:
    """How a language spells the operators; `{0}`, `{1}` … stand for the operands."""

    true: str
    false: str
    conjunction: str
    disjunction: str
    equal: str
    different: str
    negation: str
    implication: str
    choice: str


PYTHON: Final = Dialect(
    "True", "False", " and ", " or ", "==", "!=",
    "(not {0})", "(not {0} or {1})", "({1} if {0} else {2})",
)  # fmt: skip
NUMPY: Final = Dialect(
    "true", "false", " & ", " | ", "==", "!=",
    "(~{0})", "(~{0} | {1})", "where({0}, {1}, {2})",
)  # fmt: skip
C: Final = Dialect(
    "1", "0", " && ", " || ", "==", "!=", "(!{0})", "(!{0} || {1})", "({0} ? {1} : {2})"
)
PROMELA: Final = Dialect(
    "1", "0", " && ", " || ", "==", "!=", "(!{0})", "(!{0} || {1})", "({0} -> {1} : {2})"
)
TLA: Final = Dialect(
    "TRUE", "FALSE", " /\\ ", " \\/ ", "=", "#",
    "(~{0})", "({0} => {1})", "(IF {0} THEN {1} ELSE {2})",
)  # fmt: skip

_INFIX: Final = {
    z3.Z3_OP_LE: "<=",
    z3.Z3_OP_GE: ">=",
    z3.Z3_OP_LT: "<",
    z3.Z3_OP_GT: ">",
    z3.Z3_OP_ADD: "+",
    z3.Z3_OP_SUB: "-",
    z3.Z3_OP_MUL: "*",
}


class Printer:
    """The source of terms in a dialect, each shared term printed once."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._done: dict[int, str] = {}
        self._alive: list[Term] = []  # z3 may give the number of a dead term to a new one
        self._infix = {
            **_INFIX,
            z3.Z3_OP_EQ: dialect.equal,
            z3.Z3_OP_DISTINCT: dialect.different,
            z3.Z3_OP_AND: dialect.conjunction.strip(),
            z3.Z3_OP_OR: dialect.disjunction.strip(),
        }
        self._form = {
            z3.Z3_OP_TRUE: dialect.true,
            z3.Z3_OP_FALSE: dialect.false,
            z3.Z3_OP_NOT: dialect.negation,
            z3.Z3_OP_IMPLIES: dialect.implication,
            z3.Z3_OP_ITE: dialect.choice,
        }

    def __call__(self, term: Term) -> str:
        """The source of a term, in parentheses where needed."""
        key = term.get_id()
        if key not in self._done:
            self._done[key] = self._print(term)
            self._alive.append(term)
        return self._done[key]

    def _print(self, term: Term) -> str:
        top = kind(term)
        if top == z3.Z3_OP_ANUM:
            return str(term.as_long())
        if top == z3.Z3_OP_UNINTERPRETED:
            return str(term.decl().name())
        if top == z3.Z3_OP_NOT and kind(term.arg(0)) == z3.Z3_OP_EQ:
            left, right = map(self, term.arg(0).children())
            return f"({left} {self._dialect.different} {right})"
        parts = [self(child) for child in term.children()]
        if top in self._infix:
            return f"({f' {self._infix[top]} '.join(parts)})"
        if top in self._form:
            return self._form[top].format(*parts)
        raise NotImplementedError(f"no spelling of {term.decl()}")


def kind(term: Term) -> int:
    """What is at the top of a term: one of z3's Z3_OP_ numbers; asked without z3py's checks."""
    ctx = term.ctx.ref()
    return int(z3.Z3_get_decl_kind(ctx, z3.Z3_get_app_decl(ctx, term.ast)))


def conjuncts(term: Term) -> list[Term]:
    """The parts of a conjunction, however it is written."""
    return _parts(term, z3.Z3_OP_AND, z3.Z3_OP_OR)


def disjuncts(term: Term) -> list[Term]:
    """The parts of a disjunction, however it is written."""
    if kind(term) == z3.Z3_OP_IMPLIES:
        return [*disjuncts(z3.Not(term.arg(0))), *disjuncts(term.arg(1))]
    return _parts(term, z3.Z3_OP_OR, z3.Z3_OP_AND)


def _parts(term: Term, joined: int, opposite: int) -> list[Term]:
    top = kind(term)
    if top == joined:
        return [part for child in term.children() for part in _parts(child, joined, opposite)]
    if top != z3.Z3_OP_NOT:
        return [term]
    negated = term.arg(0)
    top = kind(negated)
    if top == opposite:
        children = map(z3.Not, negated.children())
        return [part for child in children for part in _parts(child, joined, opposite)]
    return _parts(negated.arg(0), joined, opposite) if top == z3.Z3_OP_NOT else [term]


class Variables:
    """The names of the variables in terms, each shared term looked at once."""

    def __init__(self) -> None:
        self._known: dict[int, frozenset[str]] = {}
        self._alive: list[Term] = []  # z3 may give the number of a dead term to a new one

    def __call__(self, term: Term) -> frozenset[str]:
        """The names of those in a term."""
        key = term.get_id()
        if key not in self._known:
            self._known[key] = self._find(term)
            self._alive.append(term)
        return self._known[key]

    def _find(self, term: Term) -> frozenset[str]:
        children = term.children()
        if not children and kind(term) == z3.Z3_OP_UNINTERPRETED:
            return frozenset([str(term.decl().name())])
        return frozenset().union(*map(self, children))


def variables(term: Term) -> frozenset[str]:
    """The names of the variables in a term."""
    return Variables()(term)
