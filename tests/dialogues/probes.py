"""The error probes: requests that QEMU 7.2 refuses, and whether the engine refuses them alike."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from .compare import Held, hold
from .recording import DATA, files

PROBES = DATA / "error-probes-7.2.txt"
_PROBE = re.compile(r"(.*): ERR\[(\w+)\] (.*)")
_WITH_ID = re.compile(r" id=.*$")


@dataclass(frozen=True)
class Probe:
    """A request, what QEMU said to it and what the engine did."""

    name: str
    request: Any
    recorded: tuple[str, str]  # class and text
    said: tuple[str, str]

    @property
    def equal(self) -> bool:
        return self.recorded == self.said


def probes() -> Iterator[Probe]:
    """All error probes, in the order in which they were recorded."""
    section, labels = "", []
    for line in [*PROBES.read_text().splitlines(), "== "]:
        if line.startswith("== "):
            yield from _section(section, labels)
            section, labels = line.removeprefix("== "), []
        elif match := _PROBE.fullmatch(line):
            labels.append((match[1].strip(), (match[2], match[3])))


def _section(section: str, labels: list[tuple[str, tuple[str, str]]]) -> Iterator[Probe]:
    """A probe is the next recorded reply that is this error."""
    found = list(_errors(section)) if section else []
    at = 0
    for label, error in labels:
        wanted = _plain((error[0], _WITH_ID.sub("", error[1])))
        while at < len(found) and _plain(found[at][1]) not in (wanted, _plain(error)):
            at += 1
        assert at < len(found), f"{section}: {label} was not recorded"
        request, recorded, said = found[at]
        yield Probe(f"{section}: {label}", request, recorded, said)
        at += 1


def _plain(error: tuple[str, str]) -> tuple[str, str]:
    """As the list has it: white space is one blank."""
    return error[0], " ".join(error[1].split())


def _errors(section: str) -> Iterator[tuple[Any, tuple[str, str], tuple[str, str]]]:
    for path in files(f"{section}*"):
        held: Held = hold(path.stem)
        for index, recorded in enumerate(held.recorded_replies()):
            if "error" not in recorded:
                continue
            request, said = None, {}
            if index < len(held.played.replies):
                request, said = held.played.replies[index]
            yield request, _error(recorded), _error(said)


def _error(reply: Any) -> tuple[str, str]:
    if "error" not in reply:
        return "", "return" if "return" in reply else "nothing"
    return reply["error"]["class"], reply["error"]["desc"]
