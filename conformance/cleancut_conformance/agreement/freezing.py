"""A state of the engine as bytes, and back: equal states give equal bytes.

Objects are written in the order in which they are first met, and by number where they are met
again, so that who holds whom is kept. For each class functions are generated from its fields. A
state that was read can be put back to what it was, which is faster than to read it again. What
cannot be written (a function with variables of its own, say) is hidden state, and refused by name.
"""

import enum
import importlib
import inspect
import marshal
import pkgutil
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, fields, is_dataclass
from functools import partial
from types import FunctionType, ModuleType
from typing import Any, Final, TypeVar

PLAIN: Final = frozenset((type(None), bool, int, float, str, bytes))
MARSHAL_VERSION: Final = 2  # later ones write equal values in several ways

#: Tags of what is no class of the package; classes have numbers from FIRST_CLASS on.
SEEN, LIST, TUPLE, DICT, SET, DEQUE, BYTEARRAY, FUNCTION, PARTIAL, MEMBER, FIRST_CLASS = range(11)

#: What empty containers are written as.
NOTHING: Final[dict[type, tuple[int]]] = {list: (LIST,), dict: (DICT,)}

Freeze = Callable[[Any, dict[int, int]], Any]
Thaw = Callable[[Any, "Kept"], Any]
Restore = Callable[[Any, Any], None]
Container = TypeVar("Container")

#: Annotations of attributes whose values need no look: they are written as they are.
PLAIN_NAMES: Final = frozenset(("bool", "int", "str", "bytes"))


class Kept(list[Any]):
    """The objects of a state by number, in the order in which they were read.

    `as_read` has how each object and container is put back to what it was then, `empty` those lists
    and dictionaries that had nothing.
    """

    def __init__(self) -> None:
        self.as_read: list[tuple[Restore, Any, Any]] = []
        self.empty: list[Any] = []


@dataclass(frozen=True, slots=True)
class Thawed:
    """A state that was read, and can be put back to what it was then."""

    state: Any
    kept: Kept

    def rewind(self) -> None:
        """Whatever has happened to the state has not."""
        for restore, made, values in self.kept.as_read:
            restore(made, values)
        for made in self.kept.empty:
            if made:
                made.clear()


def _refill(made: Any, content: Any) -> None:
    """A list or bytearray has this content."""
    made[:] = content


def _put_back(made: Any, content: Any) -> None:
    """A dictionary or set has this content, in this order."""
    made.clear()
    made.update(content)


def _line_up(made: Any, content: Any) -> None:
    """A queue has this content."""
    made.clear()
    made.extend(content)


class HiddenStateError(TypeError):
    """A state holds something that cannot be written down; the message says where."""


def _call_of(function: Callable[..., Any], *arguments: Any) -> partial[Any]:
    return partial(function, *arguments)


def _freeze_function(function: FunctionType, numbers: dict[int, int]) -> Any:
    if "<" in function.__qualname__:
        raise HiddenStateError(f"{function.__qualname__} has variables of its own: use partial")
    return (FUNCTION, function.__module__, function.__qualname__)


def _thaw_bytearray(frozen: Any, kept: Kept) -> bytearray:
    made = bytearray(frozen[1])
    kept.as_read.append((_refill, made, frozen[1]))
    return made


def _empty(made: Container, kept: Kept) -> Container:
    kept.empty.append(made)
    return made


class _Known(dict[type, Freeze]):
    """How each type is written; one that is not known is refused."""

    def __missing__(self, kind: type) -> Freeze:
        raise HiddenStateError(f"a {kind.__qualname__} cannot be written down")


def classes_of(package: ModuleType) -> Iterator[type]:
    """All classes that the modules of a package define, in the order of their names."""
    found: dict[str, type] = {}
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        if not module.name.endswith("__main__"):
            for each in vars(importlib.import_module(module.name)).values():
                if inspect.isclass(each) and each.__module__.startswith(package.__name__):
                    found[f"{each.__module__}.{each.__qualname__}"] = each
    yield from (found[name] for name in sorted(found))


def _attributes(each: type) -> list[str] | None:
    """The names of a class's attributes; None where each object has its own."""
    if is_dataclass(each):
        return [field.name for field in fields(each)]
    slots = [name for base in each.__mro__ for name in getattr(base, "__slots__", ())]
    return None if hasattr(each, "__dict__") and not slots else slots


