"""The rules of a blkdebug node: which of its requests fail. Pure; the edge asks it."""

import errno as errno_module
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from cleancut_reference import errors
from cleancut_reference.block.values import as_bool, as_int
from cleancut_reference.sizes import SECTOR_BYTES
from cleancut_spec.qmp import schema

#: What a rule means that names no kind of request.
DEFAULT_IOTYPES: Final = frozenset({"read", "write", "write-zeroes", "discard", "flush"})

#: What happens at a blkdebug node when a request passes it that its parent has from a format.
FROM_FORMAT: Final[Mapping[str, str]] = {"read": "read_aio", "write": "write_aio"}
#: What happens there with any request.
AT_NODE: Final[Mapping[str, tuple[str, ...]]] = {
    "write": ("pwritev",),
    "write-zeroes": ("pwritev_zero",),
    "flush": ("flush_to_os", "flush_to_disk"),
}


def event_names() -> list[str]:
    """All events that a rule or a breakpoint can name."""
    values: list[str] = schema()["blockdev-add-arg:blkdebug.inject-error.event"]["values"]
    return values


@dataclass(frozen=True, slots=True)
class Inject:
    """One `inject-error` rule; without an offset it hits any request of its kinds."""

    event: str
    iotypes: frozenset[str]
    errno: int
    once: bool
    offset_bytes: int | None
    state: int

    def hits(self, iotype: str, offset_bytes: int, length_bytes: int) -> bool:
        """Whether the rule, once it is active, makes this request fail."""
        if iotype not in self.iotypes:
            return False
        if self.offset_bytes is None:
            return True
        return offset_bytes <= self.offset_bytes < offset_bytes + length_bytes


@dataclass(frozen=True, slots=True)
class SetState:
    """One `set-state` rule."""

    event: str
    state: int
    new_state: int


class Blkdebug:
    """The rules of one node and the state that they have reached."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        self._injects = [_inject(rule) for rule in options.get("inject-error", [])]
        self._moves = [_set_state(rule) for rule in options.get("set-state", [])]
        self._state = 1
        self._active: list[Inject] = []
        self.event("none")

    def event(self, name: str) -> None:
        """Something happens in the node's parent, which may activate rules."""
        now = self._state
        found = [rule for rule in self._injects if rule.event == name and rule.state in (0, now)]
        if found:
            self._active = found[::-1]
        for move in self._moves:
            if move.event == name and move.state in (0, now):
                self._state = move.new_state

    def strike(self, iotype: str, offset_bytes: int = 0, length_bytes: int = 0) -> int:
        """The errno with which this request fails; 0 if it does not."""
        for rule in self._active:
            if rule.hits(iotype, offset_bytes, length_bytes):
                if rule.once:
                    self._active.remove(rule)
                    self._injects.remove(rule)
                return rule.errno
        return 0


def check_rules(options: Mapping[str, Any]) -> None:
    """Refuse rules that cannot be read; raises QmpError."""
    for kind in ("inject-error", "set-state"):
        for rule in options.get(kind, []):
            if rule.get("event") not in event_names():
                raise errors.generic(f"invalid parameter value: {rule.get('event')}")
    Blkdebug(options)


def _inject(rule: Mapping[str, Any]) -> Inject:
    sector = as_int("sector", rule.get("sector", -1))
    iotype = rule.get("iotype")
    return Inject(
        event=rule["event"],
        iotypes=frozenset({iotype}) if iotype else DEFAULT_IOTYPES,
        errno=as_int("errno", rule.get("errno", errno_module.EIO)),
        once=as_bool("once", rule.get("once", False)),
        offset_bytes=None if sector < 0 else sector * SECTOR_BYTES,
        state=as_int("state", rule.get("state", 0)),
    )


def _set_state(rule: Mapping[str, Any]) -> SetState:
    return SetState(
        rule["event"],
        as_int("state", rule.get("state", 0)),
        as_int("new_state", rule.get("new_state", 0)),
    )
