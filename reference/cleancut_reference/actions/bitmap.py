"""The `block-dirty-bitmap-*` actions: the change is made in prepare, and undone in rollback.

The drive is drained from then until after the last commit, so the change lies at the cut.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from cleancut_reference import bitmap_commands
from cleancut_reference.actions.action import Action
from cleancut_reference.block.dirty_bitmap import DirtyBitmap, check_removable
from cleancut_reference.block.node import Node
from cleancut_reference.block.persistence import drop_request
from cleancut_reference.block.request import Outcome
from cleancut_reference.block.traffic import Traffic
from cleancut_reference.jobs.group import Group
from cleancut_reference.state import State
from cleancut_reference.step import Step
from cleancut_spec import cites
from cleancut_spec.schedule import Label

REMOVE: Final = "block-dirty-bitmap-remove"


@dataclass(slots=True, eq=False)
class Before:
    """What a bitmap was before the action; no bitmap where the action has made it."""

    node: Node
    bitmap: DirtyBitmap | None
    bits: bytes
    enabled: bool


@dataclass(slots=True, eq=False)
class BitmapAction(Action):
    """A change of one bitmap, and how far it has come."""

    kind: str
    data: dict[str, Any]
    before: Before | None = None
    prepared: bool = False
    committed: bool = False

    @property
    def name(self) -> str:
        """The bitmap that is changed."""
        return str(self.data["target" if "target" in self.data else "name"])

    def find(self, state: State) -> Traffic:
        """The node's guest requests; raises QmpError where there is no such node."""
        if self.kind == "block-dirty-bitmap-add":
            return state.graph.find(self.data["node"]).traffic
        return bitmap_commands.find_node(state, self.data["node"]).traffic

    @cites("BITMAP-TX-1", "BITMAP-CUT-1")
    def prepare(self, state: State) -> Step:
        """Make the change; a bitmap that is to be removed is only claimed."""

        node = state.graph.find(self.data["node"])
        label = self._label(f"prepare_{self.kind.rpartition('-')[2]}", node)

        def run(_: Outcome) -> Label | None:
            bitmap = node.bitmap(self.name)
            bits, enabled = (bytes(bitmap.bits), bitmap.enabled) if bitmap else (b"", False)
            before = Before(node, bitmap, bits, enabled)
            if self.kind == REMOVE:
                check_removable(bitmap_commands.find(state, node.name, self.name)[1]).busy = True
            else:
                bitmap_commands.CHANGES[self.kind](state, self.data)
            self.before, self.prepared = before, True
            return label

        return Step(label, run)

    def commit(self, state: State) -> Step | None:
        """The change stays; only a bitmap that is to be removed is removed now."""
        if self.kind != REMOVE or self.committed:
            return None
        assert self.before is not None and self.before.bitmap is not None
        return Step(None, self._remove, drop_request(self.before.node, self.before.bitmap))

    def _remove(self, _: Outcome) -> None:
        assert self.before is not None and self.before.bitmap is not None
        self.before.node.bitmaps.remove(self.before.bitmap)
        self.committed = True

    def roll_back(self, state: State) -> Step | None:
        """The bitmap is as it was."""
        if self.before is None:
            return None
        return Step(self._label("rollback_bitmap", self.before.node), self._roll_back)

    @cites("BITMAP-TX-1")
    def _roll_back(self, _: Outcome) -> Label | None:
        assert self.before is not None
        node, bitmap = self.before.node, self.before.bitmap
        if bitmap is None:
            made = node.bitmap(self.name)
            assert made is not None, "what prepare has made is still there"
            node.bitmaps.remove(made)
        else:
            bitmap.bits = bytearray(self.before.bits)
            bitmap.enabled = self.before.enabled
            bitmap.busy = False
        self.before = None
        return self._label("rollback_bitmap", node)

    def drain_label(self, state: State) -> Label | None:
        """A node that does not exist has no number; one that is drained is so once."""
        known = state.graph.known(self.data["node"])
        return None if known is None or known.traffic.drained else Label("drain", known.index)

    def refuse_label(self, state: State) -> Label | None:
        """The same whatever the change is."""
        known = state.graph.known(self.data["node"])
        return None if known is None else self._label("fail_bitmap", known)

    def _label(self, name: str, node: Node) -> Label | None:
        """The model removes no bitmap."""
        return None if self.kind == REMOVE else Label(name, node.index)


def reader(kind: str) -> Callable[[dict[str, Any], Group | None], BitmapAction]:
    """What makes an action of this kind of its arguments."""
    return lambda data, group: BitmapAction(kind, bitmap_commands.check(data))
