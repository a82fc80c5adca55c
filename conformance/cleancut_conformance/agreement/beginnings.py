"""The transactions with which a client may begin: what an action is refused for, and the order."""

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from cleancut_conformance.agreement.bench import (
    AT_LAST,
    AT_ONCE,
    HALFWAY,
    LOCKED,
    Bench,
    changes_bitmaps,
    in_order,
    transaction,
)
from cleancut_model.options import Options

#: The actions of a transaction by verb and drive; `prepare` is a backup.
Order = tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class Beginning:
    """A transaction of an instance; a backup may be refused at some point, or an `abort` last."""

    order: Order
    refused: int | None = None
    by: Mapping[str, Any] = field(default_factory=dict)
    aborts: bool = False

    def give(self, bench: Bench, options: Options) -> None:
        """The client sends it, and it is taken up."""
        asked = transaction(options, self.refused, self.by)
        asked["actions"] = in_order(asked["actions"], self.order, bench.sources)
        if self.aborts:
            asked["actions"].append({"type": "abort", "data": {}})
        bench.doomed = self.refused is not None or self.aborts
        bench.command("transaction", **asked)


def beginnings(bench: Bench, options: Options) -> list[Beginning]:
    """As it is meant, and with what may be refused; with the bitmap actions that there are."""
    ways = [
        (drive, by)
        for drive in range(options.drives)
        for by in (AT_ONCE, HALFWAY[drive % 2], AT_LAST, LOCKED)
        if by is not LOCKED or changes_bitmaps(options)
    ]
    found = []
    for order in _orders(bench, options):
        found.append(Beginning(order))
        found += [Beginning(order, refused, by) for refused, by in ways]
        found += [Beginning(order, aborts=True)] if options.other else []
    return found


def _orders(bench: Bench, options: Options) -> list[Order]:
    of_drives = [list(_of_drive(bench, options, drive)) for drive in range(options.drives)]
    return [tuple(itertools.chain(*each)) for each in itertools.product(*of_drives)]


def _of_drive(bench: Bench, options: Options, drive: int) -> Iterator[Order]:
    """The drive's backup, and before or after it one change of its bitmap, or none."""
    backup = ("prepare", drive)
    yield (backup,)
    for verb in _verbs(bench, drive) if options.changes else ():
        yield (verb, drive), backup
        yield backup, (verb, drive)


def _verbs(bench: Bench, drive: int) -> tuple[str, ...]:
    """Changes that change something, and those that are refused: one is like another."""
    bitmap = bench.bitmap(drive)
    if bitmap is None:
        return ("add", "clear")
    return ("add", "clear", "merge", "disable" if bitmap.enabled else "enable")
