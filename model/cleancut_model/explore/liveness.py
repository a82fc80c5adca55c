"""Liveness by strongly connected components: is there a fair run in which a condition never ends?

A run that goes on for ever stays, from some point on, in one component of the graph of states. It
is weakly fair if no fair action stays enabled there without being taken, strongly fair if none is
enabled there at all without being taken (Emerson and Lei, 1987). A run may also rest in a state.
"""

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Literal

import z3

from cleancut_model.compiled import Compiled, Values, compile_model, predicate
from cleancut_model.elaborated import elaborate
from cleancut_model.explore.build import SearchError
from cleancut_model.explore.components import components
from cleancut_model.options import Options
from cleancut_model.properties.liveness import ANSWERS, ENDS
from cleancut_spec.schedule import Label

Fairness = Literal["weak", "strong"]
MOST_STATES = 400_000


@dataclass(slots=True)
class Lasso:
    """A fair run in which something never ends: to a state, and then round and round."""

    case: str
    stem: list[Label]
    values: list[int | None]
    steps: set[str] = field(default_factory=set)  # those of the round; none: the run rests
    states: int = 0  # in the round


class Graph:
    """All states of an instance and the steps between them; raises SearchError if too many."""

    def __init__(self, options: Options, progress: Callable[[int], None] | None = None) -> None:
        self.model: Compiled = compile_model(options)
        self.states: list[Values] = [self.model.initial]
        self.edges: list[list[tuple[int, int]]] = []  # of each state: action, state
        numbers = {self.model.initial: 0}
        for state in self.states:
            here = []
            for action, after in self.model.successors(state):
                at = numbers.setdefault(after, len(numbers))
                if at == len(self.states):
                    self.states.append(after)
                here.append((action, at))
            self.edges.append(here)
            if len(self.states) > MOST_STATES:
                raise SearchError(f"more than {MOST_STATES:,} states: choose a smaller instance")
            if progress is not None and len(self.edges) % 10_000 == 0:
                progress(len(self.edges))
        self.fair = _fair_groups(self.model)
        self.enabled = [self._mask(here) for here in self.edges]

    def _mask(self, steps: Iterable[tuple[int, int]]) -> int:
        mask = 0
        for action, _ in steps:
            mask |= self.fair[action]
        return mask

    def taken(self, component: set[int]) -> int:
        """The fair actions that are taken within a component."""
        return self._mask(
            step for at in component for step in self.edges[at] if step[1] in component
        )

    def way_to(self, goals: set[int]) -> list[int]:
        """The actions of a shortest run to one of these states."""
        origin: dict[int, tuple[int, int] | None] = {0: None}
        queue = deque([0])
        while (at := queue.popleft()) not in goals:
            for action, after in self.edges[at]:
                if after not in origin:
                    origin[after] = at, action
                    queue.append(after)
        actions: list[int] = []
        while (step := origin[at]) is not None:
            at, action = step
            actions.append(action)
        return actions[::-1]


def _fair_groups(model: Compiled) -> list[int]:
    """For each action a bit; actions that differ only in cluster or value share it; 0: not fair."""
    bits: dict[tuple[object, ...], int] = {}
    masks = []
    for label, goes_on in zip(model.labels, model.goes_on, strict=True):
        if goes_on or label.name in ANSWERS:
            key = (label.name, label.drive, label.request)
            masks.append(bits.setdefault(key, 1 << len(bits)))
        else:
            masks.append(0)
    return masks


def _fair_component(graph: Graph, among: set[int], fairness: Fairness) -> set[int] | None:
    """A component among these states in which a fair run can stay."""
    todo = [among]
    while todo:
        for component in components(graph.edges, todo.pop()):
            taken = graph.taken(component)
            masks = [graph.enabled[at] for at in component]
            if fairness == "weak":
                always = masks[0]
                for mask in masks:
                    always &= mask
                if not always & ~taken:
                    return component
                continue
            some = 0
            for mask in masks:
                some |= mask
            starved = some & ~taken
            if not starved:
                return component
            rest = {at for at in component if not graph.enabled[at] & starved}
            if rest:
                todo.append(rest)
    return None


def never_ends(graph: Graph, options: Options, claim: str, fairness: Fairness) -> Lasso | None:
    """A fair run in which the claim's condition lasts for ever, or None: there is none."""
    model = elaborate(options)
    for case, where in ENDS[claim].cases(model.protocol):
        term = z3.simplify(where(model.language.state()))
        holds = predicate(model, term)
        lasting = {at for at, state in enumerate(graph.states) if holds(state)}
        component = _fair_component(graph, lasting, fairness)
        if component is not None:
            return _lasso(graph, case, component)
    return None


def _lasso(graph: Graph, case: str, component: set[int]) -> Lasso:
    actions, model = graph.way_to(component), graph.model
    return Lasso(
        case,
        [model.labels[action] for action in actions],
        [model.arguments[action].get("v") for action in actions],
        {str(model.labels[a]) for at in component for a, to in graph.edges[at] if to in component},
        len(component),
    )
