"""A state of the engine as bytes, and back: equal states give equal bytes.

Objects are written in the order in which they are first met, and by number where they are met
again, so that who holds whom is kept. For each class functions are generated from its fields. A
state that was read can be put back to what it was, which is faster than to read it again. What
cannot be written (a function with variables of its own, say) is hidden state, and refused by name.
"""

import enum
import importlib
import inspect
import io
import pickle
import pkgutil
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, fields, is_dataclass
from functools import partial
from operator import eq
from types import FunctionType, ModuleType
from typing import Any, TypeVar

from cleancut_conformance.agreement.generated import (
    BYTEARRAY,
    DICT,
    FUNCTION,
    LIST,
    MEMBER,
    PARTIAL,
    PLAIN,
    SEEN,
    SET,
    TUPLE,
    Freeze,
    Numbers,
    Restore,
    Same,
    Thaw,
    functions_of,
)

Container = TypeVar("Container")


class Kept(list[Any]):
    """The objects of a state by number, in the order in which they were read.

    `as_read` has how each object and container is put back to what it was then, how one sees that
    it still is so, and what it was; `empty` those lists and dictionaries that had nothing.
    """

    def __init__(self) -> None:
        self.as_read: list[tuple[Restore, Same, Any, Any]] = []
        self.empty: list[Any] = []


@dataclass(slots=True)
class Thawed:
    """A state that was read, and can be put back to what it was then."""

    state: Any
    kept: Kept
    _spare: dict[type, list[Any]]
    _lent: bool = False

    def fresh(self) -> Any:
        """The state, to be changed: whatever has happened to it before has not."""
        if self._lent:
            for restore, _, made, values in self.kept.as_read:
                restore(made, values)
            for made in self.kept.empty:
                if made:
                    made.clear()
        self._lent = True
        return self.state

    def give_up(self) -> None:
        """The state is not wanted any more: what it is made of becomes part of others."""
        for made in self.kept:
            self._spare[type(made)].append(made)
        self.kept = Kept()

    def is_unchanged(self) -> bool:
        """Whether it is sure that nothing has happened to the state: it need not be put back."""
        unchanged = all(same(made, values) for _, same, made, values in self.kept.as_read)
        unchanged = unchanged and not any(self.kept.empty)
        self._lent = self._lent and not unchanged
        return unchanged


def _refill(made: Any, content: Any) -> None:
    """A list or bytearray has this content."""
    made[:] = content


def _put_back(made: Any, content: Any) -> None:
    """A dictionary or set has this content, in this order."""
    made.clear()
    made.update(content)


def _is_in_order(made: Any, content: Any) -> bool:
    """Whether a dictionary has this content, in this order."""
    return bool(made == content) and list(made) == list(content)


class HiddenStateError(TypeError):
    """A state holds something that cannot be written down; the message says where."""


def _call_of(function: Callable[..., Any], *arguments: Any) -> partial[Any]:
    return partial(function, *arguments)


class _Packer(pickle.Pickler):
    """Packs plain values only."""

    def reducer_override(self, value: Any) -> Any:
        """Asked of whatever is not plain: an attribute holds what its annotation does not say."""
        raise HiddenStateError(f"a {type(value).__qualname__} is no plain value")


def _packed(value: tuple[Any, ...]) -> bytes:
    """Plain values as bytes; without a memo, which would write equal ones in several ways."""
    buffer = io.BytesIO()
    pickler = _Packer(buffer, 4)
    pickler.fast = True
    pickler.dump(value)
    return buffer.getvalue()


def _freeze_function(function: FunctionType, numbers: Numbers) -> Any:
    if "<" in function.__qualname__:
        raise HiddenStateError(f"{function.__qualname__} has variables of its own: use partial")
    return (FUNCTION, function.__module__, function.__qualname__)


def _thaw_bytearray(frozen: Any, kept: Kept) -> bytearray:
    made = bytearray(frozen[1])
    kept.as_read.append((_refill, eq, made, frozen[1]))
    return made


