"""What the server tells of its schema is what QEMU tells of it, but for what it has not."""

from collections.abc import Iterator
from typing import Any

import pytest

from cleancut_reference.commands import COMMANDS
from cleancut_reference.introspection import served
from tests.dialogues.schemas import Comparison
from tests.pair import needs_qemu, pair


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
    comparison = Comparison(ours, theirs)
    assert not list(comparison.differences())
    assert len(comparison.compared) > 100
