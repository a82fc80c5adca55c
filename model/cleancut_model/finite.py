"""The finite elaborator: every index has a size, and every variable is one small integer.

An index that is a constant selects a variable; one that is a term becomes an if-then-else.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import z3

from cleancut_model.language import Declarations, Field, Key, Reader, Sort, State, Term, is_function
from cleancut_model.terms import And, Or

Name = tuple[str, tuple[int, ...]]


def spell(name: Name) -> str:
    """A variable's name as an identifier: `src_0_1`."""
    return "_".join([name[0], *map(str, name[1])])


@dataclass(frozen=True, slots=True)
class Instance:
    """An action with constant arguments: its guards by name, and the variables that it changes."""

    name: str
    arguments: dict[str, int]
    terms: dict[str, Term]  # the same arguments
    guards: dict[str, Term]
    guard: Term
    next: dict[Name, Term]
    after: State


@dataclass(slots=True)
class Finite(Declarations):
    """Elaborates a protocol for given sizes of its index sorts and budgets."""

    sizes: dict[str, int] = field(default_factory=dict)
    _symbols: dict[Name, Term] = field(default_factory=dict)
    _constants: dict[int, int] = field(default_factory=dict)  # by the identity of a sort's value

    def _sort(self, name: str, names: list[str]) -> Sort:
        values = [z3.IntVal(i) for i in range(len(names))]
        self._constants.update({id(value): i for i, value in enumerate(values)})
        return Sort(name, z3.IntSort(), names, values, values[0])

    def enum(self, name: str, names: str) -> Sort:
        """A sort with these values."""
        return self._sort(name, names.split())

    def index(self, name: str) -> Sort:
        """A sort with as many values as the instance says."""
        return self._sort(name, [f"{name}{i}" for i in range(self.sizes[name])])

    def budget(self, name: str) -> Sort:
        """Numbers from 0 to what the instance says."""
        return self._sort(name, [str(i) for i in range(self.sizes[name] + 1)])

    def less(self, a: Term, b: Term) -> Term:
        """The order of numbers."""
        return z3.simplify(a < b)

    def all(self, *sorts_and_body: Any) -> Term:
        """The conjunction over all values."""
        *sorts, body = sorts_and_body
        return And([body(*v) for v in itertools.product(*[s.values for s in sorts])])

    def any(self, *sorts_and_body: Any) -> Term:
        """The disjunction over all values."""
        *sorts, body = sorts_and_body
        return Or([body(*v) for v in itertools.product(*[s.values for s in sorts])])

    def names(self) -> Iterator[Name]:
        """All variables, each with its constant indices."""
        for of in self.fields.values():
            for key in itertools.product(*[range(len(s.values)) for s in of.index]):
                yield of.name, key

    def symbol(self, name: Name) -> Term:
        """The z3 constant of a variable."""
        if name not in self._symbols:
            self._symbols[name] = z3.Const(spell(name), self.fields[name[0]].sort.sort)
        return self._symbols[name]

    def constant_of(self, name: Name, value: int) -> Term:
        """A value of a variable as a term."""
        return z3.BoolVal(bool(value)) if z3.is_bool(self.symbol(name)) else z3.IntVal(value)

    def in_range(self, name: Name, symbol: Term) -> Term:
        """That the symbol has one of the variable's values."""
        if z3.is_bool(symbol):
            return z3.BoolVal(True)
        return And(symbol >= 0, symbol < len(self.fields[name[0]].sort.values))

    def reader(self, values: dict[Name, Term]) -> Reader:
        """Reads variables from these terms; those that are missing are themselves."""

        def read(of: Field, key: Key) -> Term:
            index = [self._constant(term) for term in key]
            fixed = tuple(at for at in index if at is not None)
            if len(fixed) == len(key):
                name = (of.name, fixed)
                return values[name] if name in values else self.symbol(name)
            choices = []
            for sort, term, at in zip(of.index, key, index, strict=True):
                spread = [(i, term == value) for i, value in enumerate(sort.values)]
                choices.append([(at, None)] if at is not None else spread)
            result = None
            for combination in reversed(list(itertools.product(*choices))):
                name = (of.name, tuple(i for i, _ in combination))
                value = values.get(name, self.symbol(name))
                conditions = [c for _, c in combination if c is not None]
                result = value if result is None else z3.If(And(conditions), value, result)
            return result

        return read

    def state(self) -> State:
        """The state before a step."""
        return State(self.fields, self.reader({}))

    def watched(self) -> tuple[State, set[Name]]:
        """The state before a step, and the variables that have been read of it."""
        found: set[Name] = set()
        read = self.reader({})

        def reader(of: Field, key: Key) -> Term:
            at = [self._constant(term) for term in key]
            all_of = [range(len(sort.values)) for sort in of.index]
            spread = [all_of[i] if c is None else (c,) for i, c in enumerate(at)]
            found.update((of.name, index) for index in itertools.product(*spread))
            return read(of, key)

        return State(self.fields, reader), found

    def instances(self) -> Iterator[Instance]:
        """Every action with every choice of arguments whose guard is not plainly false."""
        for action in self.actions:
            sorts = list(action.parameters.values())
            for values in itertools.product(*[range(len(s.values)) for s in sorts]):
                terms = [s.values[v] for s, v in zip(sorts, values, strict=True)]
                state = self.state()
                constants = dict(zip(action.parameters, terms, strict=True))
                action.body(state, **constants)
                guards = {name: z3.simplify(g) for name, g in state.guards.items()}
                guard = z3.simplify(And(list(guards.values())))
                if not z3.is_false(guard):
                    after = self._after(state)
                    view = State(self.fields, self.reader(after))
                    arguments = dict(zip(action.parameters, values, strict=True))
                    yield Instance(action.name, arguments, constants, guards, guard, after, view)

    def _after(self, state: State) -> dict[Name, Term]:
        after: dict[Name, Term] = {}
        for of, key, value in state.writes:
            for index in itertools.product(*[range(len(s.values)) for s in of.index]):
                conditions = self._conditions(of, key, index)
                if conditions is None:
                    continue
                new = value
                if is_function(value):
                    new = value(*[s.values[i] for s, i in zip(of.index, index, strict=True)])
                new = self.constant(of.sort, new)
                name = (of.name, index)
                old = after.get(name, self.symbol(name))
                after[name] = z3.If(And(conditions), new, old) if conditions else new
        return {name: z3.simplify(term) for name, term in after.items()}

    def _constant(self, term: Term) -> int | None:
        if isinstance(term, int):
            return term
        known = self._constants.get(id(term))
        if known is not None:
            return known
        return int(term.as_long()) if z3.is_int_value(term) else None

    def _conditions(self, of: Field, key: Key, index: tuple[int, ...]) -> list[Term] | None:
        """When a write to `key` hits the variable at `index`; None if it cannot."""
        conditions = []
        for sort, term, at in zip(of.index, key, index, strict=True):
            if isinstance(term, slice):
                continue
            constant = self._constant(term)
            if constant is None:
                conditions.append(term == sort.values[at])
            elif constant != at:
                return None
        return conditions

    def initial(self) -> dict[Name, int]:
        """The first state; where any value will do it is 0."""
        found = {}
        for name in self.names():
            of = self.fields[name[0]]
            start = of.init
            if is_function(start):
                key = [s.values[i] for s, i in zip(of.index, name[1], strict=True)]
                start = z3.simplify(self.constant(of.sort, start(*key)))
            found[name] = 0 if start is None or isinstance(start, str) else _as_int(start)
        return found


def _as_int(term: Term) -> int:
    return int(z3.is_true(term)) if z3.is_bool(term) else int(term.as_long())
