"""The `blockdev-snapshot-sync` and `blockdev-snapshot` actions: an overlay takes a node's place.

The overlay is put there in prepare, while the drive is drained, so that what follows in the
transaction finds it. A new overlay's file gets its name in commit only; rollback removes it.
"""

from dataclasses import dataclass
from typing import Any

from cleancut_reference import errors
from cleancut_reference.actions.action import Action
from cleancut_reference.block.description import Reader, image_at
from cleancut_reference.block.drivers import DRIVERS
from cleancut_reference.block.node import Node
from cleancut_reference.block.overlay import backing_options, put_above, take_away
from cleancut_reference.block.persistence import store_request
from cleancut_reference.block.request import DiskRequest, Op, Opened, Outcome
from cleancut_reference.block.traffic import Traffic
from cleancut_reference.jobs.group import Group
from cleancut_reference.procedure import refuse_failed
from cleancut_reference.state import State
from cleancut_reference.step import Step
from cleancut_reference.target import new_image, undo_request
from cleancut_spec import cites
from cleancut_spec.schedule import Label


@dataclass(slots=True, eq=False)
class Snapshot(Action):
    """A snapshot of a node, and how far it has come; `opened` is an overlay of its own."""

    kind: str
    data: dict[str, Any]
    base: Node | None = None
    opening: DiskRequest | None = None
    opened: Opened | None = None
    overlay: Node | None = None
    formatted: bool = False
    stored: bool = False
    prepared: bool = False
    committed: bool = False

    def find(self, state: State) -> Traffic:
        """The guest requests of the node; raises QmpError where it can have no snapshot."""
        self.base = _base(state, self)
        if self.kind == "blockdev-snapshot":
            self.overlay = _checked(state, state.graph.find(self.data["overlay"]))
        else:
            self.opening = _open_request(state, self, self.base)
        return self.base.traffic

    @cites("SNAPSHOT-TX-1")
    def prepare(self, state: State) -> Step:
        """Open the overlay and make an image in it, unless there is one; then put it in place."""
        if self.overlay is None:
            assert self.opening is not None
            return Step(None, lambda outcome: _opened(state, self, outcome), self.opening)
        assert self.base is not None
        base = self.base
        if self.opening is not None and self.opening.create and not self.formatted:
            options = {**backing_options(base), "undoable": True}
            request = DiskRequest(
                Op.FORMAT,
                self.overlay.name,
                length_bytes=base.size_bytes,
                options=options,
                backing=base.performer.name,
            )
            return Step(None, self._formatted, request)
        request = DiskRequest(Op.SET_BACKING, self.overlay.name, backing=base.performer.name)
        return Step(None, lambda outcome: self._put(state, outcome), request)

    def _formatted(self, outcome: Outcome) -> None:
        refuse_failed(outcome)
        assert self.overlay is not None and self.base is not None
        self.overlay.named_backing = self.base.filename
        self.formatted = True

    def _put(self, state: State, outcome: Outcome) -> None:
        refuse_failed(outcome)
        assert self.base is not None and self.overlay is not None
        put_above(state.graph, self.base, self.overlay)
        self.prepared = True

    def commit(self, state: State) -> Step | None:
        """A new overlay's file stays, and what is below is written to no more."""
        if self.committed:
            return None
        assert self.base is not None
        below = list(self.base.same_bytes())
        if not self.stored and (store := store_request(below)) is not None:
            return Step(None, self._stored, store)
        keep = DiskRequest(Op.KEEP, self.opened.name) if self.opened else None
        return Step(None, self._commit, keep)

    def _stored(self, outcome: Outcome) -> None:
        self.stored = True
        refuse_failed(outcome)

    def _commit(self, outcome: Outcome) -> None:
        self.committed = True
        node = self.base
        while node is not None:
            node.become_read_only()
            node = node.primary
        refuse_failed(outcome)

    @cites("SNAPSHOT-TX-1")
    def roll_back(self, state: State) -> Step | None:
        """The node is where it was, and nothing is left of a new overlay."""
        if self.prepared:
            assert self.overlay is not None
            request = DiskRequest(Op.SET_BACKING, self.overlay.name)
            return Step(None, lambda _: self._take_away(state), request)
        if self.opened is not None:
            return Step(None, lambda _: self._forget(state), undo_request(self.opened))
        return None

    def _take_away(self, state: State) -> None:
        assert self.base is not None and self.overlay is not None
        take_away(state.graph, self.base, self.overlay)
        self.prepared = False

    def _forget(self, state: State) -> None:
        self.opened = None
        if self.overlay is not None:
            state.graph.remove_tree(self.overlay)

    def drain_label(self, state: State) -> Label | None:
        """A node that does not exist has no number; one that is drained is so once."""
        known = state.graph.known(self._name())
        return None if known is None or known.traffic.drained else Label("drain", known.index)

    def refuse_label(self, state: State) -> Label | None:
        """The model has one action for all that fails and is no backup."""
        return Label("fail_other")

    def _name(self) -> str:
        names = (self.data.get(key, "") for key in ("node", "device", "node-name"))
        return next((name for name in names if name), "")


