"""The QMP commands that change the block graph: nodes, objects, media, sizes."""

import re
from collections.abc import Generator
from typing import Any, Final

from cleancut_reference import errors
from cleancut_reference.arithmetic import round_up
from cleancut_reference.block.description import Reader, nest
from cleancut_reference.block.dirty_bitmap import check_free
from cleancut_reference.block.node import Drive, Node
from cleancut_reference.block.request import DiskRequest, Failed, Op, Opened, Outcome
from cleancut_reference.block.throttle import ThrottleGroup
from cleancut_reference.exports import check_may_resize
from cleancut_reference.procedure import Work, refuse_failed
from cleancut_reference.sizes import SECTOR_BYTES
from cleancut_reference.state import State

Arguments = dict[str, Any]

MAX_BYTES: Final = (1 << 63) - (1 << 30)  # of any image
_ID: Final = re.compile(r"[A-Za-z][A-Za-z0-9._-]*")


def open_node(
    state: State, options: Arguments, called: str = ""
) -> Generator[DiskRequest, Outcome, Node]:
    """Open what a description describes; raises QmpError."""
    plan = Reader(state.graph).read(options)
    next_name = state.graph.next_name
    outcome = yield DiskRequest(
        Op.OPEN, plan.name, blueprint=plan, next_name=next_name, called=called
    )
    refuse_failed(outcome)
    assert isinstance(outcome, Opened)
    return state.graph.build(outcome)


def close_node(state: State, node: Node) -> Generator[DiskRequest, Outcome, None]:
    """Close a node and what stands below it for its sake alone."""
    close = state.graph.close_request(state.graph.unused_below(node))
    state.graph.remove_tree(node)
    yield close


def blockdev_add(state: State, arguments: Arguments) -> Work:
    """Open a node that stays until `blockdev-del`."""
    if "node-name" not in arguments:
        raise errors.generic("'node-name' must be specified for the root node")
    node = yield from open_node(state, nest(arguments))
    node.monitor_owned = True
    return {}


def blockdev_del(state: State, arguments: Arguments) -> Work:
    """Close a node of `blockdev-add` on which nothing stands."""
    name = arguments["node-name"]
    node = state.graph.nodes.get(name)
    if node is None:
        raise errors.generic(f"Failed to find node with node-name='{name}'")
    if any(isinstance(parent, Drive) for parent in state.graph.parents(node)):
        raise errors.generic(f"Node {name} is in use")
    state.graph.check_not_blocked(node)
    if not node.monitor_owned:
        raise errors.generic(f"Node {name} is not owned by the monitor")
    if any(state.graph.parents(node)):
        raise errors.generic(f"Block device {name} is in use")
    yield from close_node(state, node)
    return {}


def block_resize(state: State, arguments: Arguments) -> Work:
    """Change the size of an image that no job has."""
    device, node_name = arguments.get("device", ""), arguments.get("node-name", "")
    node = state.graph.find_by(device, node_name)
    size_bytes = arguments["size"]
    if size_bytes < 0:
        raise errors.generic("Parameter 'size' expects a >0 size")
    if size_bytes > MAX_BYTES:
        raise errors.generic(f"offset({size_bytes}) exceeds maximum({MAX_BYTES})")
    _check_resizable(state, node, device)
    _check_image(node, size_bytes)
    if node.protocol == "null-co":
        raise errors.generic("Image format driver does not support resize")
    if node.holds_export:  # which keeps its size
        if size_bytes > node.size_bytes:
            raise errors.generic("Cannot grow NBD nodes")
        return {}
    outcome = yield DiskRequest(Op.RESIZE, node.name, length_bytes=size_bytes)
    if isinstance(outcome, Failed):
        told = f"Could not resize file: {errors.strerror(outcome.errno)}"
        raise errors.generic(outcome.desc or told)
    for each in state.graph.of_same_bytes(node):
        each.size_bytes = round_up(size_bytes, SECTOR_BYTES)
        for bitmap in each.bitmaps:
            bitmap.resize(each.size_bytes)
    return {}


def _check_resizable(state: State, node: Node, device: str) -> None:
    """Refuse a node on whose size somebody counts; raises QmpError."""
    if node.blockers or any(
        isinstance(parent, Node) and parent.children.get("backing") is node
        for parent in state.graph.parents(node)
    ):
        raise errors.generic(f"Device '{device or '(null)'}' is in use")
    if not device:
        state.graph.check_permission(node, "resize", errors.UNNAMED.format(node.name))
    check_may_resize(state, node)
    if node.read_only:
        raise errors.generic("Image is read-only")


def _check_image(node: Node, size_bytes: int) -> None:
    """Refuse a size that the image cannot have, or bitmaps that cannot follow; raises QmpError."""
    if node.driver == "qcow2" and size_bytes % SECTOR_BYTES:
        raise errors.generic(f"The new size must be a multiple of {SECTOR_BYTES}")
    for bitmap in node.bitmaps:
        if bitmap.persistent:
            check_free(bitmap)


def eject(state: State, arguments: Arguments) -> Work:
    """Take the medium out of a drive that no guest's device has."""
    if ("device" in arguments) == ("id" in arguments):
        raise errors.generic("Need exactly one of 'device' and 'id'")
    name = arguments.get("device") or arguments.get("id") or ""
    drive = next((d for d in state.graph.drives if _is_called(d, arguments)), None)
    if drive is None:
        raise errors.QmpError("DeviceNotFound", f"Device '{name}' not found")
    if drive.root is not None:
        state.graph.check_not_blocked(drive.root)
    if drive.device is not None:
        raise errors.generic(f"Device '{name}' is not removable")
    if drive.root is not None:
        yield from take_out(state, drive, drive.root)
    return {}


def _is_called(drive: Drive, arguments: Arguments) -> bool:
    """Whether the `device` or the guest's device `id` means this drive."""
    by_device = drive.device is not None and drive.device.id == arguments.get("id", drive)
    return by_device or (drive.name != "" and drive.name == arguments.get("device"))


def take_out(state: State, drive: Drive, root: Node) -> Generator[DiskRequest, Outcome, None]:
    """A drive has no medium any more; a node that nothing else has is closed."""
    drive.root = None
    if not root.monitor_owned and not any(state.graph.parents(root)):
        yield from close_node(state, root)


def object_add(state: State, arguments: Arguments) -> Any:
    """Make a throttle group, or an iothread, which here is a name only."""
    name, kind = arguments["id"], arguments["qom-type"]
    if not _ID.fullmatch(name):
        raise errors.generic("Parameter 'id' expects an identifier")
    if name in state.objects:
        raise errors.generic(
            f"attempt to add duplicate property '{name}' to object (type 'container')"
        )
    state.objects[name] = kind
    if kind == "throttle-group":
        plain = {key[2:]: value for key, value in arguments.items() if key.startswith("x-")}
        state.graph.groups[name] = ThrottleGroup(plain | arguments.get("limits", {}))
    return {}


def object_del(state: State, arguments: Arguments) -> Any:
    """Remove an object that nothing uses."""
    name = arguments["id"]
    if name not in state.objects:
        raise errors.generic(f"object '{name}' not found")
    users = (node.options.get("throttle-group") for node in state.graph.nodes.values())
    if name in users:
        raise errors.generic(f"object '{name}' is in use, can not be deleted")
    del state.objects[name]
    state.graph.groups.pop(name, None)
    return {}
