"""Two answers to query-qmp-schema: whether one is of the structure of the other.

Names of types are nobody's business, and a server may have fewer commands. What it has is compared:
each command and event with its arguments, their types, members, cases, values and features.
"""

from collections.abc import Iterable, Iterator
from typing import Any

Schema = dict[str, dict[str, Any]]

#: Where the engine offers fewer cases than QEMU.
NARROWED = {
    "blockdev-add-arg", "blockdev-create-arg.options", "object-add-arg",
    "query-blockstats-ret.driver-specific",
}  # fmt: skip


def difference(ours: Iterable[Any], theirs: Iterable[Any]) -> str:
    """The first difference; empty if all that we serve is theirs."""
    compared = Comparison(_by_name(ours), _by_name(theirs))
    return next(compared.differences(), "")


def _by_name(entities: Iterable[Any]) -> Schema:
    return {entity["name"]: entity for entity in entities}


class Comparison:
    """A comparison under way; `compared` are the pairs of types that are looked at by now."""

    def __init__(self, ours: Schema, theirs: Schema) -> None:
        self._ours, self._theirs = ours, theirs
        self.compared: set[tuple[str, str]] = set()

    def differences(self) -> Iterator[str]:
        """Where what we serve is not what they serve."""
        for name, entity in self._ours.items():
            if entity["meta-type"] not in ("command", "event"):
                continue
            if name not in self._theirs:
                yield f"{name} is not theirs"
            else:
                yield from self._compare(name, name)

    def _compare(self, mine: str, other: str) -> Iterator[str]:
        """The two entities are the same but for the names of types."""
        if (mine, other) in self.compared:
            return
        self.compared.add((mine, other))
        left, right = self._ours[mine], self._theirs[other]
        for key in ("meta-type", "json-type", "tag", "features", "allow-oob"):
            if left.get(key) != right.get(key):
                yield f"{mine}: {key}"
        for key in ("arg-type", "ret-type", "element-type"):
            if (key in left) != (key in right):
                yield f"{mine}: {key}"
            elif key in left:
                yield from self._compare(left[key], right[key])
        for part, key in (("members", "name"), ("variants", "case")):
            mine_by = {item.get(key, at): item for at, item in enumerate(left.get(part, []))}
            other_by = {item.get(key, at): item for at, item in enumerate(right.get(part, []))}
            if not _agree(mine, left, part, list(mine_by), list(other_by)):
                yield f"{mine}: {part}"
            else:
                yield from self._compare_items(mine, mine_by, other_by)

    def _compare_items(
        self, name: str, mine: dict[Any, Any], others: dict[Any, Any]
    ) -> Iterator[str]:
        for at, item in mine.items():
            if _but_type(item) != _but_type(others[at]):
                yield f"{name}: {at}"
            if "type" in item:
                yield from self._compare(item["type"], others[at]["type"])


def _agree(name: str, entity: Any, part: str, mine: list[Any], others: list[Any]) -> bool:
    """Whether the members or cases of a type are the same, or fewer where that is known."""
    narrowed = name in NARROWED or name.rpartition(".")[0] in NARROWED
    fewer = narrowed and (part == "variants" or entity["meta-type"] == "enum")
    return set(mine) <= set(others) if fewer else mine == others


def _but_type(item: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in item.items() if key != "type"}
