"""The target of a `blockdev-backup`: a node that is there already, and stays."""

from dataclasses import dataclass

from cleancut_reference import errors
from cleancut_reference.block.graph import Graph, used_by
from cleancut_reference.block.node import Node
from cleancut_reference.block.request import DiskRequest, Op, Outcome
from cleancut_reference.errors import QmpError
from cleancut_reference.jobs.scope import Scope
from cleancut_spec import cites


@dataclass(frozen=True, slots=True)
class NodeTarget:
    """A target by the name of its node, or of the drive that stands on it."""

    name: str

    @cites("ARG-TARGET-1")
    def find(self, graph: Graph, source: Node) -> None:
        """Refuse a node that does not exist, by QmpError."""
        graph.find(self.name)

    def open_request(self, graph: Graph, source: Node, scope: Scope) -> DiskRequest:
        """Nothing is to be opened; but faults know the node as the drive's target from now on."""
        called = f"{graph.display_name(source)}.target"
        return DiskRequest(Op.CALL, graph.find(self.name).name, called=called)

    def adopt(self, graph: Graph, source: Node, scope: Scope, outcome: Outcome) -> Node:
        """The target."""
        return graph.find(self.name)

    @cites("ARG-TARGET-1")
    def check_access(self, graph: Graph, source: Node, target: Node) -> None:
        """Refuse a node that nobody may write to for the job; raises QmpError."""
        if target.read_only:
            raise errors.generic("Could not create node: Block node is read-only")
        _check_permissions(graph, source, target)

    def abandon(self, graph: Graph, target: Node) -> None:
        """The node stays."""

    def format_request(self, source: Node, target: Node, scope: Scope) -> None:
        """The node stays as it is."""

    def undo_request(self, target: Outcome) -> None:
        """Nothing is to be undone."""


def _check_permissions(graph: Graph, source: Node, target: Node) -> None:
    """Refuse a target below somebody who counts on it, the source or its filter among them."""
    name = target.name
    needs = f"node '{graph.new_name()}' (uses node '{name}' as 'target' child)"
    try:
        for parent in graph.parents(target):
            if isinstance(parent, Node) and parent.driver == "qcow2" and not parent.read_only:
                raise errors.permission_conflict(name, "resize", used_by(parent, target), needs)
        graph.check_permission(target, "write", needs)
    except QmpError as error:
        raise errors.generic(f"Could not create node: {error.desc}") from None
    for parent, child in source.down():
        if child is target:
            raise errors.permission_conflict(name, "write", needs, used_by(parent, child))
    for parent, child in target.down():
        if child is source:
            above = f"node '{graph.new_name()}' (uses node '{child.name}' as 'file' child)"
            below = used_by(parent, child)
            raise errors.permission_conflict(child.name, "write", below, above)
