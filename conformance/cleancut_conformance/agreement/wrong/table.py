"""The table of wrong engines: each patch with what catches it.

A patch is entered by `caught_by`, with case and clause, or by `no_case`, with the reason. By
`mutates` it is also the engine's form of a bug of the model.
"""

import __future__

import ast
import inspect
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any, Final


@dataclass(frozen=True, slots=True)
class Wrong:
    """What is patched, and which case must see it as a breach of which clause."""

    patch: Callable[[], None]
    case: str  # empty where there is none
    clause: str
    why_no_case: str = ""

    @property
    def words(self) -> str:
        """What such an engine does, in a sentence."""
        return (self.patch.__doc__ or "").strip()


@dataclass(frozen=True, slots=True)
class Mutant:
    """A bug of the model in the engine: the patch, and what a judge sees of it.

    `seen_as` is the clause that the judge names where it is none of those that the model's claim is
    a reading of, and `why` tells why. The instance is the bug's own, with these options changed.
    With `refuse_next` the transaction must fail to show it.
    """

    engine: str
    seen_as: str = ""
    why: str = ""
    instance: Mapping[str, Any] = field(default_factory=dict)
    refuse_next: bool = False
    no_replay: str = ""  # why the model's run cannot be that of the engine
    walk: Mapping[str, Any] = field(default_factory=dict)  # options for random schedules


WRONG: Final[dict[str, Wrong]] = {}

#: By the name of the model's bug.
MUTANTS: Final[dict[str, Mutant]] = {}

Patch = Callable[[], None]


def caught_by(case: str, clause: str) -> Callable[[Patch], Patch]:
    """Enter a patch of the reference engine into the table, under its own name."""

    def enter(patch: Patch) -> Patch:
        WRONG[patch.__name__] = Wrong(patch, case, clause)
        return patch

    return enter


def replace(owner: Any, name: str, by: Any) -> None:
    """Patch a seam of the engine; raises AttributeError if the engine has it no more."""
    getattr(owner, name)
    setattr(owner, name, by)


def no_case(why: str) -> Callable[[Patch], Patch]:
    """Enter a patch that no case of the suite can catch, and say why."""

    def enter(patch: Patch) -> Patch:
        WRONG[patch.__name__] = Wrong(patch, "", "", why)
        return patch

    return enter


def mutates(bug: str, seen_as: str = "", **more: Any) -> Callable[[Patch], Patch]:
    """Say that a patch is the engine's form of a bug of the model."""

    def enter(patch: Patch) -> Patch:
        MUTANTS[bug] = Mutant(patch.__name__, seen_as, **more)
        return patch

    return enter


def without_asserts(module: ModuleType, owner: Any, name: str) -> None:
    """Patch a function of a module, or of a class in it, to one that takes nothing for granted."""
    source = textwrap.dedent(inspect.getsource(getattr(owner, name)))
    tree = _Trusting().visit(ast.parse(source))
    tree.body[0].decorator_list = []
    flags = __future__.annotations.compiler_flag
    space = vars(module)
    before = space.get(name)
    exec(compile(ast.fix_missing_locations(tree), module.__file__ or "", "exec", flags), space)
    replace(owner, name, space[name])
    if owner is not module:
        if before is None:
            del space[name]
        else:
            space[name] = before


class _Trusting(ast.NodeTransformer):
    def visit_Assert(self, node: ast.Assert) -> ast.Pass:
        return ast.copy_location(ast.Pass(), node)
