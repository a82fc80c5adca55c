"""`query-blockstats`: how much was read and written, as far as anybody counts it.

QEMU counts at the guest's devices, which here ask for nothing: what comes through the monitor or
an export is not counted there either. Nodes know how far they have been written.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from cleancut_reference.block.graph import Graph
from cleancut_reference.block.node import Drive, Node
from cleancut_reference.block.request import DiskRequest, Op
from cleancut_reference.procedure import Work
from cleancut_reference.state import State

_DIRECTIONS: Final = ("rd", "wr", "flush", "unmap")
_NOTHING: Final[Mapping[str, Any]] = {
    **{f"{name}_bytes": 0 for name in ("rd", "wr", "unmap")},
    **{f"{name}_merged": 0 for name in ("rd", "wr", "unmap")},
    **{f"{name}_operations": 0 for name in _DIRECTIONS},
    **{f"{name}_total_time_ns": 0 for name in _DIRECTIONS},
    **{f"failed_{name}_operations": 0 for name in _DIRECTIONS},
    **{f"invalid_{name}_operations": 0 for name in _DIRECTIONS},
    "timed_stats": [],
}


Infos = Mapping[str, Mapping[str, int]]


def query_blockstats(state: State, arguments: dict[str, Any]) -> Work:
    """Each drive with the nodes below it; with `query-nodes` each node, oldest first."""
    graph = state.graph
    outcome = yield DiskRequest(Op.WRITTEN, "", nodes=tuple(graph.nodes))
    teller = _Teller(graph, outcome if isinstance(outcome, dict) else {})
    if arguments.get("query-nodes", False):
        return [teller.of_node(node, with_backing=False) for node in graph.nodes.values()]
    return [teller.of_drive(drive) for drive in graph.drives if drive.shown]


@dataclass(frozen=True, slots=True)
class _Teller:
    """Tells of drives and nodes; `infos` is how far requests to each node itself have written."""

    graph: Graph
    infos: Infos

    def of_drive(self, drive: Drive) -> dict[str, Any]:
        """One entry, by a drive."""
        stats = self.of_node(drive.root) if drive.root else {"stats": _stats(0)}
        stats["stats"] |= {"account_invalid": True, "account_failed": True}
        device = {"qdev": drive.device.qdev} if drive.device else {}
        return {"device": drive.name, **device, **stats}

    def of_node(self, node: Node, with_backing: bool = True) -> dict[str, Any]:
        """One entry, by a node."""
        info: dict[str, Any] = {"node-name": node.name, "stats": _stats(self._highest(node))}
        if node.driver == "file":
            discarded = {"discard-nb-ok": 0, "discard-nb-failed": 0, "discard-bytes-ok": 0}
            info["driver-specific"] = {"driver": "file", **discarded}
        if node.primary is not None:
            info["parent"] = self.of_node(node.primary, with_backing)
        if with_backing and node.next_image is not None:
            info["backing"] = self.of_node(node.next_image)
        return info

    def _highest(self, node: Node) -> int:
        """How far a node has been written, by itself or through nodes above it."""
        above = (one for one in self.graph.parents(node) if isinstance(one, Node))
        through = (self._highest(one) for one in above if one.below is node)
        return max(self.infos.get(node.name, {}).get("wr_highest_offset", 0), *through, 0)


def _stats(highest_bytes: int) -> dict[str, Any]:
    return {
        **_NOTHING,
        "wr_highest_offset": highest_bytes,
        "account_invalid": False,
        "account_failed": False,
    }
