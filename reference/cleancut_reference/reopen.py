"""`blockdev-reopen`: options of nodes that are changed while they are in use, all or none."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from cleancut_reference import errors
from cleancut_reference.block.drivers import DRIVERS, common_options
from cleancut_reference.block.node import Node
from cleancut_reference.block.persistence import store_request, use_request
from cleancut_reference.block.values import as_bool
from cleancut_reference.procedure import Work
from cleancut_reference.state import State

#: Options of single drivers that may be changed, too.
_CHANGEABLE: Final = {"throttle": frozenset({"throttle-group"})}


def blockdev_reopen(state: State, arguments: dict[str, Any]) -> Work:
    """Give nodes new options; what an entry leaves out gets its default again.

    Persistent bitmaps are stored before an image becomes read-only, and in use when it is no more.
    """
    changes = [_check(state, options) for options in arguments["options"]]
    nodes = [state.graph.nodes[options["node-name"]] for options in arguments["options"]]
    if (store := store_request(nodes)) is not None:
        yield store
    for change in changes:
        change()
    if (use := use_request(nodes)) is not None:
        yield use
    return {}


def _check(state: State, said: Mapping[str, Any]) -> Callable[[], None]:
    """What changes one node; raises QmpError where it may not be changed so."""
    if "node-name" not in said:
        raise errors.generic("node-name not specified")
    name = said["node-name"]
    node = state.graph.nodes.get(name)
    if node is None:
        raise errors.generic(f"Failed to find node with node-name='{name}'")
    if said["driver"] != node.driver:
        raise errors.generic("Cannot change the option 'driver'")
    children = {role: said[role] for role in DRIVERS[node.driver].children if role in said}
    for role, child in children.items():
        _check_child(state, node, role, child)
    handled = {"node-name", "driver", *children}
    options = {key: value for key, value in said.items() if key not in handled}
    fixed = _fixed(node, node.options)
    before, after = _flat(fixed), _flat(_fixed(node, options))
    for key in sorted(before.keys() | after.keys()):
        if after.get(key, before.get(key)) != before.get(key):
            raise errors.generic(f"Cannot change the option '{key}'")
    group = options.get("throttle-group")
    if group is not None and group not in state.graph.groups:
        raise errors.generic(f"Throttle group '{group}' does not exist")

    def change() -> None:
        node.options = {**fixed, **options}
        node.become_read_only(as_bool("read-only", options.get("read-only", False)))

    return change


def _check_child(state: State, node: Node, role: str, child: Any) -> None:
    """A node stays on the children that it has."""
    if not isinstance(child, str):
        raise errors.generic(f"Cannot change the option '{role}.driver'")
    found = state.graph.nodes.get(child)
    if found is None:
        raise errors.no_device("", child)
    if found is node:
        raise errors.generic(
            f"Making '{node.name}' a {role} child of '{node.name}' would create a cycle"
        )
    standing = node.children.get(role)
    below = standing.performer if standing else None
    if found not in (standing, below):
        raise errors.generic(f"Option '{role}' cannot be changed on this server")


def _fixed(node: Node, options: Mapping[str, Any]) -> dict[str, Any]:
    """The options that are chosen once and for all."""
    changeable = common_options() | _CHANGEABLE.get(node.driver, frozenset())
    return {key: value for key, value in options.items() if key not in changeable}


def _flat(options: Mapping[str, Any]) -> dict[str, Any]:
    """The same, with each member of an address for itself."""
    found = dict(options)
    server = found.pop("server", {})
    return found | {f"server.{key}": value for key, value in server.items()}
