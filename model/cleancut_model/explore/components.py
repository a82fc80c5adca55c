"""Strongly connected components of a part of a graph (Tarjan, 1972), without recursion."""

from collections.abc import Iterator, Sequence


def components(edges: Sequence[Sequence[tuple[int, int]]], among: set[int]) -> Iterator[set[int]]:
    """The components of the nodes `among`; `edges[n]` are pairs of an action and a node."""
    search = _Search(edges, among)
    for root in among:
        if root not in search.index:
            yield from search.visit(root)


class _Search:
    def __init__(self, edges: Sequence[Sequence[tuple[int, int]]], among: set[int]) -> None:
        self._edges, self._among = edges, among
        self.index: dict[int, int] = {}
        self._low: dict[int, int] = {}
        self._open: list[int] = []  # nodes whose component is not known yet
        self._is_open: set[int] = set()
        self._work: list[tuple[int, Iterator[tuple[int, int]]]] = []

    def visit(self, root: int) -> Iterator[set[int]]:
        """The components that are reached from a node."""
        self._enter(root)
        while self._work:
            at, rest = self._work[-1]
            after = self._next_new(at, rest)
            if after is not None:
                self._enter(after)
            elif found := self._leave(at):
                yield found

    def _enter(self, node: int) -> None:
        self.index[node] = self._low[node] = len(self.index)
        self._open.append(node)
        self._is_open.add(node)
        self._work.append((node, iter(self._edges[node])))

    def _next_new(self, at: int, rest: Iterator[tuple[int, int]]) -> int | None:
        for _, after in rest:
            if after not in self._among:
                continue
            if after not in self.index:
                return after
            if after in self._is_open:
                self._low[at] = min(self._low[at], self.index[after])
        return None

    def _leave(self, at: int) -> set[int]:
        """All that is reached from the node is seen; its component, if it is the first of one."""
        self._work.pop()
        if self._work:
            parent = self._work[-1][0]
            self._low[parent] = min(self._low[parent], self._low[at])
        found: set[int] = set()
        if self._low[at] == self.index[at]:
            while at not in found:
                found.add(self._open.pop())
            self._is_open -= found
        return found
