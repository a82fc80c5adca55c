"""The orders of events and replies: those observed with QEMU 7.2, and the engine's."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from cleancut_reference.schedule import Choose, Fair
from tests.folders import quick_folder

from .given import lay_out
from .player import Player
from .recording import DATA, Recording, files, order
from .schedules import InParallel

ORDERS = DATA / "event-orders-7.2.txt"
#: As QEMU's jobs work, and as the server's do.
HOW: tuple[Callable[[], Choose], ...] = (InParallel, Fair)


@dataclass(frozen=True)
class Scenario:
    """A scenario, the orders that were observed, and those of the engine."""

    name: str
    observed: frozenset[str]
    ours: frozenset[str]

    def new(self) -> set[str]:
        """The engine's orders that nobody has observed."""
        return set(self.ours - self.observed)

    def new_but_for_interleaving(self) -> set[str]:
        """Those in which some job, or the client, sees what no observed run shows."""
        known = {_parts(observed) for observed in self.observed}
        return {ours for ours in self.new() if _parts(ours) not in known}


def _parts(run: str) -> frozenset[tuple[str, str]]:
    """What each job went through, and what the client was answered."""
    parts: dict[str, list[str]] = {}
    for word in run.split():
        job, colon, what = word.partition(":")
        parts.setdefault(job if colon else "", []).append(what or job)
    return frozenset((job, " ".join(words)) for job, words in parts.items())


@cache
def scenarios() -> list[Scenario]:
    """Each scenario under several schedules of the engine."""
    found = []
    for name, observed in listed().items():
        paths = [path for path in files(f"ev_{name}*") if _is_of(name, path)]
        size = min(len(re.findall(r"\b(?:RET|ERR)\b", run)) for run in observed)
        seen, ours = set(observed), set()
        for path in paths:
            recording = Recording.read(path)
            seen |= set(_recorded_rounds(recording, size))
            for how in HOW:
                ours |= set(_engine_rounds(recording, size, how()))
        found.append(Scenario(name, frozenset(seen), frozenset(ours)))
    return found


def _is_of(name: str, path: Path) -> bool:
    return re.fullmatch(rf"ev_{name}(_\d\d)?", path.stem) is not None


def listed() -> dict[str, set[str]]:
    """The orders that were seen, of each scenario."""
    found: dict[str, set[str]] = {}
    for line in ORDERS.read_text().splitlines():
        if line.startswith("-- "):
            current = found.setdefault(line[3:].partition(":")[0], set())
        else:
            current.add(line.strip().split("x ", 1)[1])
    return found


def _recorded_rounds(recording: Recording, size: int) -> Iterator[str]:
    messages: list[Any] = []
    marks: list[int] = []
    for record in recording.records:
        if record["dir"] == "send":
            marks.append(len(messages))
        elif record["dir"] == "recv":
            messages.append(record["msg"])
    yield from _rounds(messages, marks, size)


def _engine_rounds(recording: Recording, size: int, choose: Choose) -> Iterator[str]:
    with quick_folder() as folder:
        lay_out(recording, Path(folder))
        played = Player(recording, Path(folder), choose).play()
    yield from _rounds(played.messages, played.marks, size)


def _rounds(messages: list[Any], marks: list[int], size: int) -> Iterator[str]:
    """Each round's messages: from its first request to the next round's; `quit` ends the last."""
    sends = marks[1:]  # the first is the negotiation
    if size == 1 or len(sends) % size == 1:
        sends.pop()  # of `quit`, which belongs to no round
        messages = messages[: marks[-1]]
    for index in range(0, len(sends) - size + 1, size):
        end = sends[index + size] if index + size < len(sends) else len(messages)
        yield order(messages[sends[index] : end])
