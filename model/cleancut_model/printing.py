"""Prints terms of finite models in the languages that read them."""

from dataclasses import dataclass
from typing import Any, Final

import z3

from cleancut_model.language import Term
from cleancut_model.terms import Not, operands

Ref = Any  # a reference of z3's own, without z3py's object around it


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
        self._done: dict[int, str] = {}  # by the address of a term, which is kept alive
        self._alive: list[Term] = []
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
        if term.ast.value not in self._done:
            self._alive.append(term)
        return self._text(term.ctx.ref(), term.ast)

    def _text(self, ctx: Ref, term: Ref) -> str:
        key = term.value
        if key not in self._done:
            self._done[key] = self._print(ctx, term)
        return self._done[key]

    def _print(self, ctx: Ref, term: Ref) -> str:
        top, parts = taken_apart(ctx, term)
        if top == z3.Z3_OP_ANUM:
            return str(z3.Z3_get_numeral_string(ctx, term))
        if top == z3.Z3_OP_UNINTERPRETED:
            return _name(ctx, term)
        if top == z3.Z3_OP_NOT:
            below, operands = taken_apart(ctx, parts[0])
            if below == z3.Z3_OP_EQ:
                left, right = (self._text(ctx, each) for each in operands)
                return f"({left} {self._dialect.different} {right})"
        texts = [self._text(ctx, each) for each in parts]
        if top in self._infix:
            return f"({f' {self._infix[top]} '.join(texts)})"
        if top in self._form:
            return self._form[top].format(*texts)
        raise NotImplementedError(f"no spelling of {z3.Z3_ast_to_string(ctx, term)}")


def taken_apart(ctx: Ref, term: Ref) -> tuple[int, list[Ref]]:
    """What is at the top of a term, and its operands, which live as long as it does."""
    top = z3.Z3_get_decl_kind(ctx, z3.Z3_get_app_decl(ctx, term))
    count = z3.Z3_get_app_num_args(ctx, term)
    return top, [z3.Z3_get_app_arg(ctx, term, i) for i in range(count)]


def _name(ctx: Ref, term: Ref) -> str:
    symbol = z3.Z3_get_decl_name(ctx, z3.Z3_get_app_decl(ctx, term))
    return str(z3.Z3_get_symbol_string(ctx, symbol))


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
        one, other = operands(term)
        return [*disjuncts(Not(one)), *disjuncts(other)]
    return _parts(term, z3.Z3_OP_OR, z3.Z3_OP_AND)


def _parts(term: Term, joined: int, opposite: int) -> list[Term]:
    top = kind(term)
    if top == joined:
        return [part for each in operands(term) for part in _parts(each, joined, opposite)]
    if top != z3.Z3_OP_NOT:
        return [term]
    (negated,) = operands(term)
    top = kind(negated)
    if top == opposite:
        negations = map(Not, operands(negated))
        return [part for each in negations for part in _parts(each, joined, opposite)]
    return _parts(operands(negated)[0], joined, opposite) if top == z3.Z3_OP_NOT else [term]


class Variables:
    """The names of the variables in terms, each shared term looked at once."""

    def __init__(self) -> None:
        self._known: dict[int, frozenset[str]] = {}  # by the address of a term, which is kept alive
        self._alive: list[Term] = []

    def __call__(self, term: Term) -> frozenset[str]:
        """The names of those in a term."""
        if term.ast.value not in self._known:
            self._alive.append(term)
        return self._names(term.ctx.ref(), term.ast)

    def _names(self, ctx: Ref, term: Ref) -> frozenset[str]:
        key = term.value
        if key not in self._known:
            self._known[key] = self._find(ctx, term)
        return self._known[key]

    def _find(self, ctx: Ref, term: Ref) -> frozenset[str]:
        top, parts = taken_apart(ctx, term)
        if not parts and top == z3.Z3_OP_UNINTERPRETED:
            return frozenset([_name(ctx, term)])
        return frozenset().union(*(self._names(ctx, each) for each in parts))


def variables(term: Term) -> frozenset[str]:
    """The names of the variables in a term."""
    return Variables()(term)
