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
        if z3.is_int_value(term):
            return str(term.as_long())
        kind = term.decl().kind()
        if kind == z3.Z3_OP_UNINTERPRETED:
            return str(term.decl().name())
        if kind == z3.Z3_OP_NOT and z3.is_eq(term.arg(0)):
            left, right = map(self, term.arg(0).children())
            return f"({left} {self._dialect.different} {right})"
        parts = [self(child) for child in term.children()]
        if kind in self._infix:
            return f"({f' {self._infix[kind]} '.join(parts)})"
        if kind in self._form:
            return self._form[kind].format(*parts)
        raise NotImplementedError(f"no spelling of {term.decl()}")


def conjuncts(term: Term) -> list[Term]:
    """The parts of a conjunction, however it is written."""
    if z3.is_and(term):
        return [part for child in term.children() for part in conjuncts(child)]
    if z3.is_not(term) and z3.is_or(term.arg(0)):
        return [part for child in term.arg(0).children() for part in conjuncts(z3.Not(child))]
    if z3.is_not(term) and z3.is_not(term.arg(0)):
        return conjuncts(term.arg(0).arg(0))
    return [term]


def variables(term: Term) -> set[str]:
    """The names of the variables in a term."""
    found, seen, todo = set(), set(), [term]
    while todo:
        each = todo.pop()
        if each.get_id() in seen:
            continue
        seen.add(each.get_id())
        if z3.is_const(each) and each.decl().kind() == z3.Z3_OP_UNINTERPRETED:
            found.add(str(each.decl().name()))
        todo += each.children()
    return found