class Freezer:
    """Writes and reads states that are made of these classes.

    Attributes that are `ignored` are not written; after reading they are what the function makes.
    Objects of the classes `constant` hold nothing that changes: of equal ones there is but one.
    """

    def __init__(
        self,
        classes: list[type],
        ignored: dict[tuple[type, str], Callable[[], Any]],
        constant: frozenset[type] = frozenset(),
    ) -> None:
        self._ignored, self._constant = ignored, constant
        self._members: list[list[Any]] = []
        self._freeze: dict[type, Freeze] = _Known()
        self._thaw: list[Thaw] = [lambda t, k: k[t[1]]]
        self._write_all, self._read_all = self._values()
        for kind, write, read in self._containers():
            self._freeze[kind] = write
            self._thaw.append(read)
        self._thaw.append(lambda t, k: self._members[t[1]][t[2]])
        for each in classes:
            self._register(each)

    def freeze(self, state: Any) -> bytes:
        """The state as bytes; raises HiddenStateError."""
        return marshal.dumps(self._freeze[type(state)](state, {}), MARSHAL_VERSION)

    def thaw(self, frozen: bytes) -> Any:
        """A new state like the one that was frozen."""
        return self.open(frozen).state

    def open(self, frozen: bytes) -> Thawed:
        """The same, of a state that is to be put back to what it was."""
        value, kept = marshal.loads(frozen), Kept()
        return Thawed(self._thaw[value[0]](value, kept), kept)

    def _containers(self) -> Iterator[tuple[type, Freeze, Thaw]]:
        """What is no class of the package, in the order of the tags."""
        write, read = self._write_all, self._read_all
        yield list, self._freeze_list, self._thaw_list
        yield tuple, lambda o, n: (TUPLE, *write(o, n)), lambda t, k: tuple(read(t, k))
        yield dict, self._freeze_dict, self._thaw_dict
        yield set, lambda o, n: (SET, *sorted(write(o, n))), self._thaw_set
        yield deque, lambda o, n: (DEQUE, *write(o, n)), self._thaw_deque
        yield bytearray, lambda o, n: (BYTEARRAY, bytes(o)), _thaw_bytearray
        yield FunctionType, _freeze_function, lambda t, k: getattr(sys.modules[t[1]], t[2])
        yield partial, self._freeze_partial, lambda t, k: _call_of(*read(t, k))

    def _freeze_partial(self, call: partial[Any], numbers: dict[int, int]) -> Any:
        if call.keywords:
            raise HiddenStateError(f"{call} has arguments by name")
        return (PARTIAL, *self._write_all((call.func, *call.args), numbers))

    def _values(self) -> tuple[Callable[..., list[Any]], Callable[..., list[Any]]]:
        """Write and read the values of a container."""
        freezers, thawers = self._freeze, self._thaw

        def frozen(values: Iterable[Any], numbers: dict[int, int]) -> list[Any]:
            return [v if type(v) in PLAIN else freezers[type(v)](v, numbers) for v in values]

        def thawed(frozen: Any, kept: Kept) -> list[Any]:
            return [thawers[v[0]](v, kept) if type(v) is tuple else v for v in frozen[1:]]

        return frozen, thawed

    def _freeze_list(self, value: list[Any], numbers: dict[int, int]) -> Any:
        found: list[Any] = [LIST]
        freezers = self._freeze
        for v in value:
            found.append(v if type(v) in PLAIN else freezers[type(v)](v, numbers))
        return tuple(found)

    def _freeze_dict(self, value: dict[Any, Any], numbers: dict[int, int]) -> Any:
        found: list[Any] = [DICT]
        freezers = self._freeze
        for key, each in value.items():
            found += (
                key if type(key) in PLAIN else freezers[type(key)](key, numbers),
                each if type(each) in PLAIN else freezers[type(each)](each, numbers),
            )
        return tuple(found)

    def _thaw_list(self, frozen: Any, kept: Kept) -> list[Any]:
        if len(frozen) == 1:
            return _empty([], kept)
        content = self._read_all(frozen, kept)
        made = content.copy()
        kept.as_read.append((_refill, made, content))
        return made

    def _thaw_dict(self, frozen: Any, kept: Kept) -> dict[Any, Any]:
        if len(frozen) == 1:
            return _empty({}, kept)
        values = self._read_all(frozen, kept)
        content = dict(zip(values[::2], values[1::2], strict=True))
        made = content.copy()
        kept.as_read.append((_put_back, made, content))
        return made

    def _thaw_set(self, frozen: Any, kept: Kept) -> set[Any]:
        content = self._read_all(frozen, kept)
        made = set(content)
        kept.as_read.append((_put_back, made, content))
        return made

    def _thaw_deque(self, frozen: Any, kept: Kept) -> deque[Any]:
        content = self._read_all(frozen, kept)
        made = deque(content)
        kept.as_read.append((_line_up, made, content))
        return made

    # ---- classes

    def _register(self, each: type) -> None:
        if issubclass(each, enum.Enum):
            members = list(each)
            places = {member: (MEMBER, len(self._members), i) for i, member in enumerate(members)}
            self._members.append(members)
            self._freeze[each] = lambda o, n: places[o]
            return
        tag = len(self._thaw)
        names = _attributes(each)
        if names is None:
            self._register_open(each, tag)
            return
        kept = [name for name in names if (each, name) not in self._ignored]
        reset = {name: self._ignored[each, name] for name in names if name not in kept}
        freeze, thaw = _generate(each, tag, kept, reset, self._freeze, self._thaw)
        if each in self._constant:
            freeze, thaw = _keep(freeze, thaw)
        self._freeze[each] = freeze
        self._thaw.append(thaw)

    def _register_open(self, each: Any, tag: int) -> None:
        """A class whose objects have a dictionary of attributes."""

        def freeze(value: Any, numbers: dict[int, int]) -> Any:
            if (number := numbers.get(id(value))) is not None:
                return (SEEN, number)
            numbers[id(value)] = len(numbers)
            return (tag, self._freeze_dict(vars(value), numbers))

        def thaw(frozen: Any, kept: Kept) -> Any:
            made = each.__new__(each)
            kept.append(made)
            content = self._thaw_dict(frozen[1], kept)
            vars(made).update(content)
            kept.as_read.append((_put_back, vars(made), content))
            return made

        self._freeze[each] = freeze
        self._thaw.append(thaw)


