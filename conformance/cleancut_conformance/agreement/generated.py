"""The functions that write, read and put back the objects of a class, made from its attributes.

What an attribute is annotated as decides how it is written: as it is, by the number of an object
that was met, as one of few that never change, or as a container, which often is empty and then is
written as None.
"""

import re
from collections import deque
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from typing import Any, Final

PLAIN: Final = frozenset((type(None), bool, int, float, str, bytes))

#: Tags of what is no class of the package; classes have numbers from FIRST_CLASS on.
SEEN, LIST, TUPLE, DICT, SET, BYTEARRAY, FUNCTION, PARTIAL, MEMBER, FIRST_CLASS = range(10)

#: Annotations of attributes whose values need no look.
PLAIN_NAMES: Final = frozenset(("bool", "int", "str", "bytes"))

CONTAINER: Final = re.compile(r"(list|dict|deque|tuple)\[(?:(\w+), )?(.*)\]")

Numbers = dict[int, Any]  # by the identity of an object that was met: how it is written again
Freeze = Callable[[Any, Numbers], Any]
Thaw = Callable[[Any, Any], Any]
Restore = Callable[[Any, Any], None]
Same = Callable[[Any, Any], bool]

#: How an attribute is written, by its kind: `x` is its value, `v` a variable.
WRITE: Final = {
    "plain": "{x}",
    "bytearray": f"({BYTEARRAY}, bytes({{x}}))",
    "tuple": "freeze_tuple({v}, numbers) if ({v} := {x}) else None",
    "mapping": "freeze_dict({v}, numbers) if ({v} := {x}) else None",
    "deque": "freeze_list({v}, numbers) if ({v} := {x}) else None",
    "list": "freeze_list({v}, numbers) if ({v} := {x}) else None",
    "list of plain": f"({LIST}, *{{v}}) if ({{v}} := {{x}}) else None",
    "list of object": "freeze_objects({v}, numbers) if ({v} := {x}) else None",
    "dict": "freeze_dict({v}, numbers) if ({v} := {x}) else None",
    "dict of plain": f"({DICT}, *{{v}}, *{{v}}.values()) if ({{v}} := {{x}}) else None",
    "dict of object": "freeze_named({v}, numbers) if ({v} := {x}) else None",
    "object": "numbers.get(id({v} := {x})) or freezers[type({v})]({v}, numbers)",
    "one of few": "fixed.get(id({v} := {x})) or freezers[type({v})]({v}, numbers)",
    "either": "numbers.get(id({v} := {x})) or fixed.get(id({v})) "
    "or freezers[type({v})]({v}, numbers)",
    "object or none": "{v} if ({v} := {x}) is None else numbers.get(id({v})) "
    "or freezers[type({v})]({v}, numbers)",
    "any": "{v} if type({v} := {x}) in PLAIN else numbers.get(id({v})) or fixed.get(id({v})) "
    "or freezers[type({v})]({v}, numbers)",
}
#: How it is read: `v` is what was written, and then the value; `c` is what a container holds.
READ: Final = {
    "bytearray": "{c} = {v}[1]",
    "tuple": f"{{v}} = thawers[{TUPLE}]({{v}}, kept) if {{v}} else ()",
    "mapping": "{v} = read_pairs({v}, kept) if {v} else {{}}",
    "deque": "{c} = read_all({v}, kept) if {v} else NO_LIST",
    "list": "{c} = read_all({v}, kept) if {v} else NO_LIST",
    "list of plain": "{c} = list({v}[1:]) if {v} else NO_LIST",
    "list of object": "{c} = read_objects({v}, kept) if {v} else NO_LIST",
    "dict": "{c} = read_pairs({v}, kept) if {v} else NO_DICT",
    "dict of plain": "{c} = read_plain({v}) if {v} else NO_DICT",
    "dict of object": "{c} = read_named({v}, kept) if {v} else NO_DICT",
    "object": "{v} = thawers[{v}[0]]({v}, kept) if {v}[0] else kept[{v}[1]]",
    "one of few": "{v} = thawers[{v}[0]]({v}, kept)",
    "either": "{v} = thawers[{v}[0]]({v}, kept)",
    "object or none": "if {v} is not None: {v} = thawers[{v}[0]]({v}, kept)",
    "any": "if type({v}) is tuple: {v} = thawers[{v}[0]]({v}, kept)",
}
#: A new container with that.
MADE: Final = {
    "bytearray": "{v} = bytearray({c})",
    "deque": "{v} = deque({c})",
    "list": "{v} = {c}.copy()",
    "dict": "{v} = {c}.copy()",
}
#: How a container gets back what it held, a dictionary in the same order.
REFILL: Final = {
    "bytearray": "{v}[:] = {c}",
    "deque": "if {v} or {c}: {v}.clear(); {v}.extend({c})",
    "list": "if {v} or {c}: {v}[:] = {c}",
    "dict": "if {v} or {c}: {v}.clear(); {v}.update({c})",
}
#: Whether it holds that.
HOLDS: Final = {
    "bytearray": "{v} == {c}",
    "deque": "list({v}) == {c}",
    "list": "{v} == {c}",
    "dict": "{v} == {c} and (len({c}) < 2 or list({v}) == list({c}))",
}


