"""The differences that are known, each with its reason, in `tests/data/differences-7.2.json`."""

import json
from dataclasses import dataclass

from .recording import DATA


@dataclass(frozen=True)
class Excuse:
    """Why a dialogue differs, and at which places; all else is as recorded."""

    reason: str
    places: frozenset[str]


def known(kind: str) -> dict[str, str]:
    """The reasons by name; `kind` is probes, orders, or (probes) out of scope."""
    reasons: dict[str, str] = _read(kind)
    return reasons


def excuses() -> dict[str, Excuse]:
    """Those of dialogues, by name."""
    return {
        name: Excuse(each["reason"], frozenset(each["places"]))
        for name, each in _read("dialogues").items()
    }


def excuse(name: str) -> Excuse:
    """That of one dialogue; most have none, and no place where they differ."""
    return excuses().get(name, Excuse("", frozenset()))


def _read(kind: str) -> dict[str, object]:
    found: dict[str, object] = json.loads((DATA / "differences-7.2.json").read_text())[kind]
    return found
