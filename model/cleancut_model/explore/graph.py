"""All states of an instance and the steps between them, as arrays."""

import tempfile
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import z3
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import breadth_first_order

from cleancut_model.elaborated import Elaborated, elaborate
from cleancut_model.explore.build import Progress, SearchError, attempts, built, run
from cleancut_model.explore.csource import Claims, Source
from cleancut_model.explore.fast import How
from cleancut_model.explore.layout import Layout, lay_out
from cleancut_model.finite import Name, spell
from cleancut_model.language import Term
from cleancut_model.options import Options
from cleancut_model.printing import NUMPY, Printer, variables

Numbers = NDArray[np.uint32]
Truths = NDArray[np.bool_]

MOST_STATES = 5_000_000


class Graph:
    """The states by number, and the steps: `before[i]`, `after[i]` and `action[i]`, of step i.

    Raises SearchError if there are more than MOST_STATES states, and NoCompiler.
    """

    def __init__(self, options: Options, progress: Progress | None = None) -> None:
        self.model: Elaborated = elaborate(options)
        self._layout: Layout = lay_out(self.model.language, self.model.instances)
        with tempfile.TemporaryDirectory(prefix="cleancut-graph-") as folder:
            self._states, steps = self._explore(Path(folder), progress)
        self.size = len(self._states)
        self.before: Numbers = np.ascontiguousarray(steps[:, 0])
        self.after: Numbers = np.ascontiguousarray(steps[:, 1])
        self.action: Numbers = np.ascontiguousarray(steps[:, 2])

    def _explore(
        self, folder: Path, progress: Progress | None
    ) -> tuple[NDArray[np.uint64], Numbers]:
        """The states and steps, whatever claims break."""
        nothing = Claims({}, [{} for _ in self.model.instances], {}, z3.BoolVal(True))
        source = Source(self.model.language, self._layout, self.model.initial)
        text = source.text(self.model.instances, self.model.goes_on, nothing)
        files = folder / "states", folder / "steps"
        for most, optimize in attempts(MOST_STATES):
            with built(text, How(threads=2).build(), optimize) as program:
                arguments = [str(most), "0", "0", "graph", *map(str, files)]
                if not run(program, arguments, progress)["limit"]:
                    break
        else:
            raise SearchError(f"more than {MOST_STATES:,} states: choose a smaller instance")
        states = np.fromfile(files[0], np.uint64).reshape(-1, self._layout.words)
        return states, np.fromfile(files[1], np.uint32).reshape(-1, 3)

    def values(self, name: Name) -> NDArray[Any]:
        """What a variable is in each state."""
        place = self._layout.places[name]
        is_bool = z3.is_bool(self.model.language.symbol(name))
        if not place.bits:
            return np.full(self.size, self.model.initial[name], np.bool_ if is_bool else np.int64)
        value = (self._states[:, place.word] & np.uint64(place.mask)) >> np.uint64(place.shift)
        return value.astype(np.bool_ if is_bool else np.int64)

    def where(self, term: Term) -> Truths:
        """In which states a term holds."""
        named = {spell(name): name for name in self.model.names}
        space: dict[str, Any] = {
            "where": np.where,
            "true": np.ones(self.size, np.bool_),
            "false": np.zeros(self.size, np.bool_),
        }
        for text in variables(term):
            space[text] = self.values(named[text])
        found: Truths = eval(Printer(NUMPY)(term), space)
        return found

    def first(self) -> int:
        """The number of the first state."""
        words = np.array(self._layout.pack(dict(self.model.initial)), np.uint64)
        words[0] |= np.uint64(1 << 63)
        return int(np.flatnonzero((self._states == words).all(axis=1))[0])

    @cached_property
    def _search(self) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """The states in the order of their distance from the first, and the one before each."""
        ones = np.ones(len(self.before), np.int8)
        matrix = coo_array((ones, (self.before, self.after)), shape=(self.size, self.size)).tocsr()
        order, parents = breadth_first_order(matrix, self.first())
        return order, parents

    def nearest(self, goals: Truths) -> int:
        """The number of one of these states that is nearest to the first."""
        order, _ = self._search
        return int(order[np.flatnonzero(goals[order])[0]])

    def way_to(self, state: int) -> Sequence[int]:
        """The actions of a shortest run to a state."""
        _, parents = self._search
        first, actions = self.first(), []
        while state != first:
            parent = int(parents[state])
            step = np.flatnonzero((self.before == parent) & (self.after == state))[0]
            actions.append(int(self.action[step]))
            state = parent
        return actions[::-1]