def _base(state: State, snapshot: Snapshot) -> Node:
    """The node of which a snapshot is taken; raises QmpError."""
    data = snapshot.data
    if snapshot.kind == "blockdev-snapshot":
        base = state.graph.find(data["node"])
    else:
        base = state.graph.find_by(data.get("device", ""), data.get("node-name", ""))
    state.graph.check_not_blocked(base)
    for parent in state.graph.parents(base):
        if isinstance(parent, Node) and parent.job is not None:
            state.graph.check_not_blocked(parent)
    return base


def _checked(state: State, overlay: Node) -> Node:
    """A node that can be an overlay; raises QmpError."""
    if any(state.graph.parents(overlay)):
        raise errors.generic("The overlay is already in use")
    state.graph.check_not_blocked(overlay)
    if "backing" in overlay.children:
        raise errors.generic("The overlay already has a backing image")
    if "backing" not in DRIVERS[overlay.driver].children:
        raise errors.generic("The overlay does not support backing images")
    return overlay


def _open_request(state: State, snapshot: Snapshot, base: Node) -> DiskRequest:
    """What opens the file of the overlay; raises QmpError."""
    data, graph = snapshot.data, state.graph
    name = data.get("snapshot-node-name")
    if "node-name" in data and not data.get("device") and name is None:
        raise errors.generic("New overlay node-name missing")
    if name is not None and name in graph.nodes:
        raise errors.generic("New overlay node-name already in use")
    format = data.get("format", "qcow2")
    existing = data.get("mode", "absolute-paths") == "existing"
    if existing:
        image = image_at(data["snapshot-file"], format)
    else:
        image = new_image(data["snapshot-file"], format)
        if "backing" not in DRIVERS[format].children:
            raise errors.generic(f"Backing file not supported for file format '{format}'")
    named = {} if name is None else {"node-name": name}
    plan = Reader(graph).read(image | named | {"backing": None})
    return DiskRequest(
        Op.OPEN,
        plan.name,
        blueprint=plan,
        create=not existing,
        replace=not existing,
        next_name=graph.next_name,
    )


def _opened(state: State, snapshot: Snapshot, outcome: Outcome) -> None:
    """The file is open: the overlay is a node."""
    refuse_failed(outcome)
    assert isinstance(outcome, Opened)
    snapshot.opened = outcome
    assert snapshot.base is not None
    if "backing" not in DRIVERS[outcome.driver].children:
        raise errors.generic("The overlay does not support backing images")
    snapshot.overlay = state.graph.build(outcome)
    if snapshot.opening is not None and snapshot.opening.create:
        snapshot.overlay.size_bytes = snapshot.base.size_bytes


def read_snapshot_sync(data: dict[str, Any], group: Group | None) -> Snapshot:
    """A snapshot with a file of its own."""
    return Snapshot("blockdev-snapshot-sync", data)


def read_snapshot(data: dict[str, Any], group: Group | None) -> Snapshot:
    """A snapshot with an overlay that is there already."""
    return Snapshot("blockdev-snapshot", data)
