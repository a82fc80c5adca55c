"""Compiles a finite model to Python: one function that takes a state to all its successors.

States are tuples of small integers. Terms of z3 are printed as Python source once and never
interpreted again.
"""

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import z3

from cleancut_model.backup import Backup, Options
from cleancut_model.bugs import mutations
from cleancut_model.finite import Finite, Instance, Name, spell
from cleancut_model.language import Term
from cleancut_model.properties import STATES, STEPS, WITNESSES, ended
from cleancut_spec.schedule import Label

Values = tuple[int, ...]

_INFIX: Final = {
    z3.Z3_OP_LE: "<=",
    z3.Z3_OP_GE: ">=",
    z3.Z3_OP_LT: "<",
    z3.Z3_OP_GT: ">",
    z3.Z3_OP_ADD: "+",
    z3.Z3_OP_SUB: "-",
    z3.Z3_OP_MUL: "*",
    z3.Z3_OP_EQ: "==",
    z3.Z3_OP_DISTINCT: "!=",
    z3.Z3_OP_AND: "and",
    z3.Z3_OP_OR: "or",
}

_FORM: Final = {
    z3.Z3_OP_TRUE: "True",
    z3.Z3_OP_FALSE: "False",
    z3.Z3_OP_NOT: "(not {0})",
    z3.Z3_OP_IMPLIES: "(not {0} or {1})",
    z3.Z3_OP_ITE: "({1} if {0} else {2})",
}


class Printer:
    """Python source for terms, each shared term printed once."""

    def __init__(self) -> None:
        self._done: dict[int, str] = {}
        self._alive: list[Term] = []  # z3 may give the number of a dead term to a new one

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
        parts = [self(child) for child in term.children()]
        if kind in _INFIX:
            return f"({f' {_INFIX[kind]} '.join(parts)})"
        if kind in _FORM:
            return _FORM[kind].format(*parts)
        raise NotImplementedError(f"no Python for {term.decl()}")


@dataclass(frozen=True, slots=True)
class Compiled:
    """A finite model as Python functions; `labels[i]` is the label of action i."""

    options: Options
    names: tuple[Name, ...]
    initial: Values
    labels: tuple[Label, ...]
    arguments: tuple[Mapping[str, int], ...]
    successors: Callable[[Values], list[tuple[int, Values]]]
    broken_state: Callable[[Values], str]  # the first state claim that does not hold, or ""
    broken_step: Callable[[int, Values], str]  # the first step claim that action i breaks, or ""
    witnessed: Callable[[Values], list[str]]
    ended: Callable[[Values], bool]
    guards: tuple[Mapping[str, Callable[[Values], bool]], ...]
    protocol: Backup

    def read(self, state: Values) -> dict[str, Any]:
        """The variables by name; enumerations as text, indexed ones as lists."""
        found: dict[str, Any] = {}
        for (name, index), value in zip(self.names, state, strict=True):
            field = self.protocol.m.fields[name]
            shown = _show(field.sort.names, field.sort.name, value)
            if not index:
                found[name] = shown
            elif len(index) == 1:
                found.setdefault(name, []).append(shown)
            else:
                rows = found.setdefault(name, [])
                if index[1] == 0:
                    rows.append([])
                rows[index[0]].append(shown)
        return found


def _show(names: list[str], sort: str, value: int) -> Hashable:
    if sort == "Bool":
        return bool(value)
    return names[value] if sort in ("Tx", "Job", "Event", "Guest", "Copy") else value


@cache
def compile_model(options: Options) -> Compiled:
    """Elaborate and compile an instance; equal options give the same object."""
    language = Finite(sizes=options.sizes())
    protocol = Backup(language, options, mutations(options.bug))
    names = tuple(language.names())
    instances = list(language.instances())
    state = language.state()
    source = _Source(names)
    source.successors(instances)
    source.first_false("broken_state", {n: c(protocol, state) for n, c in STATES.items()})
    source.all_true("witnessed", {n: c(protocol, state) for n, c in WITNESSES.items()})
    source.predicate("ended", ended(protocol, state))
    source.steps(instances, protocol, state)
    space = source.run()
    start = language.initial()
    return Compiled(
        options,
        names,
        tuple(start[name] for name in names),
        tuple(_label(instance, protocol) for instance in instances),
        tuple(instance.arguments for instance in instances),
        space["successors"],
        space["broken_state"],
        space["broken_step"],
        space["witnessed"],
        space["ended"],
        tuple(
            {n: source.lambda_of(g) for n, g in instance.guards.items()} for instance in instances
        ),
        protocol,
    )


def _label(instance: Instance, protocol: Backup) -> Label:
    arguments = instance.arguments
    errno = protocol.errno.names[arguments["e"]] if "e" in arguments else None
    return Label(instance.name, arguments.get("d"), arguments.get("c"), errno)


class _Source:
    """Python source in the making."""

    def __init__(self, names: tuple[Name, ...]) -> None:
        self._print = Printer()
        self._names = names
        self._unpack = f"    {', '.join(map(spell, names))}, = state"
        self._lines: list[str] = []

    def successors(self, instances: list[Instance]) -> None:
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

    def first_false(self, name: str, claims: dict[str, Term]) -> None:
        """A function that names the first claim that does not hold."""
        self._lines += [f"def {name}(state):", self._unpack]
        for claim, term in claims.items():
            text = self._print(z3.simplify(term))
            if text != "True":
                self._lines.append(f"    if not {text}: return {claim!r}")
        self._lines.append("    return ''")

    def all_true(self, name: str, claims: dict[str, Term]) -> None:
        """A function that names the claims that hold."""
        self._lines += [f"def {name}(state):", self._unpack, "    found = []"]
        for claim, term in claims.items():
            self._lines.append(f"    if {self._print(z3.simplify(term))}: found.append({claim!r})")
        self._lines.append("    return found")

    def predicate(self, name: str, term: Term) -> None:
        """A function that says whether a claim holds."""
        self._lines += [f"def {name}(state):", self._unpack]
        self._lines.append(f"    return {self._print(z3.simplify(term))}")

    def steps(self, instances: list[Instance], protocol: Backup, state: Any) -> None:
        """`broken_step(action, state)`: a claim about a step is one about the state before it."""
        table = []
        for number, instance in enumerate(instances):
            claims = {
                name: step.claim(protocol, state, instance.after)
                for name, step in STEPS.items()
                if not step.of or instance.name in step.of
            }
            terms = {n: z3.simplify(z3.Or(z3.Not(instance.guard), c)) for n, c in claims.items()}
            open_terms = {name: term for name, term in terms.items() if not z3.is_true(term)}
            if open_terms:
                self.first_false(f"step_{number}", open_terms)
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
