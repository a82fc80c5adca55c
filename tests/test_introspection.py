"""What the server tells of its schema is what QEMU tells of it, but for what it has not."""

from collections.abc import Iterator
from typing import Any

import pytest

from cleancut_reference.commands import COMMANDS
from cleancut_reference.introspection import served
from tests.pair import needs_qemu, pair

Schema = dict[str, dict[str, Any]]

#: Where the server offers fewer cases than QEMU.
NARROWED = {
    "blockdev-add-arg", "blockdev-create-arg.options", "object-add-arg",
    "query-blockstats-ret.driver-specific",
}  # fmt: skip


def test_every_type_that_is_used_is_served() -> None:
    entities = served(COMMANDS)
    names = {entity["name"] for entity in entities}
    assert names >= set(COMMANDS) and len(names) == len(entities)
    assert set(types(entities)) <= names


def types(value: Any) -> Iterator[str]:
    """All names of types in a piece of the schema."""
    if isinstance(value, list):
        for part in value:
            yield from types(part)
    elif isinstance(value, dict):
        for key, part in value.items():
            if key in ("type", "arg-type", "ret-type", "element-type"):
                yield part
            else:
                yield from types(part)


@pytest.mark.qemu
@needs_qemu
def test_the_schema_is_that_of_qemu(tmp_path_factory: pytest.TempPathFactory) -> None:
    with pair(tmp_path_factory.mktemp("p")) as both:
        query = {"execute": "query-qmp-schema"}
        ours, theirs = (
            {entity["name"]: entity for entity in side.send(query)["return"]}
            for side in (both.ours, both.qemu)
        )
        listed = [
            {command["name"] for command in side.send({"execute": "query-commands"})["return"]}
            for side in (both.ours, both.qemu)
        ]
    for names, entities in zip(listed, (ours, theirs), strict=True):
        assert names == {n for n, each in entities.items() if each["meta-type"] == "command"}
    assert listed[0] <= listed[1]
    compared: set[tuple[str, str]] = set()
    for name, entity in ours.items():
        if entity["meta-type"] in ("command", "event"):
            compare(ours, theirs, name, name, compared)
    assert len(compared) > 100


def compare(
    ours: Schema, theirs: Schema, mine: str, other: str, compared: set[tuple[str, str]]
) -> None:
    """The two entities are the same but for the names of types."""
    if (mine, other) in compared:
        return
    compared.add((mine, other))
    left, right = ours[mine], theirs[other]
    assert left["meta-type"] == right["meta-type"], mine
    for key in ("json-type", "tag", "features", "allow-oob"):
        assert left.get(key) == right.get(key), (mine, key)
    for key in ("arg-type", "ret-type", "element-type"):
        assert (key in left) == (key in right), (mine, key)
        if key in left:
            compare(ours, theirs, left[key], right[key], compared)
    narrowed = mine in NARROWED or mine.rpartition(".")[0] in NARROWED
    for part, key in (("members", "name"), ("variants", "case")):
        mine_by = {item.get(key, at): item for at, item in enumerate(left.get(part, []))}
        other_by = {item.get(key, at): item for at, item in enumerate(right.get(part, []))}
        if narrowed and (part == "variants" or left["meta-type"] == "enum"):
            assert mine_by.keys() <= other_by.keys(), mine
        else:
            assert list(mine_by) == list(other_by), mine
        for at, item in mine_by.items():
            assert {k: v for k, v in item.items() if k != "type"} == {
                k: v for k, v in other_by[at].items() if k != "type"
            }, (mine, at)
            if "type" in item:
                compare(ours, theirs, item["type"], other_by[at]["type"], compared)
