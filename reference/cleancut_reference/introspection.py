"""`query-qmp-schema`: what this server has of the schema, and no more."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from cleancut_spec.profiles import DEFAULT
from cleancut_spec.qmp import schema


def served(commands: Iterable[str], profile: str = DEFAULT.name) -> list[Mapping[str, Any]]:
    """The entities of these commands, of all events, and of the types that they use."""
    whole = schema(profile)
    events = (name for name, entity in whole.items() if entity["meta-type"] == "event")
    wanted = [name for name in (*commands, *events) if name in whole]
    seen = set(wanted)
    for name in wanted:
        for used in _uses(whole[name]):
            if used not in seen:
                seen.add(used)
                wanted.append(used)
    return [entity for name, entity in whole.items() if name in seen]


def _uses(entity: Mapping[str, Any]) -> Iterator[str]:
    """The types that an entity refers to."""
    for role in ("arg-type", "ret-type", "element-type"):
        if role in entity:
            yield entity[role]
    for part in (*entity.get("members", ()), *entity.get("variants", ())):
        if "type" in part:
            yield part["type"]
