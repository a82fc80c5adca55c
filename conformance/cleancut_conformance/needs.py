"""What of the protocol a case uses, as far as a schema knows it: the parts that a target may lack.

A part is a path: a command or an event, then arguments (or what is returned), `:KIND` for a case
of a union, `=VALUE` for a value of an enumeration.
"""

from collections.abc import Iterator, Mapping
from functools import cache
from itertools import chain
from typing import Any, Final

from cleancut_conformance.case import Case
from cleancut_spec.profiles import DEFAULT, PROFILES
from cleancut_spec.qmp import Schema, schema

Part = tuple[str, ...]

RETURNS: Final = "returns"  # stands after the command for what it returns


def lacking(case: Case, types: Schema) -> list[Part]:
    """What the case uses, some version of QEMU has, and this schema does not; the outermost only.

    What no version has the case uses to see it refused.
    """
    wanted = set(chain.from_iterable(_parts(case, one) for one in _schemas()))
    missing = wanted - set(_parts(case, types))
    return sorted(part for part in missing if part[:-1] not in missing)


def profile_for(case: Case) -> str:
    """A version that has all that the case uses: the usual one, or else the newest that has."""
    names = (DEFAULT.name, *reversed(PROFILES))
    return next((name for name in names if not lacking(case, schema(name))), DEFAULT.name)


def words(part: Part) -> str:
    """A part by the names that the user knows."""
    head, *rest = part
    if not rest:
        return f"event {head}" if head.isupper() else f"command {head}"
    of, kind = head, "member" if head.isupper() or rest[0] == RETURNS else "argument"
    names: list[str] = []
    for name in rest:
        if name.startswith(":"):  # what follows belongs to this case of the union
            of, names = f"{'action' if head == 'transaction' else 'case'} {name[1:]} of {head}", []
        elif not name.startswith("=") and name not in ("data", RETURNS):
            names.append(name)
    value = f"value {rest[-1][1:]} of " if rest[-1].startswith("=") else ""
    return f"{value}{kind} {'.'.join(names)} of {of}" if names else of


def is_whole(part: Part) -> bool:
    """Whether it is a command, an event or a kind of action, and not only a piece of one."""
    return len(part) == 1 or (part[0] == "transaction" and part[-1].startswith(":"))


def types_in(answer: Any) -> Schema | None:
    """The answer to `query-qmp-schema` as types by name; None if it is no whole schema."""
    try:
        types = {str(entity["name"]): entity for entity in answer}
        named = [name for entity in types.values() for name in _named(entity)]
        return types if types and types.keys() >= set(named) else None
    except (TypeError, KeyError, AttributeError):
        return None


def _named(entity: Mapping[str, Any]) -> Iterator[str]:
    """The types that an entity refers to; raises KeyError for one that is of no known form."""
    kind = entity["meta-type"]
    refers: dict[str, tuple[str, ...]] = {
        "command": ("arg-type", "ret-type"), "event": ("arg-type",), "array": ("element-type",),
        "builtin": (), "enum": (), "object": (), "alternate": (),
    }  # fmt: skip
    yield from (str(entity[key]) for key in refers[kind])
    if kind in ("object", "alternate"):
        yield from (str(member["type"]) for member in entity["members"])
        yield from (str(variant["type"]) for variant in entity.get("variants", ()))
    elif kind == "enum":
        _values(entity)


@cache
def _schemas() -> tuple[Schema, ...]:
    return tuple(schema(name) for name in PROFILES)


def _parts(case: Case, types: Schema) -> Iterator[Part]:
    """The parts of the case that the schema has."""
    for step in case.steps:
        for one in step.get("pipeline", [step]):
            yield from _request(types, one.get("send") or one.get("until"), one.get("reply"))
        for event in step.get("any-order", [step.get("expect")]):
            yield from _event(types, event)
    for wanted in case.then:
        yield from _event(types, wanted.get("one-event"))


def _request(types: Schema, message: Any, reply: Any) -> Iterator[Part]:
    name = str(message.get("execute")) if isinstance(message, dict) else ""
    entity = types.get(name)
    if entity is None or entity["meta-type"] != "command":
        return
    yield (name,)
    yield from _inside(types, entity["arg-type"], message.get("arguments"), (name,))
    if isinstance(reply, dict) and "return" in reply:
        yield from _inside(types, entity["ret-type"], reply["return"], (name, RETURNS))


def _event(types: Schema, event: Any) -> Iterator[Part]:
    name = str(event.get("event")) if isinstance(event, dict) else ""
    entity = types.get(name)
    if entity is not None and entity["meta-type"] == "event":
        yield (name,)
        yield from _inside(types, entity["arg-type"], event.get("data"), (name,))


def _inside(types: Schema, type_name: str, value: Any, path: Part) -> Iterator[Part]:
    """The parts of a value, or of a pattern that one is to match."""
    entity = types[type_name]
    kind = entity["meta-type"]
    if isinstance(value, dict) and "$has" in value:
        value = [value["$has"]]
    if kind == "array" and isinstance(value, list):
        for element in value:
            yield from _inside(types, entity["element-type"], element, path)
    elif kind == "object" and isinstance(value, dict):
        yield from _members(types, entity, value, path)
    elif kind == "alternate":
        for member in entity["members"]:
            yield from _inside(types, member["type"], value, path)
    elif kind == "enum" and isinstance(value, str) and value in _values(entity):
        yield (*path, f"={value}")


def _members(
    types: Schema, entity: Mapping[str, Any], value: dict[str, Any], path: Part
) -> Iterator[Part]:
    for member in entity["members"]:
        if member["name"] in value and not _is_absent(value[member["name"]]):
            inner = (*path, member["name"])
            yield inner
            if member["name"] != entity.get("tag"):
                yield from _inside(types, member["type"], value[member["name"]], inner)
    chosen = value.get(entity.get("tag", ""))
    for variant in entity.get("variants", ()):
        if variant["case"] == chosen:
            inner = (*path, f":{chosen}")
            yield inner
            yield from _inside(types, variant["type"], value, inner)


def _is_absent(pattern: Any) -> bool:
    return isinstance(pattern, dict) and "$absent" in pattern


def _values(entity: Mapping[str, Any]) -> list[str]:
    """Its values; since 6.2 each is a member, too, and some have the members only."""
    return list(entity.get("values") or (member["name"] for member in entity["members"]))
