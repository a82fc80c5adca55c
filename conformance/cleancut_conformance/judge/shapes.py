"""Whether a value has the shape that the QMP schema gives it."""

from collections.abc import Mapping
from functools import cache
from typing import Any, Final

from cleancut_spec.profiles import DEFAULT
from cleancut_spec.qmp import Schema, schema

_PYTHON: Final[dict[str, tuple[type, ...]]] = {
    "string": (str,), "boolean": (bool,), "number": (int, float), "null": (type(None),),
    "object": (dict,), "array": (list,),
}  # fmt: skip


def commands() -> frozenset[str]:
    """The commands of which the clauses speak."""
    return frozenset(n for n, entity in schema().items() if entity["meta-type"] == "command")


@cache
def actions() -> frozenset[str]:
    """The kinds of actions of a transaction."""
    found = actions_in(list(schema().values()))
    assert found is not None, "qmp.json has no transaction"
    return found


def actions_in(schema: Any) -> frozenset[str] | None:
    """The kinds of actions of `transaction` in an introspected schema; None if it has none."""
    try:
        named = {entity["name"]: entity for entity in schema}
        members = named[named["transaction"]["arg-type"]]["members"]
        array = next(member["type"] for member in members if member["name"] == "actions")
        variants = named[named[array]["element-type"]]["variants"]
        return frozenset(variant["case"] for variant in variants)
    except (TypeError, KeyError, StopIteration):
        return None


def event_fault(name: str, data: Any, profile: str = DEFAULT.name) -> str:
    """What is wrong with an event's data; empty if nothing is, or if the event is unknown."""
    types = schema(profile)
    entity = types.get(name)
    if entity is None or entity["meta-type"] != "event":
        return ""
    return _fault(types, entity["arg-type"], data, name)


def return_fault(command: str, value: Any, profile: str = DEFAULT.name) -> str:
    """What is wrong with what a command returns; empty if nothing is, or if it is unknown."""
    types = schema(profile)
    entity = types.get(command)
    if entity is None or entity["meta-type"] != "command":
        return ""
    return _fault(types, entity["ret-type"], value, command)


def _fault(types: Schema, type_name: str, value: Any, path: str) -> str:
    entity = types[type_name]
    kind = entity["meta-type"]
    if kind == "builtin":
        return _builtin_fault(entity["json-type"], value, path)
    if kind == "enum":
        return "" if value in entity["values"] else f"{path} is {value!r}"
    if kind == "object":
        return _object_fault(types, entity, value, path)
    if kind == "array":
        return _array_fault(types, entity, value, path)
    return ""


def _array_fault(types: Schema, entity: Mapping[str, Any], value: Any, path: str) -> str:
    if not isinstance(value, list):
        return f"{path} is no array: {value!r}"
    faults = (_fault(types, entity["element-type"], v, f"{path}[{i}]") for i, v in enumerate(value))
    return next(filter(None, faults), "")


def _builtin_fault(kind: str, value: Any, path: str) -> str:
    if kind == "int":
        fits = isinstance(value, int) and not isinstance(value, bool)
    else:
        fits = kind not in _PYTHON or isinstance(value, _PYTHON[kind])
    return "" if fits else f"{path} is no {kind}: {value!r}"


def _object_fault(types: Schema, entity: Mapping[str, Any], value: Any, path: str) -> str:
    if not isinstance(value, dict):
        return f"{path} is no object: {value!r}"
    for member in entity["members"]:
        name = member["name"]
        if name in value:
            if fault := _fault(types, member["type"], value[name], f"{path}.{name}"):
                return fault
        elif "default" not in member:
            return f"{path} lacks {name!r}"
    return ""
