"""Liveness by strongly connected components: is there a fair run in which a condition never ends?

A run that goes on for ever stays, from some point on, in one component of the graph of states. It
is weakly fair if no fair action stays enabled there without being taken, strongly fair if none is
enabled there at all without being taken (Emerson and Lei, 1987). A run may also rest in a state.
"""

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import z3
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from cleancut_model.elaborated import Elaborated
from cleancut_model.explore.graph import Graph, Truths
from cleancut_model.properties.liveness import ANSWERS, ENDS
from cleancut_spec.schedule import Label

Fairness = Literal["weak", "strong"]
Masks = NDArray[np.uint64]
GROUP_BITS = 64


@dataclass(slots=True)
class Lasso:
    """A fair run in which something never ends: to a state, and then round and round."""

    case: str
    stem: list[Label]
    values: list[int | None]
    steps: set[str] = field(default_factory=set)  # those of the round; none: the run rests
    states: int = 0  # in the round


def fair_masks(model: Elaborated) -> Masks:
    """For each action a bit in a row of words; without one it is not fair.

    Actions that differ only in cluster, value or errno share a bit.
    """
    groups: dict[tuple[object, ...], int] = {}
    for label, goes_on in zip(model.labels, model.goes_on, strict=True):
        if goes_on or label.name in ANSWERS:
            groups.setdefault((label.name, label.drive, label.request), len(groups))
    masks = np.zeros((len(model.labels), len(groups) // GROUP_BITS + 1), np.uint64)
    for row, label in zip(masks, model.labels, strict=True):
        group = groups.get((label.name, label.drive, label.request))
        if group is not None:
            row[group // GROUP_BITS] = np.uint64(1 << group % GROUP_BITS)
    return masks


def _gather(operation: np.ufunc, masks: Masks, owners: NDArray[np.intp], size: int) -> Masks:
    """The masks of each owner, joined; an owner of none has none."""
    found = np.zeros((size, masks.shape[1]), np.uint64)
    if len(owners):
        order = np.argsort(owners, kind="stable")
        starts = np.flatnonzero(np.diff(owners[order], prepend=-1))
        found[owners[order][starts]] = operation.reduceat(masks[order], starts, axis=0)
    return found


class Fair:
    """The fair actions of a graph, and the components in which a fair run can stay."""

    def __init__(self, graph: Graph, masks: Masks | None = None) -> None:
        self._graph = graph
        self._masks = fair_masks(graph.model) if masks is None else masks
        owners = graph.before.astype(np.intp)
        self._enabled = _gather(np.bitwise_or, self._masks[graph.action], owners, graph.size)

    def component(self, among: Truths, fairness: Fairness) -> Truths | None:
        """The nearest component among these states in which a fair run can stay, if any."""
        while among.any():
            nodes = np.flatnonzero(among)
            graph = self._graph
            labels, count, inside = self._components(among, nodes)
            taken = _gather(
                np.bitwise_or,
                self._masks[graph.action[inside]],
                labels[graph.before[inside]],
                count,
            )
            join = np.bitwise_or if fairness == "strong" else np.bitwise_and
            wanted = _gather(join, self._enabled[nodes], labels[nodes], count)
            starved = wanted & ~taken
            satisfied = np.flatnonzero(~starved.any(axis=1))
            if len(satisfied):
                nearest = graph.nearest(np.isin(labels, satisfied))
                found: Truths = labels == labels[nearest]
                return found
            if fairness == "weak":
                return None
            kept = ~(self._enabled[nodes] & starved[labels[nodes]]).any(axis=1)
            among = np.zeros(graph.size, np.bool_)
            among[nodes[kept]] = True
        return None

    def _components(
        self, among: Truths, nodes: NDArray[np.intp]
    ) -> tuple[NDArray[np.intp], int, NDArray[np.intp]]:
        """The component of each state, -1 outside; how many; the steps within one."""
        graph = self._graph
        steps = np.flatnonzero(among[graph.before] & among[graph.after])
        place = np.cumsum(among) - 1
        ends = place[graph.before[steps]], place[graph.after[steps]]
        ones = np.ones(len(steps), np.int8)
        matrix = coo_array((ones, ends), shape=(len(nodes), len(nodes))).tocsr()
        count, found = connected_components(matrix, directed=True, connection="strong")
        labels = np.full(graph.size, -1, np.intp)
        labels[nodes] = found
        return labels, count, steps[found[ends[0]] == found[ends[1]]]


def never_ends(fair: Fair, graph: Graph, claim: str, fairness: Fairness) -> Lasso | None:
    """A fair run in which the claim's condition lasts for ever, or None: there is none."""
    model = graph.model
    for case, where in ENDS[claim].cases(model.protocol):
        lasting = graph.where(z3.simplify(where(model.language.state())))
        component = fair.component(lasting, fairness)
        if component is not None:
            return _lasso(graph, case, component)
    return None


def _lasso(graph: Graph, case: str, component: Truths) -> Lasso:
    actions, model = graph.way_to(graph.nearest(component)), graph.model
    inside = component[graph.before] & component[graph.after]
    return Lasso(
        case,
        [model.labels[action] for action in actions],
        [model.instances[action].arguments.get("v") for action in actions],
        {str(model.labels[action]) for action in np.unique(graph.action[inside])},
        int(component.sum()),
    )