def _read_plain(frozen: Any) -> dict[str, Any]:
    half = len(frozen) // 2 + 1
    return dict(zip(frozen[1:half], frozen[half:], strict=True))


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
                if not inspect.isclass(each) or issubclass(each, tuple):
                    continue  # a named tuple's attributes are no slots: none belongs to a state
                if each.__module__.startswith(package.__name__):
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
        self._fixed: Numbers = {}  # how objects are written of which there is but one
        self._spare: dict[type, list[Any]] = {each: [] for each in classes}
        self._freeze: dict[type, Freeze] = _Known()
        self._thaw: list[Thaw] = [lambda t, k: k[t[1]]]
        self._write_all, self._read_all = self._values()
        for kind, write, read in self._containers():
            self._freeze[kind] = write
            self._thaw.append(read)
        self._thaw.append(lambda t, k: self._members[t[1]][t[2]])
        self._kinds: dict[str, str] = {}  # of the classes, by their names
        for each in classes:
            written = "one of few" if each in constant or issubclass(each, enum.Enum) else "object"
            several = self._kinds.setdefault(each.__name__, written) != written
            self._kinds[each.__name__] = "either" if several else written
        for each in classes:
            self._register(each)

    def freeze(self, state: Any) -> bytes:
        """The state as bytes; raises HiddenStateError."""
        return _packed(self._freeze[type(state)](state, {}))

    def thaw(self, frozen: bytes) -> Any:
        """A new state like the one that was frozen."""
        return self.open(frozen).state

    def open(self, frozen: bytes) -> Thawed:
        """The same, of a state that is to be put back to what it was."""
        value, kept = pickle.loads(frozen), Kept()
        return Thawed(self._thaw[value[0]](value, kept), kept, self._spare)

    def _containers(self) -> Iterator[tuple[type, Freeze, Thaw]]:
        """What is no class of the package, in the order of the tags."""
        write, read = self._write_all, self._read_all
        yield list, lambda o, n: (LIST, *write(o, n)), self._thaw_list
        yield tuple, lambda o, n: (TUPLE, *write(o, n)), lambda t, k: tuple(read(t, k))
        pairs: Freeze = lambda o, n: (DICT, *write(o, n), *write(o.values(), n))  # noqa: E731
        yield dict, pairs, self._thaw_dict
        yield set, lambda o, n: (SET, *sorted(write(o, n))), self._thaw_set
        yield bytearray, lambda o, n: (BYTEARRAY, bytes(o)), _thaw_bytearray
        yield FunctionType, _freeze_function, lambda t, k: getattr(sys.modules[t[1]], t[2])
        yield partial, self._freeze_partial, lambda t, k: _call_of(*read(t, k))

    def _freeze_partial(self, call: partial[Any], numbers: Numbers) -> Any:
        if call.keywords:
            raise HiddenStateError(f"{call} has arguments by name")
        return (PARTIAL, *self._write_all((call.func, *call.args), numbers))

    def _values(self) -> tuple[Callable[..., list[Any]], Callable[..., list[Any]]]:
        """Write and read the values of a container."""
        freezers, thawers, fixed = self._freeze, self._thaw, self._fixed

        def frozen(values: Iterable[Any], numbers: Numbers) -> list[Any]:
            return [
                v
                if type(v) in PLAIN
                else fixed.get(id(v)) or numbers.get(id(v)) or freezers[type(v)](v, numbers)
                for v in values
            ]

        def thawed(frozen: Any, kept: Kept) -> list[Any]:
            return [thawers[v[0]](v, kept) if type(v) is tuple else v for v in frozen[1:]]

        return frozen, thawed

    def _freeze_objects(self, value: list[Any], numbers: Numbers) -> Any:
        """A list of objects only."""
        found: list[Any] = [LIST]
        freezers, fixed = self._freeze, self._fixed
        for v in value:
            found.append(numbers.get(id(v)) or fixed.get(id(v)) or freezers[type(v)](v, numbers))
        return tuple(found)

    def _freeze_named(self, value: dict[str, Any], numbers: Numbers) -> Any:
        """A dictionary of objects by name."""
        found: list[Any] = [DICT, *value]
        freezers, fixed = self._freeze, self._fixed
        for v in value.values():
            found.append(numbers.get(id(v)) or fixed.get(id(v)) or freezers[type(v)](v, numbers))
        return tuple(found)

    def _thaw_list(self, frozen: Any, kept: Kept) -> list[Any]:
        if len(frozen) == 1:
            return _empty([], kept)
        content = self._read_all(frozen, kept)
        made = content.copy()
        kept.as_read.append((_refill, eq, made, content))
        return made

    def _thaw_dict(self, frozen: Any, kept: Kept) -> dict[Any, Any]:
        if len(frozen) == 1:
            return _empty({}, kept)
        content = self._read_pairs(frozen, kept)
        made = content.copy()
        kept.as_read.append((_put_back, _is_in_order, made, content))
        return made

    def _read_pairs(self, frozen: Any, kept: Kept) -> dict[Any, Any]:
        values = self._read_all(frozen, kept)
        half = len(values) // 2
        return dict(zip(values[:half], values[half:], strict=True))

    def _read_named(self, frozen: Any, kept: Kept) -> dict[str, Any]:
        thawers, half = self._thaw, len(frozen) // 2 + 1
        values = [thawers[v[0]](v, kept) if v[0] else kept[v[1]] for v in frozen[half:]]
        return dict(zip(frozen[1:half], values, strict=True))

    def _read_objects(self, frozen: Any, kept: Kept) -> list[Any]:
        thawers = self._thaw
        return [thawers[v[0]](v, kept) if v[0] else kept[v[1]] for v in frozen[1:]]

    def _thaw_set(self, frozen: Any, kept: Kept) -> set[Any]:
        content = set(self._read_all(frozen, kept))
        made = content.copy()
        kept.as_read.append((_put_back, eq, made, content))
        return made

    # ---- classes

    def _register(self, each: type) -> None:
        if issubclass(each, enum.Enum):
            members = list(each)
            places = {member: (MEMBER, len(self._members), i) for i, member in enumerate(members)}
            self._members.append(members)
            self._freeze[each] = lambda o, n: places[o]
            self._fixed |= {id(member): place for member, place in places.items()}
            return
        tag = len(self._thaw)
        names = _attributes(each)
        if names is None:
            self._register_open(each, tag)
            return
        kept = [name for name in names if (each, name) not in self._ignored]
        reset = {name: self._ignored[each, name] for name in names if name not in kept}
        space = {
            "fixed": self._fixed,
            "freezers": self._freeze,
            "thawers": self._thaw,
            "freeze_list": self._freeze[list],
            "freeze_tuple": self._freeze[tuple],
            "freeze_dict": self._freeze[dict],
            "freeze_objects": self._freeze_objects,
            "freeze_named": self._freeze_named,
            "read_all": self._read_all,
            "read_pairs": self._read_pairs,
            "read_objects": self._read_objects,
            "read_named": self._read_named,
            "read_plain": _read_plain,
            "reset": reset,
            "spare": self._spare[each],
        }
        freeze, thaw = functions_of(each, tag, kept, self._kinds, space)
        if each in self._constant:
            freeze, thaw = _keep(freeze, thaw, tag, self._fixed)
        self._freeze[each] = freeze
        self._thaw.append(thaw)

    def _register_open(self, each: Any, tag: int) -> None:
        """A class whose objects have a dictionary of attributes."""

        def freeze(value: Any, numbers: Numbers) -> Any:
            numbers[id(value)] = SEEN, len(numbers)
            return (tag, self._freeze[dict](vars(value), numbers))

        def thaw(frozen: Any, kept: Kept) -> Any:
            made = self._spare[each].pop() if self._spare[each] else each.__new__(each)
            kept.append(made)
            content = self._thaw_dict(frozen[1], kept)
            vars(made).clear()
            vars(made).update(content)
            kept.as_read.append((_put_back, _is_in_order, vars(made), content))
            return made

        self._freeze[each] = freeze
        self._thaw.append(thaw)


def _keep(freeze: Freeze, thaw: Thaw, tag: int, fixed: Numbers) -> tuple[Freeze, Thaw]:
    """The same for objects of which equal ones are kept, once read, as one object.

    They are written as bytes, which are not looked into where the object is known.
    """
    kept_ones: dict[bytes, Any] = {}

    def freeze_kept(value: Any, numbers: Numbers) -> Any:
        return tag, _packed(freeze(value, {}))

    def thaw_kept(frozen: Any, kept: Kept) -> Any:
        found = kept_ones.get(frozen[1])
        if found is None:
            found = kept_ones[frozen[1]] = thaw(pickle.loads(frozen[1]), Kept())
            fixed[id(found)] = frozen
        return found

    return freeze_kept, thaw_kept
