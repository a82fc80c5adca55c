"""Explores every state of a finite model with a program generated for it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import z3

from cleancut_model.backup import Options
from cleancut_model.elaborated import NO_DEADLOCK, Elaborated, elaborate
from cleancut_model.explore.build import Progress, attempts, built, run
from cleancut_model.explore.csource import Claims, Source
from cleancut_model.explore.layout import lay_out
from cleancut_model.explore.partial_order import lemmas, safe_actions
from cleancut_model.explore.result import Exploration, Limits
from cleancut_model.explore.symmetry import Symmetry

HASH_BITS: Final = 63
SPARSE: Final = "sparse"  # the limit that ends a search by rows where that is no use
STATES: Final = "states"  # the limit that ends a search at so many states


@dataclass(frozen=True, slots=True)
class How:
    """How to search: threads, hashes alone, one of states that are alike, safe steps alone.

    With `rows` it keeps a bit for each state where that can be done; the counts are the same.
    """

    threads: int = 2
    compact: bool = False
    symmetry: bool = False
    partial_order: bool = False
    rows: bool = True

    @property
    def reduces(self) -> bool:
        """Whether some states are left out."""
        return self.symmetry or self.partial_order

    def by_rows(self, options: Options) -> bool:
        """Whether to search by rows: there are two halves, and nothing needs a state as a whole."""
        whole = self.compact or self.partial_order or (self.symmetry and options.clusters == 1)
        return self.rows and not whole and options.drives > 1

    def build(self, rows: bool = False) -> dict[str, int]:
        """The options of the kernel's build; to search by rows, or state by state."""
        return {
            "THREADS": self.threads,
            "ROWS": int(rows),
            "COMPACT": int(self.compact),
            "SYMMETRY": int(self.symmetry),
            "REDUCE": int(self.partial_order),
        }


def explore(
    options: Options,
    how: How = How(),
    limits: Limits = Limits(),  # noqa: B008
    progress: Progress | None = None,
    reach: str = "",
) -> Exploration:
    """Visit every state; where a claim breaks, find the shortest run to it.

    With `reach` it ends where that witness is seen, as if the claim were that it never is; safe
    steps are then not taken alone, since the way there may be left out. Raises NoCompiler and
    SearchError.
    """
    model = elaborate(options)
    if reach or options.bug:  # a run is wanted, and a search by rows keeps none
        how = replace(how, rows=False)
    if reach:
        how = replace(how, partial_order=False)
        never = {reach: z3.Not(model.witnesses[reach])}
        model = replace(model, states=never, steps=tuple({} for _ in model.steps))
    if how.partial_order:
        model = replace(model, states={**model.states, **lemmas(options)})
    told = _search(model, how, limits, progress)
    if told["kind"] and how.reduces:  # find a shortest run, with every name as it is
        how = replace(how, symmetry=False, partial_order=False)
        return explore(options, how, limits, progress, reach)
    return _found(model, told, how)


def _search(
    model: Elaborated, how: How, limits: Limits, progress: Progress | None
) -> dict[str, Any]:
    """What the search tells."""
    source, by_rows = source_of(model, how), how.by_rows(model.options)
    told: dict[str, Any] = {}
    for states, optimize in attempts(limits.states):
        arguments = [str(states), str(limits.bytes), str(limits.seconds)]
        told = _attempt(source, how, by_rows, arguments, optimize, progress)
        if told["limit"] != STATES:
            break
    return told


def _attempt(
    source: str,
    how: How,
    by_rows: bool,
    arguments: list[str],
    optimize: bool,
    progress: Progress | None,
) -> dict[str, Any]:
    """What one search tells, by rows where that is of use; and the run to a claim that breaks."""
    told: dict[str, Any] = {"limit": SPARSE, "kind": 0}
    if by_rows:
        with built(source, how.build(rows=True), optimize) as program:
            told = run(program, arguments, progress)
    traced = not how.reduces
    if told["limit"] == SPARSE or (told["kind"] and traced):
        with built(source, how.build(), optimize) as program:
            if not told["kind"]:
                told = run(program, arguments, progress)
            if told["kind"] and traced:
                told = run(program, [*arguments, "trace"], progress)
    return told


def source_of(model: Elaborated, how: How) -> str:
    """The C source of a model."""
    layout = lay_out(model.language, model.instances)
    claims = Claims(model.states, model.steps, model.witnesses, model.may_stop)
    source = Source(model.language, layout, model.initial)
    safe = safe_actions(model.options) if how.partial_order else ()
    text = source.text(model.instances, model.goes_on, claims, safe)
    if how.symmetry:
        text += Symmetry(model.protocol, model.language, layout).text()
    return text


def _found(model: Elaborated, told: dict[str, Any], how: How) -> Exploration:
    found = Exploration(
        states=told["states"],
        transitions=told["transitions"],
        depth=told["depth"],
        seconds=told["seconds"],
        cpu_seconds=told["cpu_seconds"],
        bytes=told["bytes"],
        represented=told["represented"],
        limit=told["limit"],
        broken=broken_in(model, told),
        witnesses={name for i, name in enumerate(model.witnesses) if told["seen"] >> i & 1},
        taken={model.labels[i].name for i, count in enumerate(told["taken"]) if count},
    )
    path: Sequence[int] = told.get("path", [])
    found.schedule = [model.labels[action] for action in path]
    found.values = [model.instances[action].arguments.get("v") for action in path]
    if how.partial_order:
        found.safe = len(safe_actions(model.options))
    if how.compact:
        found.loss = min(1.0, found.states**2 / 2 ** (HASH_BITS + 1))
    return found


def broken_in(model: Elaborated, told: dict[str, Any]) -> str:
    """The claim that breaks, by what the search tells, or nothing."""
    if told["kind"] == 1:
        return list(model.states)[int(told["claim"])]
    if told["kind"] == 2:
        return list(model.steps[int(told["action"])])[int(told["claim"])]
    return NO_DEADLOCK if told["kind"] == 3 else ""
