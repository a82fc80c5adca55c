"""Where the engine's side of a dialogue differs from the recorded one."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import cache
from itertools import zip_longest
from pathlib import Path
from typing import Any

from cleancut_reference.schedule import Choose
from tests.folders import quick_folder

from .given import lay_out
from .player import Played, Player
from .recording import Recording, files, is_reply, masked, words
from .schedules import WAYS, Directed, found
from .schemas import difference as schema_difference


@dataclass(frozen=True)
class Held:
    """A recording, and the same dialogue held with the engine."""

    recording: Recording
    played: Played

    def recorded_replies(self) -> list[Any]:
        return [masked(message) for message in self.recording.received() if is_reply(message)]

    def replies(self) -> list[Any]:
        return [message for message in self.played.messages if is_reply(message)]


@dataclass(frozen=True)
class Difference:
    """One place that differs; `request` is the number of the request before it."""

    place: str
    text: str
    request: int

    def __str__(self) -> str:
        return f"{self.place}: {self.text}"


@cache
def hold(name: str) -> Held:
    """Hold the dialogue with this name with the engine."""
    return _hold(name, found(name))


def _hold(name: str, choose: Choose | None) -> Held:
    [path] = files(name)
    recording = Recording.read(path)
    with quick_folder() as folder:
        lay_out(recording, Path(folder))
        return Held(recording, Player(recording, Path(folder), choose).play())


def search_schedule(name: str) -> dict[int, str] | None:
    """Request by request: the ways to choose the next step by which all goes on as recorded.

    None if there is none. That nothing else was needed is not claimed.
    """
    chosen: dict[int, str] = {}
    at = _first_request(_hold(name, Directed(chosen)))
    while at is not None:
        for way in WAYS:
            tried = chosen | {at: way}
            further = _first_request(_hold(name, Directed(tried)))
            if further is None or further > at:
                at, chosen = further, tried
                break
        else:
            return None
    return chosen


def _first_request(held: Held) -> int | None:
    """The number of the request after which the dialogue is no more as recorded."""
    found = [each.request for each in _of_replies(held)]
    theirs = words([masked(message) for message in held.recording.received()])
    ours = words(held.played.messages)
    for name in theirs.keys() | ours.keys():
        for recorded, said in zip_longest(theirs.get(name, []), ours.get(name, [])):
            if recorded is None or said is None or recorded[0] != said[0]:
                found.append(_request_before(held.played, said and said[1]))
                break
    return min(found, default=None)


def differences(held: Held) -> list[Difference]:
    """The replies, events and images that differ; what QEMU has said before it died is compared."""
    found = list(_of_replies(held))
    if not held.recording.died:
        found += _of_events(held)
    return found + list(_of_images(held))


def _of_replies(held: Held) -> Iterator[Difference]:
    theirs, ours = held.recorded_replies(), held.replies()
    if held.recording.died:
        ours = ours[: len(theirs)]
    for index, (recorded, said) in enumerate(zip_longest(theirs, ours)):
        request = held.played.replies[index][0] if index < len(held.played.replies) else None
        if _asks_for_schema(request):
            text = schema_difference(said["return"], recorded["return"])
            if text:
                yield Difference(f"reply {index} to query-qmp-schema", text, index)
            continue
        for path, one, other in _partings(recorded, said):
            text = f"QEMU {_short(one)}, here {_short(other)}, to {_short(request)}"
            yield Difference(f"reply {index}{path}", text, index)


def _asks_for_schema(request: Any) -> bool:
    return isinstance(request, dict) and request.get("execute") == "query-qmp-schema"


def _of_events(held: Held) -> Iterator[Difference]:
    theirs = words([masked(message) for message in held.recording.received()])
    ours = words(held.played.messages)
    for name in sorted(theirs.keys() | ours.keys()):
        recorded, said = theirs.get(name, []), ours.get(name, [])
        texts = [
            [json.dumps(word, sort_keys=True) for word, _ in each] for each in (recorded, said)
        ]
        for kind, a, b, c, d in SequenceMatcher(None, *texts, autojunk=False).get_opcodes():
            if kind == "equal":
                continue
            pairs = zip_longest(_told(recorded[a:b]), _told(said[c:d]))
            for at, (word, ours_word) in enumerate(pairs, a):
                for path, left, right in _partings(word, ours_word):
                    place = f"event {at} of {name or 'no job'}{path}"
                    yield Difference(place, f"QEMU {_short(left)}, here {_short(right)}", 0)


def _told(events: list[tuple[Any, int]]) -> list[Any]:
    return [told for told, _ in events]


def _request_before(played: Played, message: int | None) -> int:
    """The number of the last request that was sent before a message of ours, or the last of all."""
    sent = [at for at in played.marks if message is None or at <= message]
    return len(sent) - 1


def _of_images(held: Held) -> Iterator[Difference]:
    last = len(held.played.marks)
    for index, (recorded, seen) in enumerate(held.played.looks):
        for path, one, other in _partings(recorded, seen):
            if path == ".ls":
                for name in sorted(set(one) ^ set(other)):
                    side = "QEMU's" if name in one else "our"
                    yield Difference(f"look {index}.ls {name}", f"on {side} side alone", last)
                continue
            text = f"QEMU {_short(one)}, here {_short(other)}"
            yield Difference(f"look {index}{path}", text, last)


def _partings(recorded: Any, said: Any, path: str = "") -> Iterator[tuple[str, Any, Any]]:
    """All places at which two messages part."""
    if isinstance(recorded, dict) and isinstance(said, dict):
        for key in sorted(recorded.keys() | said.keys()):
            yield from _partings(recorded.get(key), said.get(key), f"{path}.{key}")
    elif path != ".ls" and _as_long(recorded, said):
        for index, (one, other) in enumerate(zip(recorded, said, strict=True)):
            yield from _partings(one, other, f"{path}[{index}]")
    elif recorded != said:
        yield path, recorded, said


def _as_long(recorded: Any, said: Any) -> bool:
    lists = isinstance(recorded, list) and isinstance(said, list)
    return lists and len(recorded) == len(said)


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= 160 else f"{text[:160]}…"
