"""Reads what a client says of a node into a blueprint: options, `json:` names, file names."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from cleancut_reference import errors
from cleancut_reference.block.blkdebug import check_rules
from cleancut_reference.block.drivers import DRIVERS, common_options, options_of
from cleancut_reference.block.graph import Graph
from cleancut_reference.block.request import Blueprint
from cleancut_reference.block.values import as_bool
from cleancut_reference.nbd import names as nbd
from cleancut_reference.nbd.address import read_address
from cleancut_reference.qmp.arguments import check_value
from cleancut_reference.qmp.parser import Bad, parse
from cleancut_reference.qmp.typed import typed_value
from cleancut_spec.qmp import schema

Options = Mapping[str, Any]

_NODE_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9._-]{0,30}")
NBD_ADDRESS: Final = "block-export-add:vhost-user-blk.addr"
_PROTOCOL: Final = re.compile(r"([A-Za-z0-9+-]+):")


@dataclass(slots=True)
class Reader:
    """Reads one description; remembers the names that it gives, so that none is given twice."""

    graph: Graph
    taken: set[str] = field(default_factory=set)

    def read(self, options: Options, read_only: bool = False) -> Blueprint:
        """The blueprint of a node and of all that it describes below; raises QmpError."""
        rest = dict(options)
        driver = rest.pop("driver", "")
        name = self._name(rest.pop("node-name", None))
        read_only = as_bool("read-only", rest.get("read-only", read_only))
        rest = self._by_filename(driver, rest)
        if driver and driver not in DRIVERS:
            raise errors.generic(f"Unknown driver '{driver}'")
        known = DRIVERS[driver or "raw"]
        children = {
            role: self._child(role, rest.pop(role), read_only or role == "backing")
            for role in known.children
            if rest.get(role) is not None
        }
        if known.children and known.children[0] not in children:
            raise errors.generic(f'A block device must be specified for "{known.children[0]}"')
        self._check_options(driver or "raw", rest)
        return Blueprint(name, driver, rest, children, read_only)

    def _name(self, name: str | None) -> str:
        """The node's name, if it is free and well-formed, or a new one."""
        if name is None:
            return self.graph.new_name()
        check_node_name(self.graph, name)
        if name in self.taken:
            raise errors.generic(f"Duplicate nodes with node-name='{name}'")
        self.taken.add(name)
        return name

    def _by_filename(self, driver: str, rest: dict[str, Any]) -> dict[str, Any]:
        """A file name given to a format, or to no driver at all, is that of its file."""
        if "filename" not in rest or (driver in DRIVERS and DRIVERS[driver].protocol):
            return rest
        named = by_name(str(rest.pop("filename")))
        role = DRIVERS[driver].children[0] if driver in DRIVERS else "file"
        return {role: named, **rest}

    def _child(self, role: str, child: Any, read_only: bool) -> Blueprint | str:
        if isinstance(child, str):
            node = self.graph.find(child)
            if node.job is not None:  # nothing is put above a filter that will go
                self.graph.check_not_blocked(node)
            return node.name
        assert isinstance(child, dict), f"{role} is a name or a description"
        return self.read(child, read_only)

    def _check_options(self, driver: str, options: dict[str, Any]) -> None:
        for option in options:
            if option in DRIVERS[driver].refused:
                raise errors.generic(
                    f"Option '{option}' of driver '{driver}' is not supported by this server"
                )
            if option in common_options() or option in options_of(driver):
                continue
            if DRIVERS[driver].protocol:
                raise errors.generic(
                    f"Block protocol '{driver}' doesn't support the option '{option}'"
                )
            raise errors.generic(f"Block format '{driver}' does not support the option '{option}'")
        if driver == "file" and not options.get("filename"):
            raise errors.generic("The 'file' block driver requires a file name")
        if driver == "blkdebug":
            check_rules(options)
        if driver == "nbd":
            _check_server(options)
        if driver == "throttle" and options.get("throttle-group") not in self.graph.groups:
            group = options.get("throttle-group")
            raise errors.generic(
                f"Throttle group '{group}' does not exist"
                if group
                else "Please specify a throttle group"
            )


