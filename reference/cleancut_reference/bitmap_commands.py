"""The `block-dirty-bitmap-*` commands: what each does to the bitmaps of a node."""

from collections.abc import Callable
from functools import wraps
from typing import Any, Final

from cleancut_reference.block.dirty_bitmap import (
    DirtyBitmap,
    check_free,
    check_removable,
    check_usable,
)
from cleancut_reference.block.node import Node
from cleancut_reference.block.persistence import drop_request
from cleancut_reference.errors import QmpError, generic
from cleancut_reference.procedure import Work, refuse_failed
from cleancut_reference.state import State
from cleancut_spec import cites

Arguments = dict[str, Any]

MAX_NAME_BYTES: Final = 1023
MIN_GRANULARITY_BYTES: Final = 512
DEFAULT_GRANULARITY_BYTES: Final = 65536
MIN_DEFAULT_BYTES: Final = 4096  # even where the image's clusters are smaller


def check(arguments: Arguments) -> Arguments:
    """Refuse what is no number of 32 bits, before anything has run; raises QmpError."""
    if not 0 <= arguments.get("granularity", 0) < 1 << 32:
        raise generic("Parameter 'granularity' expects uint32_t")
    return arguments


def find_node(state: State, name: str) -> Node:
    """The node with the bitmap; raises QmpError."""
    try:
        return state.graph.find(name)
    except QmpError:
        raise generic(f"Node '{name}' not found") from None


@cites("BITMAP-NAME-1")
def find(state: State, node_name: str, name: str) -> tuple[Node, DirtyBitmap]:
    """A bitmap by its node's or drive's name and its own; raises QmpError."""
    node = find_node(state, node_name)
    bitmap = node.bitmap(name)
    if bitmap is None:
        raise generic(f"Dirty bitmap '{name}' not found")
    return node, bitmap


@cites("BITMAP-NAME-1")
def add(state: State, arguments: Arguments) -> Any:
    """Make a bitmap; nothing is dirty in it."""
    node, name = state.graph.find(arguments["node"]), arguments["name"]
    if not name:
        raise generic("Bitmap name cannot be empty")
    if len(name.encode()) > MAX_NAME_BYTES:
        raise generic(f"Bitmap name too long: {name}")
    granularity_bytes = arguments.get("granularity", _default_granularity(node))
    if granularity_bytes < MIN_GRANULARITY_BYTES or granularity_bytes & (granularity_bytes - 1):
        raise generic("Granularity must be power of 2 and at least 512")
    persistent = arguments.get("persistent", False)
    if persistent and node.driver != "qcow2":
        whose = state.graph.display_name(node)
        raise generic(f"Can't store persistent bitmaps to {whose}: Operation not supported")
    if node.bitmap(name) is not None:
        raise generic(f"Bitmap already exists: {name}")
    enabled = not arguments.get("disabled", False)
    node.bitmaps.append(DirtyBitmap(name, granularity_bytes, node.size_bytes, persistent, enabled))
    return {}


def _default_granularity(node: Node) -> int:
    """The image's cluster, so that what a guest write allocates is what it makes dirty."""
    if node.cluster_bytes == 1:
        return DEFAULT_GRANULARITY_BYTES
    return min(max(MIN_DEFAULT_BYTES, node.cluster_bytes), DEFAULT_GRANULARITY_BYTES)


@cites("BITMAP-BUSY-1", "BITMAP-NAME-1")
def remove(state: State, arguments: Arguments) -> Work:
    """Delete a bitmap, in its image, too."""
    node, bitmap = find(state, arguments["node"], arguments["name"])
    drop = drop_request(node, check_removable(bitmap))
    if drop is not None:
        bitmap.busy = True
        outcome = yield drop
        bitmap.busy = False
        refuse_failed(outcome)
    node.bitmaps.remove(bitmap)
    return {}


@cites("BITMAP-BUSY-1", "BITMAP-NAME-1")
def clear(state: State, arguments: Arguments) -> Any:
    """Nothing is dirty any more."""
    check_free(find(state, arguments["node"], arguments["name"])[1]).clear()
    return {}


@cites("BITMAP-BUSY-1", "BITMAP-NAME-1")
def enable(state: State, arguments: Arguments) -> Any:
    """Writes are recorded from now on."""
    check_usable(find(state, arguments["node"], arguments["name"])[1]).enabled = True
    return {}


@cites("BITMAP-BUSY-1", "BITMAP-NAME-1")
def disable(state: State, arguments: Arguments) -> Any:
    """Writes are not recorded any more."""
    check_usable(find(state, arguments["node"], arguments["name"])[1]).enabled = False
    return {}


@cites("BITMAP-BUSY-1", "BITMAP-NAME-1")
def merge(state: State, arguments: Arguments) -> Any:
    """What is dirty in the bitmaps that are listed is dirty in the target, too; all or none."""
    node, target = find(state, arguments["node"], arguments["target"])
    sources = [_source(state, node, target, item) for item in arguments["bitmaps"]]
    for source in sources:
        target.merge(source)
    return {}


def _source(state: State, node: Node, target: DirtyBitmap, item: Any) -> DirtyBitmap:
    if isinstance(item, str):
        bitmap = node.bitmap(item)
        if bitmap is None:
            raise generic(f"Dirty bitmap '{item}' not found")
    else:
        bitmap = find(state, item["node"], item["name"])[1]
    check_free(target)
    check_usable(bitmap)
    if bitmap.size_bytes != target.size_bytes:
        sizes = f"destination size is {target.size_bytes}, source size is {bitmap.size_bytes}"
        raise generic(f"Bitmaps are of different sizes ({sizes}) and can't be merged")
    return bitmap


def sha256(state: State, arguments: Arguments) -> Any:
    """The digest of a bitmap's bits."""
    return {"sha256": find(state, arguments["node"], arguments["name"])[1].sha256()}


#: What is a command of its own and an action of a transaction, and done at once, by name.
CHANGES: Final[dict[str, Callable[[State, Arguments], Any]]] = {
    "block-dirty-bitmap-add": add,
    "block-dirty-bitmap-clear": clear,
    "block-dirty-bitmap-enable": enable,
    "block-dirty-bitmap-disable": disable,
    "block-dirty-bitmap-merge": merge,
}


def _command(change: Callable[[State, Arguments], Any]) -> Callable[[State, Arguments], Any]:
    """The command that makes a change, if its arguments are well-formed."""

    @wraps(change)
    def command(state: State, arguments: Arguments) -> Any:
        return change(state, check(arguments))

    return command


COMMANDS: Final[dict[str, Callable[[State, Arguments], Any]]] = {
    **{name: _command(change) for name, change in CHANGES.items()},
    "block-dirty-bitmap-remove": remove,
    "x-debug-block-dirty-bitmap-sha256": sha256,
}
