"""What a profile changes of what the engine says: its words, and the members that it has.

The commands answer as 7.2 does; here members that a profile does not have are left out, and those
that only it has are added.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from cleancut_reference.errors import QmpError
from cleancut_reference.outputs import Event
from cleancut_reference.state import State
from cleancut_spec.profiles import Profile
from cleancut_spec.qmp import added_members, missing_members, schema

Info = Mapping[str, Any]


def error_body(profile: Profile, error: QmpError) -> dict[str, str]:
    """An error in the profile's words."""
    kind, desc = profile.reword(error.kind, error.desc)
    return {"class": kind, "desc": desc}


def returned(state: State, command: str, value: Any) -> Any:
    """What a command returns, with the members that the profile has."""
    profile = state.profile.name
    if not missing_members(profile) or command not in schema(profile):
        return value
    return _shaped(state, schema(profile)[command]["ret-type"], value)


def told(state: State, event: Event) -> Event | None:
    """An event as the profile tells it; None if it has none such."""
    known = schema(state.profile.name).get(event.name)
    if known is None:
        return None
    return Event(event.name, _shaped(state, known["arg-type"], event.data))


def _shaped(state: State, type_name: str, value: Any) -> Any:
    """The value as the profile's type has it."""
    entity = schema(state.profile.name)[type_name]
    match entity["meta-type"]:
        case "array":
            return [_shaped(state, entity["element-type"], item) for item in value]
        case "object":
            return _object(state, entity, value)
        case _:
            return value


def _object(state: State, entity: Info, value: Info) -> dict[str, Any]:
    name, profile = entity["name"], state.profile.name
    gone = missing_members(profile).get(name, frozenset())
    types = {member["name"]: member["type"] for member in entity["members"]}
    whole = {key: part for key, part in value.items() if key not in gone}
    for key in ("drv", "format"):
        if whole.get(key) == "copy-before-write":
            whole[key] = state.profile.filter_driver
    for member in sorted(added_members(profile).get(name, frozenset())):
        found = _ADDED[name, member](state, value)
        if found is not None:
            whole[member] = found
    return {
        key: _shaped(state, types[key], part) if key in types else part
        for key, part in whole.items()
    }


def _children(state: State, node: Info) -> list[dict[str, str]]:
    """Whom a node stands on, the newest first."""
    children = state.graph.nodes[node["node-name"]].children
    return [{"child": role, "node-name": child.name} for role, child in reversed(children.items())]


def _bitmap_status(_: State, bitmap: Info) -> str:
    if bitmap["busy"]:
        return "frozen"
    return "active" if bitmap["recording"] else "disabled"


#: How members come about that 7.2 does not have; None leaves an optional one out.
_ADDED: Final[dict[tuple[str, str], Callable[[State, Info], Any]]] = {
    ("query-block-ret", "dirty-bitmaps"): (
        lambda _, drive: drive.get("inserted", {}).get("dirty-bitmaps")
    ),
    ("query-block-ret.inserted", "active"): lambda _, node: True,
    ("query-block-ret.inserted", "children"): _children,
    ("query-block-ret.inserted", "encryption_key_missing"): lambda _, node: False,
    ("query-block-ret.inserted.dirty-bitmaps", "status"): _bitmap_status,
}
