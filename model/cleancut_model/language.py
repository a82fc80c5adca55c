"""The language in which the protocol is written once: state, guards and assignments over z3 terms.

A protocol is elaborated by a Finite model (every index has a size, terms are constants) or by the
Unbounded one (indices are uninterpreted sorts). In an action, `s.field[d]` is the old value; an
assignment `s.field[d] = value` is the next one; what is not assigned stays as it is.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

import z3

Term = Any  # a z3 expression
Key = tuple[Any, ...]


@dataclass(eq=False, slots=True)
class Sort:
    """A kind of value. `values` are its constants; an unbounded index has none."""

    name: str
    sort: Any
    names: list[str]
    values: list[Term]
    zero: Term

    def __getattr__(self, name: str) -> Term:
        try:
            return self.values[self.names.index(name)]
        except ValueError:
            raise AttributeError(f"{self.name} has no value {name}") from None


@dataclass(frozen=True, slots=True)
class Field:
    """A state variable, indexed or not.

    `init` is a constant, a function of the indices, None where any value will do, or the name of
    a variable that it equals.
    """

    name: str
    sort: Sort
    index: tuple[Sort, ...]
    init: Term


Reader = Callable[[Field, Key], Term]


class Row:
    """An indexed variable in a state: `row[d, c]` reads, `row[d, c] = value` writes.

    A slice writes every element: `row[d, :] = value`; the value may be a function of the indices.
    """

    def __init__(self, state: "State", of: Field) -> None:
        self._state, self._field = state, of

    def __getitem__(self, key: Any) -> Term:
        return self._state.read(self._field, key if isinstance(key, tuple) else (key,))

    def __setitem__(self, key: Any, value: Any) -> None:
        whole = key if isinstance(key, tuple) else (key,)
        self._state.writes.append((self._field, whole, value))


class State:
    """A view of all variables, and what an action asks for: its guards and its writes."""

    def __init__(self, fields: dict[str, Field], reader: Reader) -> None:
        own = self.__dict__
        own["fields"], own["read"] = fields, reader
        own["guards"], own["writes"] = {}, []

    def __getattr__(self, name: str) -> Any:
        found = self.__dict__["fields"].get(name)
        if found is None:
            raise AttributeError(f"the model has no variable {name}")
        return Row(self, found) if found.index else self.read(found, ())

    def __setattr__(self, name: str, value: Any) -> None:
        self.writes.append((self.__dict__["fields"][name], (), value))

    def when(self, **guards: Term) -> None:
        """The action is possible only if all of these hold; their names tell which does not."""
        self.guards.update(guards)


@dataclass(frozen=True, slots=True)
class Action:
    """A named action: `body(state, **arguments)` states its guards and writes."""

    name: str
    parameters: dict[str, Sort]
    body: Callable[..., None]


class Language(Protocol):
    """What a protocol is written against."""

    fields: dict[str, Field]
    actions: list[Action]
    boolean: Sort

    def enum(self, name: str, names: str) -> Sort:
        """A sort with these values."""

    def index(self, name: str) -> Sort:
        """A sort whose size the protocol does not know; its values are ordered by `less`."""

    def budget(self, name: str) -> Sort:
        """Numbers from 0 to what the instance allows."""

    def variable(self, name: str, sort: Sort, *index: Sort, init: Any = 0) -> None:
        """Declare a variable; `init=None` means any value, a name that variable's."""

    def less(self, a: Term, b: Term) -> Term:
        """The order of an index sort."""

    def all(self, *sorts_and_body: Any) -> Term:
        """For all values of these sorts."""

    def any(self, *sorts_and_body: Any) -> Term:
        """For some values of these sorts."""


class MutationError(ValueError):
    """A bug that an instance cannot have; the message says what is missing."""


@dataclass(slots=True)
class Mutation:
    """A deliberate bug: guards and writes that an action loses, and what it does besides."""

    action: str
    without_guards: tuple[str, ...] = ()
    without_writes: tuple[str, ...] = ()
    extra: Callable[..., None] | None = None
    replace: bool = False  # `extra` stands in for the whole action

    def apply(self, body: Callable[..., None], protocol: Any) -> Callable[..., None]:
        """The body of the action with the bug in it; `extra` gets the protocol, too."""

        def mutated(state: State, **arguments: Term) -> None:
            if not self.replace:
                body(state, **arguments)
                for name in self.without_guards:
                    if name not in state.guards:
                        raise MutationError(f"{self.action} has no guard {name!r} here")
                    del state.guards[name]
                kept = [w for w in state.writes if w[0].name not in self.without_writes]
                state.writes[:] = kept
            if self.extra is not None:
                try:
                    self.extra(protocol, state, **arguments)
                except AttributeError as error:
                    raise MutationError(f"{self.action}: {error}") from None

        return mutated


@dataclass(slots=True)
class Declarations:
    """What both elaborators collect."""

    fields: dict[str, Field] = field(default_factory=dict)
    actions: list[Action] = field(default_factory=list)
    boolean: Sort = field(
        default_factory=lambda: Sort(
            "Bool",
            z3.BoolSort(),
            ["false", "true"],
            [z3.BoolVal(False), z3.BoolVal(True)],
            z3.BoolVal(False),
        )
    )

    def variable(self, name: str, sort: Sort, *index: Sort, init: Any = 0) -> None:
        """Declare a variable; `init=None` means any value, a name that variable's."""
        plain = init is not None and not isinstance(init, str) and not is_function(init)
        start = self.constant(sort, init) if plain else init
        self.fields[name] = Field(name, sort, index, start)

    @staticmethod
    def constant(sort: Sort, value: Any) -> Term:
        """A Python value as a term of the sort."""
        if isinstance(value, bool):
            return z3.BoolVal(value)
        if isinstance(value, int):
            return sort.values[value] if sort.values else sort.zero
        return value


def is_function(value: Any) -> bool:
    """Whether a value is told of each element, by a function of its indices."""
    return callable(value) and not z3.is_expr(value)


def conjunction(terms: Iterator[Term] | list[Term]) -> Term:
    """All of them."""
    return z3.And(list(terms))
