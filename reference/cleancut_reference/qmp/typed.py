"""Arguments that came as text, in the types that the QMP schema asks for."""

from typing import Any

from cleancut_reference.errors import generic
from cleancut_spec.qmp import schema


def typed(command: str, texts: dict[str, Any]) -> dict[str, Any]:
    """The same arguments, with numbers and switches for texts that mean them; raises QmpError."""
    found = typed_value(schema()[command]["arg-type"], texts, "")
    assert isinstance(found, dict), "the arguments of a command are an object"
    return found


def typed_value(type_name: str, value: Any, name: str) -> Any:
    """A text, or texts in objects and lists, in the types of the schema; raises QmpError."""
    entity = schema()[type_name]
    kind = entity["meta-type"]
    if kind == "array" and isinstance(value, list):
        return [typed_value(entity["element-type"], item, name) for item in value]
    if kind == "alternate":
        return _alternative(entity["members"], value, name)
    if kind == "object" and isinstance(value, dict):
        return _members(entity, value)
    if kind == "builtin" and isinstance(value, str):
        return _scalar(entity["json-type"], value, name)
    return value


def _alternative(members: list[dict[str, Any]], value: Any, name: str) -> Any:
    if isinstance(value, dict):
        objects = (m["type"] for m in members if schema()[m["type"]]["meta-type"] == "object")
        return typed_value(next(objects), value, name)
    return value


def _members(entity: Any, value: dict[str, Any]) -> dict[str, Any]:
    types = {member["name"]: member["type"] for member in entity["members"]}
    for variant in entity.get("variants", []):
        if variant["case"] == value.get(entity["tag"]):
            types |= {m["name"]: m["type"] for m in schema()[variant["type"]]["members"]}
    return {
        key: typed_value(types[key], part, key) if key in types else part
        for key, part in value.items()
    }


def _scalar(kind: str, text: str, name: str) -> Any:
    if kind == "int":
        try:
            return int(text, 0)
        except ValueError:
            raise generic(f"Parameter '{name}' expects integer") from None
    if kind == "boolean":
        if text not in ("on", "off", "true", "false", "yes", "no", "y", "n"):
            raise generic(f"Parameter '{name}' expects 'on' or 'off'")
        return text in ("on", "true", "yes", "y")
    return text
