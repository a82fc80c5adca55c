"""Compiles a finite model to Python: one function that takes a state to all its successors.

States are tuples of small integers. Terms of z3 are printed as Python source once and never
interpreted again.
"""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

import z3

from cleancut_model.backup import Backup, Options
from cleancut_model.elaborated import Elaborated, elaborate
from cleancut_model.finite import Instance, Name, spell
from cleancut_model.language import Term
from cleancut_model.printing import PYTHON, Printer
from cleancut_spec.schedule import Label

Values = tuple[int, ...]


@dataclass(frozen=True)
class Compiled:
    """A finite model as Python functions; `labels[i]` is the label of action i."""

    options: Options
    names: tuple[Name, ...]
    initial: Values
    labels: tuple[Label, ...]
    arguments: tuple[Mapping[str, int], ...]
    goes_on: tuple[bool, ...]
    successors: Callable[[Values], list[tuple[int, Values]]]
    broken_state: Callable[[Values], str]  # the first state claim that does not hold, or ""
    broken_step: Callable[[int, Values], str]  # the first step claim that action i breaks, or ""
    witnessed: Callable[[Values], list[str]]
    ended: Callable[[Values], bool]
    may_stop: Callable[[Values], bool]
    guards: tuple[Mapping[str, Callable[[Values], bool]], ...]
    protocol: Backup

    def read(self, state: Values) -> dict[str, Any]:
        """The variables by name; enumerations as text, indexed ones as lists.

        Where a drive has but one request or copy at once, there is no list of them.
        """
        return {name: _shown(shape, words, state) for name, shape, words in self.shapes}

    @cached_property
    def shapes(self) -> list[tuple[str, Any, Sequence[Hashable]]]:
        """Of each variable the places of its values, nested as they are read, and their words."""
        found: dict[str, tuple[str, Any, Sequence[Hashable]]] = {}
        for place, (name, index) in enumerate(self.names):
            field = self.protocol.m.fields[name]
            single = [s.name in ("Request", "Worker") and len(s.values) == 1 for s in field.index]
            kept = [at for at, alone in zip(index, single, strict=True) if not alone]
            shape = found.setdefault(name, (name, [], _words(field.sort.names, field.sort.name)))[1]
            for _ in kept[:-1]:
                if kept[-1] == 0:
                    shape.append([])
                shape = shape[-1]
            shape.append(place)
            if not kept:
                found[name] = (name, place, found[name][2])
        return list(found.values())


def _shown(shape: Any, words: Sequence[Hashable], state: Values) -> Any:
    """The values at these places, as they are read."""
    if isinstance(shape, list):
        return [_shown(each, words, state) for each in shape]
    return words[state[shape]] if words else state[shape]


def _words(names: list[str], sort: str) -> Sequence[Hashable]:
    """What a sort's values are called; nothing for numbers."""
    if sort == "Bool":
        return (False, True)
    named = sort in ("Tx", "Job", "Event", "Guest", "Copy", "Extent", "Change")
    return names if named else ()


@cache
def compile_model(options: Options) -> Compiled:
    """Elaborate and compile an instance; equal options give the same object."""
    model = elaborate(options)
    source = _Source(model.names)
    source.successors(model.instances)
    source.first_false("broken_state", model.states)
    source.all_true("witnessed", model.witnesses)
    source.predicate("ended", model.ended)
    source.predicate("may_stop", model.may_stop)
    source.steps(model)
    space = source.run()
    return Compiled(
        options,
        model.names,
        tuple(model.initial[name] for name in model.names),
        model.labels,
        tuple(instance.arguments for instance in model.instances),
        model.goes_on,
        space["successors"],
        space["broken_state"],
        space["broken_step"],
        space["witnessed"],
        space["ended"],
        space["may_stop"],
        tuple(
            {n: source.lambda_of(g) for n, g in instance.guards.items()}
            for instance in model.instances
        ),
        model.protocol,
    )


def predicate(model: Elaborated, term: Term) -> Callable[[Values], bool]:
    """A term over a model's variables as a function of its states."""
    source = _Source(model.names)
    source.predicate("holds", term)
    found: Callable[[Values], bool] = source.run()["holds"]
    return found


class _Source:
    """Python source in the making."""

    def __init__(self, names: tuple[Name, ...]) -> None:
        self._print = Printer(PYTHON)
        self._names = names
        self._unpack = f"    {', '.join(map(spell, names))}, = state"
        self._lines: list[str] = []

    def successors(self, instances: tuple[Instance, ...]) -> None:
        """`successors(state)`: the actions that are possible, each with the next state."""
        self._lines += ["def successors(state):", self._unpack, "    found = []"]
        for number, instance in enumerate(instances):
            after = ", ".join(
                self._integer(instance.next[name]) if name in instance.next else spell(name)
                for name in self._names
            )
            self._lines.append(f"    if {self._print(instance.guard)}:")
            self._lines.append(f"        found.append(({number}, ({after},)))")
        self._lines.append("    return found")

    def _integer(self, term: Term) -> str:
        text = self._print(term)
        return f"int({text})" if z3.is_bool(term) else text

    def first_false(self, name: str, claims: Mapping[str, Term]) -> None:
        """A function that names the first claim that does not hold."""
        self._lines += [f"def {name}(state):", self._unpack]
        for claim, term in claims.items():
            text = self._print(term)
            if text != "True":
                self._lines.append(f"    if not {text}: return {claim!r}")
        self._lines.append("    return ''")

    def all_true(self, name: str, claims: Mapping[str, Term]) -> None:
        """A function that names the claims that hold."""
        self._lines += [f"def {name}(state):", self._unpack, "    found = []"]
        for claim, term in claims.items():
            self._lines.append(f"    if {self._print(term)}: found.append({claim!r})")
        self._lines.append("    return found")

    def predicate(self, name: str, term: Term) -> None:
        """A function that says whether a claim holds."""
        self._lines += [f"def {name}(state):", self._unpack]
        self._lines.append(f"    return {self._print(term)}")

    def steps(self, model: Elaborated) -> None:
        """`broken_step(action, state)`: the first claim about steps that an action breaks."""
        table = []
        for number, claims in enumerate(model.steps):
            if claims:
                self.first_false(f"step_{number}", claims)
                table.append(f"{number}: step_{number}")
        self._lines.append(f"CHECKS = {{{', '.join(table)}}}")
        self._lines += [
            "def broken_step(action, state):",
            "    check = CHECKS.get(action)",
            "    return check(state) if check else ''",
        ]

    def lambda_of(self, term: Term) -> Callable[[Values], bool]:
        """A function of the state for one term, compiled when it is first called."""
        text = f"def guard(state):\n{self._unpack}\n    return bool({self._print(term)})\n"

        def lazy(state: Values) -> bool:
            space: dict[str, Any] = {}
            exec(compile(text, "<guard>", "exec"), space)
            return bool(space["guard"](state))

        return lazy

    def run(self) -> dict[str, Any]:
        """Compile all that was written."""
        space: dict[str, Any] = {}
        exec(compile("\n".join(self._lines), "<model>", "exec"), space)
        return space
