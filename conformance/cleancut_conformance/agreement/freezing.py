"""A state of the engine as bytes, and back: equal states give equal bytes.

Objects are written in the order in which they are first met, and by number where they are met
again, so that who holds whom is kept. For each class a function is generated from its fields. What
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
from dataclasses import fields, is_dataclass
from functools import partial
from types import FunctionType, ModuleType
from typing import Any, Final

PLAIN: Final = frozenset((type(None), bool, int, float, str, bytes))
MARSHAL_VERSION: Final = 2  # later ones write equal values in several ways

#: Tags of what is no class of the package; classes have numbers from FIRST_CLASS on.
SEEN, LIST, TUPLE, DICT, SET, DEQUE, BYTEARRAY, FUNCTION, PARTIAL, MEMBER, FIRST_CLASS = range(11)

_EMPTY_LIST: Final = (LIST,)
_EMPTY_DICT: Final = (DICT,)

Freeze = Callable[[Any, dict[int, int], list[Any]], Any]
Thaw = Callable[[Any, list[Any]], Any]


class HiddenStateError(TypeError):
    """A state holds something that cannot be written down; the message says where."""


def _call_of(function: Callable[..., Any], *arguments: Any) -> partial[Any]:
    return partial(function, *arguments)


def _freeze_function(function: FunctionType, numbers: dict[int, int], kept: list[Any]) -> Any:
    if "<" in function.__qualname__:
        raise HiddenStateError(f"{function.__qualname__} has variables of its own: use partial")
    return (FUNCTION, function.__module__, function.__qualname__)


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
        for kind, write, read in self._containers():
            self._freeze[kind] = write
            self._thaw.append(read)
        self._thaw.append(lambda t, k: self._members[t[1]][t[2]])
        for each in classes:
            self._register(each)

    def freeze(self, state: Any) -> bytes:
        """The state as bytes; raises HiddenStateError."""
        return marshal.dumps(self._freeze[type(state)](state, {}, []), MARSHAL_VERSION)

    def thaw(self, frozen: bytes) -> Any:
        """A new state like the one that was frozen."""
        value = marshal.loads(frozen)
        return self._thaw[value[0]](value, [])

    def _containers(self) -> Iterator[tuple[type, Freeze, Thaw]]:
        """What is no class of the package, in the order of the tags."""
        write, read = self._values()
        yield list, lambda o, n, k: (LIST, *write(o, n, k)) if o else _EMPTY_LIST, read
        yield tuple, lambda o, n, k: (TUPLE, *write(o, n, k)), lambda t, k: tuple(read(t, k))
        yield dict, self._freeze_dict, self._thaw_dict
        yield set, lambda o, n, k: (SET, *sorted(write(o, n, k))), lambda t, k: set(read(t, k))
        yield deque, lambda o, n, k: (DEQUE, *write(o, n, k)), lambda t, k: deque(read(t, k))
        yield bytearray, lambda o, n, k: (BYTEARRAY, bytes(o)), lambda t, k: bytearray(t[1])
        yield FunctionType, _freeze_function, lambda t, k: getattr(sys.modules[t[1]], t[2])
        yield partial, self._freeze_partial, lambda t, k: _call_of(*read(t, k))

    def _freeze_partial(self, call: partial[Any], numbers: dict[int, int], kept: list[Any]) -> Any:
        if call.keywords:
            raise HiddenStateError(f"{call} has arguments by name")
        return (PARTIAL, *self._values()[0]((call.func, *call.args), numbers, kept))

    def _values(self) -> tuple[Callable[..., list[Any]], Callable[..., list[Any]]]:
        """Write and read the values of a container."""
        freezers, thawers = self._freeze, self._thaw

        def frozen(values: Iterable[Any], numbers: dict[int, int], kept: list[Any]) -> list[Any]:
            return [v if type(v) in PLAIN else freezers[type(v)](v, numbers, kept) for v in values]

        def thawed(frozen: Any, kept: list[Any]) -> list[Any]:
            return [thawers[v[0]](v, kept) if type(v) is tuple else v for v in frozen[1:]]

        return frozen, thawed

    def _freeze_dict(self, value: dict[Any, Any], numbers: dict[int, int], kept: list[Any]) -> Any:
        if not value:
            return _EMPTY_DICT
        found: list[Any] = [DICT]
        freezers = self._freeze
        for key, each in value.items():
            found += (
                key if type(key) in PLAIN else freezers[type(key)](key, numbers, kept),
                each if type(each) in PLAIN else freezers[type(each)](each, numbers, kept),
            )
        return tuple(found)

    def _thaw_dict(self, frozen: Any, kept: list[Any]) -> Any:
        if len(frozen) == 1:
            return {}
        thawers = self._thaw
        values = [thawers[v[0]](v, kept) if type(v) is tuple else v for v in frozen[1:]]
        return dict(zip(values[::2], values[1::2], strict=True))

    # ---- classes

    def _register(self, each: type) -> None:
        if issubclass(each, enum.Enum):
            members = list(each)
            places = {member: (MEMBER, len(self._members), i) for i, member in enumerate(members)}
            self._members.append(members)
            self._freeze[each] = lambda o, n, k: places[o]
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

        def freeze(value: Any, numbers: dict[int, int], kept: list[Any]) -> Any:
            if (number := numbers.get(id(value))) is not None:
                return (SEEN, number)
            numbers[id(value)] = len(numbers)
            kept.append(value)
            return (tag, self._freeze_dict(vars(value), numbers, kept))

        def thaw(frozen: Any, kept: list[Any]) -> Any:
            made = each.__new__(each)
            kept.append(made)
            vars(made).update(self._thaw_dict(frozen[1], kept))
            return made

        self._freeze[each] = freeze
        self._thaw.append(thaw)


def _keep(freeze: Freeze, thaw: Thaw) -> tuple[Freeze, Thaw]:
    """The same for objects of which equal ones are kept, once read, as one object."""
    kept_ones: dict[Any, Any] = {}
    written: dict[int, Any] = {}  # by the identity of those

    def freeze_kept(value: Any, numbers: dict[int, int], kept: list[Any]) -> Any:
        return written.get(id(value)) or freeze(value, {}, [])

    def thaw_kept(frozen: Any, kept: list[Any]) -> Any:
        found = kept_ones.get(frozen)
        if found is None:
            found = kept_ones[frozen] = thaw(frozen, [])
            written[id(found)] = frozen
        return found

    return freeze_kept, thaw_kept


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
    frozen_values = [
        f"v{i} if type(v{i} := o.{name}) in PLAIN else freezers[type(v{i})](v{i}, numbers, kept), "
        for i, name in enumerate(names)
    ]
    is_constant = getattr(getattr(each, "__dataclass_params__", None), "frozen", False)
    put = "put(o, {name!r}, {value})" if is_constant else "o.{name} = {value}"
    thawed_value = "v{i} if type(v{i}) is not tuple else thawers[v{i}[0]](v{i}, kept)"
    lines = [
        "def freeze(o, numbers, kept):",
        "    number = numbers.get(id(o))",
        "    if number is not None: return (0, number)",
        "    numbers[id(o)] = len(numbers)",
        "    kept.append(o)",
        f"    return ({tag}, {''.join(frozen_values)})",
        "def thaw(t, kept):",
        "    o = new(each)",
        "    kept.append(o)",
        f"    {', '.join(['_', *values])}, = t",
        *[
            f"    {put.format(name=name, value=thawed_value.format(i=i))}"
            for i, name in enumerate(names)
        ],
        *[f"    {put.format(name=name, value=f'reset[{name!r}]()')}" for name in reset],
        "    return o",
    ]
    space = {"PLAIN": PLAIN, "freezers": freezers, "thawers": thawers, "each": each,
             "reset": reset, "new": each.__new__, "put": object.__setattr__}  # fmt: skip
    exec(compile("\n".join(lines), f"<{each.__qualname__}>", "exec"), space)
    freeze: Any = space["freeze"]
    thaw: Any = space["thaw"]
    return freeze, thaw
