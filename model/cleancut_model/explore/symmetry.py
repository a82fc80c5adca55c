"""Symmetry: of all states that differ only in the names of clusters, or of drives, one is kept.

The clusters of a drive may always be renamed, each drive's on its own: no action tells them apart,
but for those of another kind, which differ in a variable that never changes.
Drives stand in the order of the transaction, so they are alike only once it is over, only if no
other will follow, and only if they began alike; a search by rows keeps them apart all the same. The
smallest state of those that are alike stands for them.
"""

from collections.abc import Iterator, Mapping
from itertools import pairwise

from cleancut_model.backup import Backup
from cleancut_model.explore.layout import WORD_BITS, Layout, Place, cluster_of, drive_of
from cleancut_model.finite import Finite, Name


class Symmetry:
    """Writes `canonical`, which makes a packed state the smallest of those that are alike."""

    def __init__(self, protocol: Backup, language: Finite, layout: Layout) -> None:
        self._protocol, self._language, self._layout = protocol, language, layout
        self._drives = range(len(protocol.drive.values))
        self._clusters = range(len(protocol.cluster.values))

    def text(self) -> str:
        """The C functions `canonical` and `alike`, the number of states that one stands for.

        The drives stay where they are in a search by rows.
        """
        lines = ["static inline void canonical(word *s)", "{", "    word a, b, x;"]
        for drive in self._drives:
            for kind in self._kinds(drive):
                for one, other in _network(len(kind)):
                    lines += self._order_clusters(drive, kind[one], kind[other])
        lines += ["#if !ROWS", *self._order_drives(), "#endif", "}", ""]
        lines += ["static inline unsigned alike(const word *s)", "{", "    unsigned n = 1, run;"]
        lines.append("    word a, b;")
        for drive in self._drives:
            for kind in self._kinds(drive):
                lines += self._count([self._key(drive, cluster) for cluster in kind])
        if self._drives_are_alike():
            lines += ["#if !ROWS", f"    if ({self._over()}) {{"]
            lines += self._count([self._drive_key(drive) for drive in self._drives])
            lines += ["    }", "#endif"]
        return "\n".join([*lines, "    return n;", "}"]) + "\n"

    def _kinds(self, drive: int) -> list[list[int]]:
        """The clusters of a drive, those together that are alike in what never changes."""
        initial = self._language.initial()
        kinds: dict[tuple[int, ...], list[int]] = {}
        for cluster in self._clusters:
            kind = tuple(
                initial[name]
                for name, place in self._layout.places.items()
                if not place.bits
                and drive_of(self._language, name) == drive
                and cluster_of(self._language, name) == cluster
            )
            kinds.setdefault(kind, []).append(cluster)
        return list(kinds.values())

    def _order_clusters(self, drive: int, one: int, other: int) -> list[str]:
        """Exchange two clusters if they are in the wrong order."""
        lines = [f"    a = {self._key(drive, one)}; b = {self._key(drive, other)};"]
        lines.append("    if (a > b) {")
        lines += _exchange(self._group(drive, one), self._group(drive, other))
        for phase, at in self._requests(drive):
            held = f"({_get(phase)} && ({_get(at)} == {one} || {_get(at)} == {other}))"
            lines.append(f"        if {held} s[{at.word}] ^= {one ^ other}ull << {at.shift};")
        return [*lines, "    }"]

    def _key(self, drive: int, cluster: int) -> str:
        """What a cluster is: what it holds, and which requests are at it."""
        parts = [(_get(place), place.bits) for place in _joined(self._group(drive, cluster))]
        for phase, at in self._requests(drive):
            parts.append((f"({_get(phase)} && {_get(at)} == {cluster})", 1))
        return _number(parts)

    def _group(self, drive: int, cluster: int) -> list[Place]:
        return [
            place
            for name, place in self._layout.places.items()
            if place.bits
            and drive_of(self._language, name) == drive
            and cluster_of(self._language, name) == cluster
        ]

    def _requests(self, drive: int) -> Iterator[tuple[Place, Place]]:
        """The phase and the cluster of each guest request and background copy."""
        places: Mapping[Name, Place] = self._layout.places
        for phase, at in (("g", "gc"), ("b", "bc")):
            for name, place in places.items():
                if name[0] == at and name[1][0] == drive and place.bits:
                    yield places[phase, name[1]], place

    def _drives_are_alike(self) -> bool:
        """Whether there is a time when they are, and a drive fits into a word to be compared."""
        bits = sum(place.bits for place in self._of_drive(0))
        begins: dict[int, list[int]] = {}
        for name, value in self._language.initial().items():
            begins.setdefault(drive_of(self._language, name), []).append(value)
        alike = all(begins[drive] == begins[0] for drive in self._drives)
        return alike and not self._protocol.options.repeats and bits <= WORD_BITS

    def _over(self) -> str:
        """The transaction is over."""
        tx, names = self._layout.places["tx", ()], self._protocol.tx.names
        over = [name for name in ("DONE", "FAILED", "DEAD") if name in names]
        return " || ".join(f"{_get(tx)} == {names.index(name)}" for name in over)

    def _order_drives(self) -> list[str]:
        """Exchange drives that are alike once no transaction is to come."""
        if not self._drives_are_alike():
            return []
        lines = [f"    if ({self._over()}) {{"]
        for one, other in _network(len(self._drives)):
            lines.append(f"    a = {self._drive_key(one)}; b = {self._drive_key(other)};")
            lines.append("    if (a > b) {")
            lines += _exchange(self._of_drive(one), self._of_drive(other))
            lines.append("    }")
        return [*lines, "    }"]

    def _drive_key(self, drive: int) -> str:
        return _number([(_get(place), place.bits) for place in _joined(self._of_drive(drive))])

    def _of_drive(self, drive: int) -> list[Place]:
        places = self._layout.places.items()
        return [p for name, p in places if p.bits and drive_of(self._language, name) == drive]

    @staticmethod
    def _count(keys: list[str]) -> list[str]:
        """The number of orders of what has these keys: those alike stand next to each other."""
        lines = ["    run = 1;"]
        for number, (before, this) in enumerate(pairwise(keys), start=2):
            lines.append(f"    a = {before}; b = {this};")
            lines.append("    run = a == b ? run + 1 : 1;")
            lines.append(f"    n = n * {number} / run;")
        return lines