def _keep(freeze: Freeze, thaw: Thaw) -> tuple[Freeze, Thaw]:
    """The same for objects of which equal ones are kept, once read, as one object."""
    kept_ones: dict[Any, Any] = {}
    written: dict[int, Any] = {}  # by the identity of those

    def freeze_kept(value: Any, numbers: dict[int, int]) -> Any:
        return written.get(id(value)) or freeze(value, {})

    def thaw_kept(frozen: Any, kept: Kept) -> Any:
        found = kept_ones.get(frozen)
        if found is None:
            found = kept_ones[frozen] = thaw(frozen, Kept())
            written[id(found)] = frozen
        return found

    return freeze_kept, thaw_kept


def _is_plain(each: type, name: str) -> bool:
    """Whether an attribute is annotated as one that is written as it is."""
    kinds = {field.name: field.type for field in fields(each)} if is_dataclass(each) else {}
    kind = kinds.get(name)
    return getattr(kind, "__name__", kind) in PLAIN_NAMES


def _generate(
    each: Any,
    tag: int,
    names: list[str],
    reset: dict[str, Callable[[], Any]],
    freezers: dict[type, Freeze],
    thawers: list[Thaw],
) -> tuple[Freeze, Thaw]:
    """The functions that write and read objects of a class, straight from its attributes."""
    values = [f"v{i}" for i in range(len(names))]
    plain = [_is_plain(each, name) for name in names]
    written = [
        f"o.{name}, " if plain[i] else
        f"v{i} if type(v{i} := o.{name}) in PLAIN else freezers[type(v{i})](v{i}, numbers) "
        f"if v{i} else NOTHING.get(type(v{i})) or freezers[type(v{i})](v{i}, numbers), "
        for i, name in enumerate(names)
    ]  # fmt: skip
    read = [
        f"    v{i} = v{i} if type(v{i}) is not tuple else thawers[v{i}[0]](v{i}, kept)"
        for i in range(len(names))
        if not plain[i]
    ]
    is_constant = getattr(getattr(each, "__dataclass_params__", None), "frozen", False)
    put = "    put(o, {!r}, {})" if is_constant else "    o.{} = {}"
    set_all = [put.format(name, value) for name, value in zip(names, values, strict=True)]
    set_all += [put.format(name, f"reset[{name!r}]()") for name in reset]
    unpack = f"    [{', '.join(values)}] = values"
    keep = f"    values = [{', '.join(values)}]"
    remember = "" if is_constant else "    kept.as_read.append((restore, o, values))"
    lines = [
        "def freeze(o, numbers):",
        "    number = numbers.get(id(o))",
        "    if number is not None: return (0, number)",
        "    numbers[id(o)] = len(numbers)",
        f"    return ({tag}, {''.join(written)})",
        *("def restore(o, values):", unpack, *set_all),
        *("def thaw(t, kept):", "    o = new(each)", "    kept.append(o)", "    values = t[1:]"),
        *(unpack, *read, *set_all, keep, remember, "    return o"),
    ]
    space: dict[str, Any] = {"PLAIN": PLAIN, "NOTHING": NOTHING, "each": each, "new": each.__new__}
    space |= {"freezers": freezers, "thawers": thawers, "reset": reset, "put": object.__setattr__}
    exec(compile("\n".join(lines), f"<{each.__qualname__}>", "exec"), space)
    freeze: Any = space["freeze"]
    thaw: Any = space["thaw"]
    return freeze, thaw
