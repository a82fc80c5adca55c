"""Where the engine's side of a dialogue first differs from the recorded one."""

import json
import tempfile
from dataclasses import dataclass
from functools import cache
from itertools import zip_longest
from pathlib import Path
from typing import Any

from .given import lay_out
from .player import Played, Player
from .recording import Recording, files, is_reply, last_words, masked


@dataclass(frozen=True)
class Held:
    """A recording, and the same dialogue held with the engine."""

    recording: Recording
    played: Played

    def recorded_replies(self) -> list[Any]:
        return [masked(message) for message in self.recording.received() if is_reply(message)]

    def replies(self) -> list[Any]:
        return [message for message in self.played.messages if is_reply(message)]


@cache
def hold(name: str) -> Held:
    """Hold the dialogue with this name with the engine."""
    [path] = files(name)
    recording = Recording.read(path)
    with tempfile.TemporaryDirectory() as folder:
        lay_out(recording, Path(folder))
        return Held(recording, Player(recording, Path(folder)).play())


def first_difference(held: Held) -> str:
    """The first reply, event or image that differs; empty if none does.

    What the engine says after QEMU has died is compared with nothing.
    """
    return (
        _of_replies(held) or ("" if held.recording.died else _of_events(held)) or _of_images(held)
    )


def _of_replies(held: Held) -> str:
    theirs, ours = held.recorded_replies(), held.replies()
    if held.recording.died:
        ours = ours[: len(theirs)]
    for index, (recorded, said) in enumerate(zip_longest(theirs, ours)):
        if recorded != said:
            request = held.played.replies[index][0] if index < len(held.played.replies) else None
            return f"reply {index} to {_short(request)}: {_parting(recorded, said)}"
    return ""


def _of_events(held: Held) -> str:
    theirs = last_words([masked(message) for message in held.recording.received()])
    ours = last_words(held.played.messages)
    for name in sorted(theirs.keys() | ours.keys()):
        for recorded, said in zip_longest(theirs.get(name, []), ours.get(name, [])):
            if recorded != said:
                return f"events of {name or 'no job'}: {_parting(recorded, said)}"
    return ""


def _of_images(held: Held) -> str:
    for recorded, seen in held.played.looks:
        if recorded != seen:
            return f"images: {_parting(recorded, seen)}"
    return ""


def _parting(recorded: Any, said: Any, path: str = "") -> str:
    """The first place at which two messages part."""
    if isinstance(recorded, dict) and isinstance(said, dict):
        for key in sorted(recorded.keys() | said.keys()):
            if recorded.get(key) != said.get(key):
                return _parting(recorded.get(key), said.get(key), f"{path}.{key}")
    if isinstance(recorded, list) and isinstance(said, list) and len(recorded) == len(said):
        for index, (one, other) in enumerate(zip(recorded, said, strict=True)):
            if one != other:
                return _parting(one, other, f"{path}[{index}]")
    return f"{path or 'message'}: QEMU {_short(recorded)}, here {_short(said)}"


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= 160 else f"{text[:160]}…"
