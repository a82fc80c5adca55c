"""The QMP schema of each profile, in the form of `query-qmp-schema`.

`schema/qmp.json` is that of 7.2, `schema/profiles.json` how the others differ: `only` or `not`
these commands and events, `cases` of a union, members that a type is `without`, has `with` the
others or as `optional` ones, `types` of its own, other `arguments` of a command, other `features`.
The other profiles differ from 7.2 in what the reference has; it says which options it has not.
"""

import json
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any

from cleancut_spec.profiles import DEFAULT

Schema = Mapping[str, Mapping[str, Any]]
Entities = dict[str, dict[str, Any]]


def schema(profile: str = DEFAULT.name) -> Schema:
    """The entities of a profile's schema by name."""
    return _entities(profile)


@cache
def _entities(profile: str) -> Schema:
    entities: Entities = {entity["name"]: entity for entity in _stored("qmp.json")}
    changes = _stored("profiles.json").get(profile, {})
    for entity in changes.get("types", []):
        entities[entity["name"]] = entity
    _choose(entities, changes)
    for name, cases in changes.get("cases", {}).items():
        _narrow(entities, entities[name], cases)
    for name in {
        name for kind in ("without", "with", "optional") for name in changes.get(kind, {})
    }:
        _change_members(entities[name], changes)
    for name, type_name in changes.get("arguments", {}).items():
        entities[name]["arg-type"] = type_name
    for name, features in changes.get("features", {}).items():
        entities[name].pop("features", None)
        if features:
            entities[name]["features"] = features
    return entities


@cache
def missing_members(profile: str) -> Mapping[str, frozenset[str]]:
    """By type: the members that 7.2 has and this profile has not."""
    without = _stored("profiles.json").get(profile, {}).get("without", {})
    return {name: frozenset(members) for name, members in without.items()}


@cache
def added_members(profile: str) -> Mapping[str, frozenset[str]]:
    """By type: the members that this profile has and 7.2 has not."""
    added = _stored("profiles.json").get(profile, {}).get("with", {})
    return {
        name: frozenset(member["name"] for member in members) for name, members in added.items()
    }


def _stored(name: str) -> Any:
    text = (resources.files("cleancut_spec") / "schema" / name).read_text(encoding="utf-8")
    return json.loads(text)


def _choose(entities: Entities, changes: Mapping[str, Any]) -> None:
    """Leave out the commands and events that the profile does not have."""
    named = [n for n, entity in entities.items() if entity["meta-type"] in ("command", "event")]
    for name in named:
        if name not in changes.get("only", named) or name in changes.get("not", []):
            del entities[name]


def _narrow(entities: Entities, union: dict[str, Any], cases: list[str]) -> None:
    """Leave only these cases of a union, and of its tag."""
    union["variants"] = [variant for variant in union["variants"] if variant["case"] in cases]
    [tag] = [member["type"] for member in union["members"] if member["name"] == union["tag"]]
    entities[tag]["values"] = [value for value in entities[tag]["values"] if value in cases]
    if "members" in entities[tag]:
        kept = [member for member in entities[tag]["members"] if member["name"] in cases]
        entities[tag]["members"] = kept


def _change_members(entity: dict[str, Any], changes: Mapping[str, Any]) -> None:
    name = entity["name"]
    without = changes.get("without", {}).get(name, [])
    members = [member for member in entity["members"] if member["name"] not in without]
    for member in members:
        if member["name"] in changes.get("optional", {}).get(name, []):
            member["default"] = None
    entity["members"] = members + changes.get("with", {}).get(name, [])
