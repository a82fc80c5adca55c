"""The `blockdev-snapshot-internal-sync` action, and the command that deletes such a snapshot."""

from dataclasses import dataclass
from typing import Any

from cleancut_reference import errors
from cleancut_reference.actions.action import Action
from cleancut_reference.block.node import Node
from cleancut_reference.block.request import DiskRequest, Failed, Op, Outcome
from cleancut_reference.block.traffic import Traffic
from cleancut_reference.jobs.group import Group
from cleancut_reference.procedure import Work, refuse_failed
from cleancut_reference.state import State
from cleancut_reference.step import Step
from cleancut_spec.schedule import Label


@dataclass(slots=True, eq=False)
class InternalSnapshot(Action):
    """A snapshot within an image, and how far it has come; `made` is its id."""

    device: str
    name: str
    node: Node | None = None
    looked: bool = False
    made: bool = False
    prepared: bool = False

    kind = "blockdev-snapshot-internal-sync"

    def find(self, state: State) -> Traffic:
        """The guest requests of the drive; raises QmpError where it can have no snapshot."""
        self.node = _image(state, self.device)
        if not self.name:
            raise errors.generic("Name is empty")
        return self.node.traffic

    def prepare(self, state: State) -> Step:
        """See that there is none of this name, then make it."""
        assert self.node is not None
        node = self.node.performer.name
        if not self.looked:
            return Step(None, self._look, DiskRequest(Op.INFO, node, nodes=(node,)))
        options = {"name": self.name, "vm_clock_nanoseconds": state.now_ns}
        return Step(None, self._make, DiskRequest(Op.SNAPSHOT, node, options=options))

    def _look(self, outcome: Outcome) -> None:
        if any(snapshot["name"] == self.name for snapshot in _snapshots(outcome)):
            raise errors.generic(
                f"Snapshot with name '{self.name}' already exists on device '{self.device}'"
            )
        self.looked = True

    def _make(self, outcome: Outcome) -> None:
        if isinstance(outcome, Failed):
            reason = errors.strerror(outcome.errno)
            raise errors.generic(
                f"Failed to create snapshot '{self.name}' on device '{self.device}': {reason}"
            )
        self.made = self.prepared = True

    def roll_back(self, state: State) -> Step | None:
        """Delete it again."""
        if not self.made:
            return None
        assert self.node is not None
        request = DiskRequest(
            Op.DELETE_SNAPSHOT, self.node.performer.name, options={"name": self.name}
        )
        return Step(None, self._forget, request)

    def _forget(self, _: Outcome) -> None:
        self.made = False

    def drain_label(self, state: State) -> Label | None:
        """A drive that does not exist has no number; one that is drained is so once."""
        known = state.graph.known(self.device)
        return None if known is None or known.traffic.drained else Label("drain", known.index)

    def refuse_label(self, state: State) -> Label | None:
        """The model has one action for all that fails and is no backup."""
        return Label("fail_other")


def _image(state: State, device: str) -> Node:
    """The image of a drive that can have snapshots in it; raises QmpError."""
    node = state.graph.find(device)
    state.graph.check_not_blocked(node)
    if node.read_only:
        raise errors.generic(f"Device '{device}' is read only")
    if node.driver != "qcow2":
        raise errors.generic(
            f"Block format '{node.driver}' used by device '{device}' "
            "does not support internal snapshots"
        )
    return node


def _snapshots(outcome: Outcome) -> list[dict[str, Any]]:
    """The snapshots that INFO tells of one node."""
    assert isinstance(outcome, dict)
    found: list[dict[str, Any]] = next(iter(outcome.values())).get("snapshots", [])
    return found


def delete_internal(state: State, arguments: dict[str, Any]) -> Work:
    """Delete a snapshot within an image, by its name or id; answers what it was."""
    device = arguments["device"]
    node = state.graph.find(device)
    state.graph.check_not_blocked(node)
    wanted = {key: arguments[key] for key in ("id", "name") if key in arguments}
    if not wanted:
        raise errors.generic("Name or id must be provided")
    name = node.performer.name
    snapshots = _snapshots((yield DiskRequest(Op.INFO, name, nodes=(name,))))
    for snapshot in snapshots:
        if all(snapshot[key] == value for key, value in wanted.items()):
            options = {"name": snapshot["name"]}
            outcome = yield DiskRequest(Op.DELETE_SNAPSHOT, name, options=options)
            refuse_failed(outcome)
            return snapshot
    said = [wanted.get(key, "null") for key in ("id", "name")]
    raise errors.generic(
        f"Snapshot with id '{said[0]}' and name '{said[1]}' does not exist on device '{device}'"
    )


def read_internal_snapshot(data: dict[str, Any], group: Group | None) -> InternalSnapshot:
    """The snapshot that these arguments ask for."""
    return InternalSnapshot(data["device"], data["name"])
