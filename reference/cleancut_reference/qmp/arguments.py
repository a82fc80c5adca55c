"""Checks a command's arguments against the QMP schema, before anything of the command runs."""

from collections.abc import Mapping
from typing import Any, Final

from cleancut_reference.errors import QmpError, generic
from cleancut_spec import cites
from cleancut_spec.profiles import DEFAULT
from cleancut_spec.qmp import Schema, schema

_EXPECTED: Final = {
    "string": "string", "int": "integer", "number": "number", "boolean": "boolean",
    "object": "object", "array": "array", "null": "null",
}  # fmt: skip


_PYTHON: Final[dict[str, type]] = {
    "string": str, "boolean": bool, "object": dict, "array": list, "null": type(None),
}  # fmt: skip


#: As what JSON type the types that are no builtins come.
_JSON_TYPES: Final = {"object": "object", "enum": "string", "array": "array"}

#: Arguments that introspection does not tell completely.
_OPEN: Final = frozenset({"device_add-arg"})

#: What QEMU calls types that introspection does not name, where it says what it expects.
_ALTERNATES: Final = {
    "blockdev-add-arg:blkdebug.image": "BlockdevRef",
    "blockdev-add-arg:qcow2.backing": "BlockdevRefOrNull",
    "block-export-add:nbd.bitmaps": "BlockDirtyBitmapOrStr",
    "transaction.actions:block-dirty-bitmap-merge.data.bitmaps": "BlockDirtyBitmapOrStr",
}


@cites("ARG-TYPE-1")
def check_arguments(command: str, arguments: dict[str, Any], profile: str = DEFAULT.name) -> None:
    """Refuse arguments that the profile's schema does not allow; raises QmpError for the first."""
    types = schema(profile)
    check_value(types, types[command]["arg-type"], arguments, "")


def check_value(types: Schema, type_name: str, value: Any, path: str) -> None:
    """Refuse a value that is not of a type of the schema; raises QmpError for the first fault."""
    entity = types[type_name]
    match entity["meta-type"]:
        case "builtin":
            _check_builtin(entity["json-type"], value, path)
        case "enum":
            _check_builtin("string", value, path)
            if value not in entity["values"]:
                raise generic(f"Parameter '{_last(path)}' does not accept value '{value}'")
        case "array":
            _check_builtin("array", value, path)
            for index, item in enumerate(value):
                check_value(types, entity["element-type"], item, f"{path}[{index}]")
        case "alternate":
            _check_alternate(types, entity, value, path)
        case _:
            _check_object(types, entity, value, path)


def _check_builtin(kind: str, value: Any, path: str) -> None:
    if not _fits(kind, value):
        raise _wrong_type(path, _EXPECTED[kind])


def _fits(kind: str, value: Any) -> bool:
    match kind:
        case "int":
            return type(value) is int and -(2**63) <= value < 2**63
        case "number":
            return type(value) in (int, float)
        case "value":
            return True
        case _:
            return isinstance(value, _PYTHON[kind])


def _wrong_type(path: str, expected: str) -> QmpError:
    return generic(f"Invalid parameter type for '{path}', expected: {expected}")


def _check_object(types: Schema, entity: Mapping[str, Any], value: Any, path: str) -> None:
    _check_builtin("object", value, path)
    known = _check_members(types, entity, value, path)
    if "tag" in entity:
        for variant in entity["variants"]:
            if variant["case"] == value[entity["tag"]]:
                known |= _check_members(types, types[variant["type"]], value, path)
    for key in value:
        if key not in known and entity["name"] not in _OPEN:
            raise generic(f"Parameter '{_join(path, key)}' is unexpected")


def _check_members(
    types: Schema, entity: Mapping[str, Any], value: dict[str, Any], path: str
) -> set[str]:
    for member in entity["members"]:
        name = member["name"]
        if name in value:
            check_value(types, member["type"], value[name], _join(path, name))
        elif "default" not in member:
            raise generic(f"Parameter '{_join(path, name)}' is missing")
    return {member["name"] for member in entity["members"]}


def _check_alternate(types: Schema, entity: Mapping[str, Any], value: Any, path: str) -> None:
    for member in entity["members"]:
        kind = types[member["type"]]
        json_type = kind.get("json-type") or _JSON_TYPES[kind["meta-type"]]
        if _fits(json_type, value):
            return check_value(types, member["type"], value, path)
    raise _wrong_type(_last(path), _ALTERNATES.get(entity["name"], "string or object"))


def _last(path: str) -> str:
    """What QEMU calls an enum's or an alternate's place: its key alone, in a list none."""
    return "null" if path.endswith("]") else path.rpartition(".")[2]


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key
