"""Injected faults: which disk requests fail, by rule."""

import errno as errno_module
import re
from dataclasses import dataclass
from typing import Self

from cleancut_reference.block.request import DiskRequest, Failed, Op
from cleancut_reference.sizes import SizeError, parse_size

FORM = "NODE read|write N|@OFFSET ERRNO [always]"


class FaultError(ValueError):
    """A fault that cannot be read; the message says the form."""


@dataclass(frozen=True, slots=True)
class Fault:
    """Fail the nth request of a kind on a node, or the one that touches an offset."""

    node: str
    op: Op
    nth: int | None
    offset_bytes: int | None
    errno: str
    always: bool

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `d1 write 3 ENOSPC` or `d0.target write @2M EIO always`; raises FaultError."""
        words = text.split()
        always = len(words) == 5 and words[4] == "always"
        if len(words) != 4 and not always:
            raise FaultError(f"fault {text!r} is not of the form '{FORM}'")
        node, op, where, errno = words[:4]
        if op not in ("read", "write"):
            raise FaultError(f"fault {text!r}: {op!r} is neither read nor write")
        if not re.fullmatch(r"E[A-Z0-9]+", errno) or not hasattr(errno_module, errno):
            raise FaultError(f"fault {text!r}: {errno!r} is no errno such as EIO or ENOSPC")
        nth = offset_bytes = None
        try:
            if where.startswith("@"):
                offset_bytes = parse_size(where[1:])
            else:
                nth = int(where)
        except (SizeError, ValueError):
            raise FaultError(f"fault {text!r}: {where!r} is neither N nor @OFFSET") from None
        if nth is not None and nth < 1:
            raise FaultError(f"fault {text!r}: requests are counted from 1")
        return cls(node, Op(op), nth, offset_bytes, errno, always)


class Faults:
    """The rules in force and how often each kind of request has been seen."""

    def __init__(self, rules: list[Fault]) -> None:
        self._rules = list(rules)
        self._seen: dict[tuple[str, Op], int] = {}
        self._called: dict[str, list[str]] = {}

    def call(self, node: str, name: str) -> None:
        """From now on the rules for `name` mean this node, and those for its other names, too."""
        names = self._called.setdefault(node, [])
        if name not in names:
            names.append(name)

    def strike(self, request: DiskRequest) -> Failed | None:
        """The failure that a rule demands; a rule without `always` strikes once."""
        if request.op not in (Op.READ, Op.WRITE):
            return None
        if not self._rules:
            return None
        names = {request.node, *self._called.get(request.node, [])}
        for name in names:
            self._seen[name, request.op] = self._seen.get((name, request.op), 0) + 1
        for rule in self._rules:
            if rule.node not in names or rule.op is not request.op:
                continue
            if _covers(rule, request, self._seen[rule.node, rule.op]):
                if not rule.always:
                    self._rules.remove(rule)
                return Failed(rule.errno)
        return None


def _covers(rule: Fault, request: DiskRequest, count: int) -> bool:
    if rule.offset_bytes is not None:
        end_bytes = request.offset_bytes + request.length_bytes
        return request.offset_bytes <= rule.offset_bytes < end_bytes
    assert rule.nth is not None
    return count >= rule.nth if rule.always else count == rule.nth