def _network(size: int) -> Iterator[tuple[int, int]]:
    """Compare these pairs in this order, and the sequence is sorted."""
    for end in range(size - 1, 0, -1):
        for at in range(end):
            yield at, at + 1


def _get(place: Place) -> str:
    return f"(s[{place.word}] >> {place.shift} & {(1 << place.bits) - 1}ull)"


def _joined(places: list[Place]) -> list[Place]:
    """The same bits in as few places as can be: those next to each other are one."""
    found: list[Place] = []
    for place in places:
        last = found[-1] if found else None
        if last and (last.word, last.shift + last.bits) == (place.word, place.shift):
            found[-1] = Place(last.word, last.shift, last.bits + place.bits)
        else:
            found.append(place)
    return found


def _number(parts: list[tuple[str, int]]) -> str:
    """Fields of so many bits, the first lowest, as one number."""
    terms, shift = [], 0
    for text, bits in parts:
        terms.append(f"(word){text} << {shift}")
        shift += bits
    return " | ".join(terms) or "0"


def _exchange(these: list[Place], those: list[Place]) -> list[str]:
    """Exchange what lies at these places with what lies at those."""
    here, there = _joined(these), _joined(those)
    if [place.bits for place in here] != [place.bits for place in there]:
        here, there = these, those
    lines = []
    for this, that in zip(here, there, strict=True):
        lines.append(f"        x = {_get(this)} ^ {_get(that)};")
        lines.append(
            f"        s[{this.word}] ^= x << {this.shift}; s[{that.word}] ^= x << {that.shift};"
        )
    return lines