def _kind(each: type, name: str, known: dict[str, str]) -> str:
    """The kind of an attribute, after its annotation; `known` are the names of classes."""
    kinds = {field.name: field.type for field in fields(each)} if is_dataclass(each) else {}
    annotated = kinds.get(name, "")
    if not isinstance(annotated, str):
        whole = hasattr(annotated, "__args__")
        annotated = str(annotated) if whole else getattr(annotated, "__name__", "")

    def kind_of(word: str) -> str:
        return "plain" if word in PLAIN_NAMES else known.get(word, "")

    annotated = re.sub(r"\w+\.", "", annotated)
    if annotated.startswith("Mapping["):
        return "mapping"
    if (either := annotated.removesuffix(" | None")) != annotated:
        return "object or none" if kind_of(either) == "object" else "any"
    if annotated == "bytearray" or not (found := CONTAINER.fullmatch(annotated)):
        return annotated if annotated in REFILL else kind_of(annotated) or "any"
    container, key, element = found.groups()
    inner = kind_of(element) if container in ("list", "dict") and key in (None, "str") else ""
    return f"{container} of {'plain' if inner == 'plain' else 'object'}" if inner else container


def functions_of(
    each: Any, tag: int, names: list[str], known: dict[str, str], space: dict[str, Any]
) -> tuple[Freeze, Thaw]:
    """The functions that write and read objects of a class with these attributes.

    `known` has the names of the classes whose objects can be written, and of which kind those are;
    `space` has what the functions call, and as `reset` what makes the attributes not written.
    """
    kinds = {name: _kind(each, name, known) for name in names}
    if is_constant := getattr(getattr(each, "__dataclass_params__", None), "frozen", False):
        kinds = {n: "any" if kind.split()[0] in REFILL else kind for n, kind in kinds.items()}
    put = "put(o, {!r}, {})" if is_constant else "o.{} = {}"

    def words(name: str) -> dict[str, Any]:
        i = names.index(name)
        return {"v": f"v{i}", "c": f"c{i}", "x": f"o.{name}"}

    def lines(table: dict[str, str], whole: bool = False) -> list[str]:
        """A line of a table for each attribute, by the kind, or by its first word."""
        found = [(kind if whole else kind.split()[0], words(name)) for name, kind in kinds.items()]
        return [table[kind].format_map(each) for kind, each in found if kind in table]

    values = [f"v{i}" for i in range(len(names))]
    contents = [f"c{i}" for i, kind in enumerate(kinds.values()) if kind.split()[0] in REFILL]
    all_v, all_values = ", ".join(values), ", ".join((*values, *contents))
    set_all = [put.format(name, value) for name, value in zip(names, values, strict=True)]
    set_all += [put.format(name, f"reset[{name!r}]()") for name in space["reset"]]
    unchanged = [f"o.{name} is {value}" for name, value in zip(names, values, strict=True)]
    text = [
        "def freeze(o, numbers):",
        f"  numbers[id(o)] = {SEEN}, len(numbers)",
        f"  return ({tag}, {''.join(f'{line}, ' for line in lines(WRITE, whole=True))})",
        *("def restore(o, values):", f"  [{all_values}] = values"),
        *(f"  {line}" for line in (*set_all, *lines(REFILL))),
        *("def same(o, values):", f"  [{all_values}] = values"),
        f"  return {' and '.join((*unchanged, *lines(HOLDS)))}",
        *("def thaw(t, kept):", "  o = spare.pop() if spare else new(each)", "  kept.append(o)"),
        f"  [_, {all_v}] = t",
        *(f"  {line}" for line in (*lines(READ, whole=True), *lines(MADE), *set_all)),
        "" if is_constant else f"  kept.as_read.append((restore, same, o, [{all_values}]))",
        "  return o",
    ]
    space = {**space, "each": each, "new": each.__new__, "put": object.__setattr__, "PLAIN": PLAIN}
    space |= {"NO_LIST": [], "NO_DICT": {}, "deque": deque}
    exec(compile("\n".join(text), f"<{each.__qualname__}>", "exec"), space)
    return space["freeze"], space["thaw"]
