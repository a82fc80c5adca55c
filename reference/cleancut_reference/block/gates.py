"""What holds a disk request back: breakpoints of blkdebug nodes, limits of throttle groups."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from cleancut_reference.block.blkdebug import AT_NODE, FROM_FORMAT, event_names
from cleancut_reference.block.node import Node
from cleancut_reference.block.request import DiskRequest, Op, Outcome
from cleancut_reference.outputs import Console
from cleancut_reference.state import State
from cleancut_reference.step import Step
from cleancut_spec.schedule import Label

_PASSING: Final = frozenset({Op.READ, Op.WRITE, Op.WRITE_ZEROES, Op.DISCARD, Op.FLUSH})


@dataclass(frozen=True, slots=True)
class Held:
    """What tells a held request from others."""

    op: Op
    node: str
    offset_bytes: int
    length_bytes: int


def pass_gates(state: State, steps: Iterator[Step]) -> Iterator[Step]:
    """The steps, but for those whose disk request is held; one that meets a breakpoint stops.

    Only where a node of the graph is gated need steps be passed.
    """
    for step in steps:
        if step.io is None or step.io.op not in _PASSING:
            yield step
            continue
        passed = _pass(state, step, step.io)
        if passed is not None:
            yield passed


def _pass(state: State, step: Step, io: DiskRequest) -> Step | None:
    groups, from_format = [], False
    node: Node | None = state.graph.nodes[io.node]
    while node is not None:
        if node.driver == "blkdebug":
            held = Held(io.op, io.node, io.offset_bytes, io.length_bytes)
            if held in node.suspended.values():
                return None
            tag = _breakpoint(node, io.op, from_format)
            if tag is not None:
                return _suspend(state, node, tag, held)
        elif node.driver == "throttle" and io.op is not Op.FLUSH:
            groups.append(state.graph.groups[node.options["throttle-group"]])
        from_format = node.driver in ("raw", "qcow2")
        node = node.primary
    direction = "read" if io.op is Op.READ else "write"
    if any(group.wait_ns(direction, state.now_ns) for group in groups):
        return None
    if not groups:
        return step

    def run(outcome: Outcome) -> Label | None:
        for group in groups:
            group.account(direction, io.length_bytes, state.now_ns)
        return step.run(outcome)

    return step._replace(run=run)


def _breakpoint(node: Node, op: Op, from_format: bool) -> str | None:
    """The tag of the breakpoint that a request meets at a blkdebug node."""
    events = AT_NODE.get(op, ())
    if from_format and op in FROM_FORMAT:
        events = (FROM_FORMAT[op], *events)
    return next((tag for tag, event in node.breakpoints.items() if event in events), None)


def _suspend(state: State, node: Node, tag: str, held: Held) -> Step:
    def run(_: Outcome) -> None:
        del node.breakpoints[tag]
        node.suspended[tag] = held
        state.outbox.append(Console(f"blkdebug: Suspended request '{tag}'\n"))

    return Step(None, run)


def throttled_until_ns(state: State) -> list[int]:
    """The instants at which a throttle group lets more through."""
    return [
        state.now_ns + group.wait_ns(direction, state.now_ns)
        for group in state.graph.groups.values()
        for direction in ("read", "write")
    ]


def _blkdebug(root: Node | None) -> Node | None:
    node = root
    while node is not None and node.driver != "blkdebug":
        node = node.primary
    return node


def set_breakpoint(root: Node | None, event: str, tag: str) -> str:
    """Hold the next request that meets this event; the errno if that cannot be."""
    node = _blkdebug(root)
    if node is None:
        return "ENOTSUP"
    if event not in event_names():
        return "ENOENT"
    node.breakpoints[tag] = event
    return ""


def is_set(root: Node | None, tag: str) -> bool:
    """Whether a request is or may yet be held under this tag."""
    node = _blkdebug(root)
    return node is not None and (tag in node.breakpoints or tag in node.suspended)


def is_suspended(root: Node | None, tag: str) -> bool:
    """Whether a request is held under this tag."""
    node = _blkdebug(root)
    return node is not None and tag in node.suspended


def resume(state: State, root: Node | None, tag: str) -> str:
    """Let the request go on that is held under this tag; the errno if there is none."""
    node = _blkdebug(root)
    if node is None:
        return "ENOTSUP"
    if tag not in node.suspended:
        return "ENOENT"
    del node.suspended[tag]
    state.outbox.append(Console(f"blkdebug: Resuming request '{tag}'\n"))
    return ""


def remove_breakpoint(state: State, root: Node | None, tag: str) -> str:
    """Forget a breakpoint, and let go on what it holds; the errno if there is none."""
    node = _blkdebug(root)
    if node is None:
        return "ENOTSUP"
    if node.breakpoints.pop(tag, None) is not None:
        return ""
    return resume(state, root, tag)
