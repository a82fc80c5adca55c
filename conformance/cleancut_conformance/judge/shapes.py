"""Whether a value has the shape that the QMP schema gives it."""

import json
from functools import cache
from importlib import resources
from typing import Any, Final

_PYTHON: Final[dict[str, tuple[type, ...]]] = {
    "string": (str,), "boolean": (bool,), "number": (int, float), "null": (type(None),),
    "object": (dict,), "array": (list,),
}  # fmt: skip


@cache
def _schema() -> dict[str, dict[str, Any]]:
    text = (resources.files("cleancut_spec") / "schema" / "qmp.json").read_text(encoding="utf-8")
    return {entity["name"]: entity for entity in json.loads(text)}


@cache
def commands() -> frozenset[str]:
    """The commands of which the clauses speak."""
    return frozenset(n for n, entity in _schema().items() if entity["meta-type"] == "command")


@cache
def actions() -> frozenset[str]:
    """The kinds of actions of a transaction."""
    found = actions_in(list(_schema().values()))
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


def event_fault(name: str, data: Any) -> str:
    """What is wrong with an event's data; empty if nothing is, or if the event is unknown."""
    entity = _schema().get(name)
    if entity is None or entity["meta-type"] != "event":
        return ""
    return _fault(entity["arg-type"], data, name)


def return_fault(command: str, value: Any) -> str:
    """What is wrong with what a command returns; empty if nothing is, or if it is unknown."""
    entity = _schema().get(command)
    if entity is None or entity["meta-type"] != "command":
        return ""
    return _fault(entity["ret-type"], value, command)


def _fault(type_name: str, value: Any, path: str) -> str:
    entity = _schema()[type_name]
    kind = entity["meta-type"]
    if kind == "builtin":
        return _builtin_fault(entity["json-type"], value, path)
    if kind == "enum":
        return "" if value in entity["values"] else f"{path} is {value!r}"
    if kind == "object":
        return _object_fault(entity, value, path)
    if kind == "array":
        return _array_fault(entity, value, path)
    return ""


def _array_fault(entity: dict[str, Any], value: Any, path: str) -> str:
    if not isinstance(value, list):
        return f"{path} is no array: {value!r}"
    faults = (_fault(entity["element-type"], v, f"{path}[{i}]") for i, v in enumerate(value))
    return next(filter(None, faults), "")


def _builtin_fault(kind: str, value: Any, path: str) -> str:
    if kind == "int":
        fits = isinstance(value, int) and not isinstance(value, bool)
    else:
        fits = kind not in _PYTHON or isinstance(value, _PYTHON[kind])
    return "" if fits else f"{path} is no {kind}: {value!r}"


def _object_fault(entity: dict[str, Any], value: Any, path: str) -> str:
    if not isinstance(value, dict):
        return f"{path} is no object: {value!r}"
    for member in entity["members"]:
        name = member["name"]
        if name in value:
            if fault := _fault(member["type"], value[name], f"{path}.{name}"):
                return fault
        elif "default" not in member:
            return f"{path} lacks {name!r}"
    return ""