def _check_server(options: dict[str, Any]) -> None:
    """Refuse what is no address of a server; numbers and switches that came as text become such."""
    if not isinstance(options.get("server"), dict):
        raise errors.generic("NBD server address missing")
    if "tls-creds" in options:
        raise errors.generic(f"No TLS credentials with id '{options['tls-creds']}'")
    server = options["server"] = typed_value(NBD_ADDRESS, options["server"], "server")
    check_value(schema(), NBD_ADDRESS, server, "server")
    read_address(server["type"], server)


def check_node_name(graph: Graph, name: str) -> None:
    """Refuse a node name that is ill-formed or taken; raises QmpError."""
    if not _NODE_NAME.fullmatch(name):
        raise errors.generic(f"Invalid node-name: '{name}'")
    if graph.drive(name):
        raise errors.generic(f"node-name={name} is conflicting with a device id")
    if name in graph.nodes:
        raise errors.generic(f"Duplicate nodes with node-name='{name}'")


def check_device_id(graph: Graph, name: str) -> None:
    """Refuse a drive's name that is taken; raises QmpError."""
    if graph.drive(name):
        raise errors.generic(f"Duplicate ID '{name}' for drive")
    if name in graph.nodes:
        raise errors.generic(f"Device name '{name}' conflicts with an existing node name")


def image_at(text: str, driver: str = "") -> dict[str, Any]:
    """The description of the image that a command calls by a path or by `json:…`."""
    if text.startswith("json:"):
        said = _by_json(text.removeprefix("json:"))
        return said | {"driver": driver} if driver else said
    if driver and driver not in DRIVERS:
        raise errors.generic(f"Unknown driver '{driver}'")
    named = by_name(text)
    if driver and driver == named["driver"]:
        return named
    role = DRIVERS[driver].children[0] if driver and DRIVERS[driver].children else "file"
    return {role: named} | ({"driver": driver} if driver else {})


def by_name(text: str) -> dict[str, Any]:
    """The description that a file name stands for: `json:…`, `file:PATH`, a path."""
    if text.startswith("json:"):
        return _by_json(text.removeprefix("json:"))
    protocol = _PROTOCOL.match(text)
    if protocol is None or "/" in text[: protocol.end()]:
        return {"driver": "file", "filename": text}
    rest = text[protocol.end() :]
    match protocol[1]:
        case "file":
            return {"driver": "file", "filename": rest}
        case "null-co":
            return {"driver": "null-co"}
        case "blkdebug" if rest.startswith(":"):
            return {"driver": "blkdebug", "image": by_name(rest[1:])}
        case spoken if spoken in nbd.PROTOCOLS:
            return {"driver": "nbd", "auto-read-only": True, **nbd.options_of(text)}
        case other:
            raise errors.generic(f"Unknown protocol '{other}'")


def _by_json(text: str) -> dict[str, Any]:
    parsed = parse(text.encode())
    if isinstance(parsed, Bad):
        raise errors.generic(f"Could not parse the JSON options: {parsed.desc}")
    if not isinstance(parsed.value, dict):
        raise errors.generic("Invalid JSON object given")
    return nest(parsed.value)


def nest(flat: Options) -> dict[str, Any]:
    """Options with dotted keys as objects and lists: `a.0.b` is the `b` of the first of `a`."""
    whole: dict[str, Any] = {}
    for key, value in flat.items():
        *path, last = key.split(".")
        place = whole
        for part in path:
            inner = place.setdefault(part, {})
            if not isinstance(inner, dict):
                raise errors.generic(f"Cannot mix '{part}' with its own members in '{key}'")
            place = inner
        place[last] = nest(value) if isinstance(value, dict) else value
    return {key: _listed(value) for key, value in whole.items()}


def _listed(value: Any) -> Any:
    """An object whose keys are 0, 1, … is a list."""
    if not isinstance(value, dict):
        return value
    inner = {key: _listed(part) for key, part in value.items()}
    if inner and set(inner) == {str(index) for index in range(len(inner))}:
        return [inner[str(index)] for index in range(len(inner))]
    return inner
