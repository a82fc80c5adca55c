"""The unbounded elaborator: any number of drives, clusters and values.

Indices are uninterpreted sorts and variables are functions of them. The next state is a macro over
the old one, so that no function for it is needed.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import z3

from cleancut_model.language import (
    Action,
    Declarations,
    Field,
    Key,
    Reader,
    Sort,
    State,
    Term,
    is_function,
)
from cleancut_model.terms import And, Implies, Not, Or

_ENUMS: dict[tuple[str, ...], tuple[Any, list[Term]]] = {}


def _enum_sort(name: str, names: list[str]) -> tuple[Any, list[Term]]:
    """z3 knows an enumeration for the life of the process, so each is made once."""
    key = (name, *names)
    if key not in _ENUMS:
        again = any(known[0] == name for known in _ENUMS)
        unique = f"{name}{len(_ENUMS)}" if again else name  # z3 knows a sort by its name alone
        sort, values = z3.EnumSort(unique, [f"{unique}.{n}" for n in names])
        _ENUMS[key] = sort, list(values)
    return _ENUMS[key]


def _total_order(sort: Any, less: Any) -> list[Term]:
    x, y, z = z3.Consts("x y z", sort)
    return [
        z3.ForAll([x], Not(less(x, x))),
        z3.ForAll([x, y], Or(less(x, y), less(y, x), x == y)),
        z3.ForAll([x, y, z], Implies(And(less(x, y), less(y, z)), less(x, z))),
    ]


@dataclass(slots=True)
class Unbounded(Declarations):
    """Elaborates a protocol for all sizes at once."""

    single: frozenset[str] = frozenset()  # index sorts that have one value only
    axioms: list[Term] = field(default_factory=list)
    _functions: dict[str, Any] = field(default_factory=dict)
    _values: dict[tuple[Any, ...], Term] = field(default_factory=dict)  # by name and arguments
    _orders: dict[str, Any] = field(default_factory=dict)
    _ordered: set[str] = field(default_factory=set)  # those whose order is asked for

    def enum(self, name: str, names: str) -> Sort:
        """A sort with these values."""
        listed = names.split()
        sort, values = _enum_sort(name, listed)
        return Sort(name, sort, listed, values, values[0])

    def index(self, name: str) -> Sort:
        """An uninterpreted sort with a total order, unless it has one value only."""
        if name in self.single:
            return self.enum(name, f"{name.lower()}0")
        sort = z3.DeclareSort(name)
        self._orders[name] = z3.Function(f"less_{name}", sort, sort, z3.BoolSort())
        return Sort(name, sort, [], [], z3.Const(f"{name}_zero", sort))

    def budget(self, name: str) -> Sort:
        """Numbers from 0 on."""
        return Sort(name, z3.IntSort(), [], [], z3.IntVal(0))

    def less(self, a: Term, b: Term) -> Term:
        """The order of an index sort."""
        name = a.sort().name()
        if name not in self._ordered:
            self._ordered.add(name)
            self.axioms += _total_order(a.sort(), self._orders[name])
        return self._orders[name](a, b)

    def all(self, *sorts_and_body: Any) -> Term:
        """A universal quantifier."""
        return self._quantify(z3.ForAll, sorts_and_body)

    def any(self, *sorts_and_body: Any) -> Term:
        """An existential quantifier."""
        return self._quantify(z3.Exists, sorts_and_body)

    @staticmethod
    def _quantify(quantifier: Any, sorts_and_body: tuple[Any, ...]) -> Term:
        *sorts, body = sorts_and_body
        terms = [
            s.values[0] if len(s.values) == 1 else z3.FreshConst(s.sort, s.name.lower()[0])
            for s in sorts
        ]
        bound = [t for t, s in zip(terms, sorts, strict=True) if len(s.values) != 1]
        return quantifier(bound, body(*terms)) if bound else body(*terms)

    def footprint(self, claim: Callable[[State], Any]) -> set[str]:
        """The variables of which a claim speaks."""
        read: set[str] = set()

        def reader(of: Field, key: Key) -> Term:
            read.add(of.name)
            return self._value(of, key)

        claim(State(self.fields, reader))
        return read

    def _value(self, of: Field, key: Key) -> Term:
        arguments = [self.constant(s, k) for s, k in zip(of.index, key, strict=True)]
        known = (of.name, *[term.get_id() for term in arguments])
        if known not in self._values:
            if of.name not in self._functions:
                sorts = [s.sort for s in of.index]
                self._functions[of.name] = z3.Function(of.name, *sorts, of.sort.sort)
            self._values[known] = self._functions[of.name](*arguments)
        return self._values[known]

    def state(self) -> State:
        """The state before a step."""
        return State(self.fields, self._value)

    def elaborate(self, action: Action) -> tuple[Term, State, dict[str, Term]]:
        """The guard of an action, the state after it (its writes too), and its arguments (any)."""
        arguments = {
            name: z3.FreshConst(sort.sort, name) for name, sort in action.parameters.items()
        }
        state = self.state()
        action.body(state, **arguments)
        after = State(self.fields, self._after(state.writes))
        after.writes.extend(state.writes)
        return And(list(state.guards.values())), after, arguments

    def _after(self, writes: list[tuple[Field, Key, Any]]) -> Reader:
        def read(of: Field, key: Key) -> Term:
            value = self._value(of, key)
            for written, place, new in writes:
                if written.name != of.name:
                    continue
                conditions = [
                    k == self.constant(sort, p)
                    for sort, k, p in zip(of.index, key, place, strict=True)
                    if not isinstance(p, slice)
                ]
                term = new(*key) if is_function(new) else new
                term = self.constant(of.sort, term)
                value = z3.If(And(conditions), term, value) if conditions else term
            return value

        return read

    def initial(self) -> Term:
        """What holds of the first state."""
        facts = []
        for of in self.fields.values():
            if of.init is None:
                continue
            start = of.init
            if isinstance(start, str):
                bound = [z3.FreshConst(s.sort, "i") for s in of.index]
                key = tuple(bound)
                other = self._value(self.fields[start], key)
                facts.append(z3.ForAll(bound, self._value(of, key) == other))
                continue
            if of.index:
                bound = [z3.FreshConst(s.sort, "i") for s in of.index]
                value = start(*bound) if is_function(start) else start
                facts.append(z3.ForAll(bound, self._value(of, tuple(bound)) == value))
            else:
                facts.append(self._value(of, ()) == start)
        return And(facts)
