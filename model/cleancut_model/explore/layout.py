"""Where each variable of a state lies in the words of a packed state."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from cleancut_model.finite import Finite, Instance, Name

WORD_BITS: Final = 64
PRESENT_BITS: Final = 1  # the top bit of the first word tells a state from an empty slot


@dataclass(frozen=True, slots=True)
class Place:
    """A variable's bits: those from `shift` on in a word."""

    word: int
    shift: int
    bits: int

    @property
    def mask(self) -> int:
        """The bits in place."""
        return ((1 << self.bits) - 1) << self.shift


@dataclass(frozen=True, slots=True)
class Layout:
    """The places of all variables; a drive's lie together, and within them each cluster's."""

    places: dict[Name, Place]
    words: int
    bits: int

    def pack(self, values: dict[Name, int]) -> list[int]:
        """The words of a state."""
        words = [0] * self.words
        for name, value in values.items():
            if not self.places[name].bits:
                continue
            words[self.places[name].word] |= value << self.places[name].shift
        return words

    def unpack(self, words: list[int]) -> dict[Name, int]:
        """The values of the variables that change."""
        return {
            name: (words[place.word] & place.mask) >> place.shift
            for name, place in self.places.items()
            if place.bits
        }


def lay_out(model: Finite, instances: Iterable[Instance]) -> Layout:
    """Pack the variables that these actions change, none across two words; others take no bits."""
    changing = {name for instance in instances for name in instance.next}
    groups: dict[int, list[Name]] = {}
    for name in sorted(model.names(), key=lambda name: cluster_of(model, name)):
        groups.setdefault(drive_of(model, name), []).append(name)
    places: dict[Name, Place] = {}
    word = at = used = 0
    for drive in sorted(groups):
        for name in groups[drive]:
            bits = _width(model, name) if name in changing else 0
            if at + bits > _room(word):
                word, at = word + 1, 0
            places[name] = Place(word, at, bits)
            at += bits
            used += bits
    return Layout(places, word + 1, used)


def _room(word: int) -> int:
    return WORD_BITS - PRESENT_BITS if word == 0 else WORD_BITS


def drive_of(model: Finite, name: Name) -> int:
    """The drive that a variable belongs to, or -1."""
    index = model.fields[name[0]].index
    return name[1][0] if index and index[0].name == "Drive" else -1


def drives_of(model: Finite, names: Iterable[Name]) -> list[int]:
    """The drives that variables belong to."""
    return sorted({drive_of(model, name) for name in names} - {-1})


def cluster_of(model: Finite, name: Name) -> int:
    """The cluster that a variable belongs to, or -1."""
    index = model.fields[name[0]].index
    return name[1][1] if len(index) == 2 and index[1].name == "Cluster" else -1


def _width(model: Finite, name: Name) -> int:
    return (len(model.fields[name[0]].sort.values) - 1).bit_length()
