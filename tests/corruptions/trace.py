"""Recorded traces, ways to change a record, and the table of the kinds of corruption."""

import copy
import random
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from cleancut_conformance.judge import Judge
from cleancut_conformance.judge.commands import STARTERS, Command
from cleancut_conformance.judge.jobs import FINAL
from cleancut_spec.trace import Record, read

DATA: Final = Path(__file__).parent.parent / "data"


@dataclass(frozen=True)
class Exchange:
    """A command and where its reply stands."""

    command: Command
    at: int  # of the request
    reply: int


@dataclass(frozen=True)
class Trace:
    """A recorded dialogue that breaks no clause, or only those that it is known to break."""

    name: str
    records: list[Record]

    @cached_property
    def known(self) -> set[str]:
        """The clauses that it breaks as it is."""
        return broken(self.records)

    @cached_property
    def exchanges(self) -> list[Exchange]:
        """Commands with their replies; none if bytes were sent whose answers nobody can count."""
        waiting: deque[tuple[int, Command]] = deque()
        found = []
        for at, record in enumerate(self.records):
            if record.raw is not None:
                return []
            if record.dir == "send":
                waiting.append((at, Command(at, record.msg)))
            elif is_reply(record) and waiting:
                sent, command = waiting.popleft()
                found.append(Exchange(command, sent, at))
        return found

    @cached_property
    def has_quit(self) -> bool:
        """Whether it goes on to its end, so that everything must have been answered."""
        return any(e.command.name == "quit" and succeeded(self, e) for e in self.exchanges)

    @cached_property
    def starters(self) -> list[Exchange]:
        """The commands that start backups, and succeed."""
        return [e for e in self.exchanges if e.command.name in STARTERS and succeeded(self, e)]

    @cached_property
    def events(self) -> list[tuple[int, str, dict[str, Any]]]:
        """Index, name and data of each event."""
        return [
            (at, r.msg["event"], r.msg.get("data", {}))
            for at, r in enumerate(self.records)
            if r.dir == "recv" and isinstance(r.msg, dict) and "event" in r.msg
        ]

    @cached_property
    def statuses(self) -> list[tuple[int, str, str]]:
        """Index, status and job of each change of status."""
        return [(at, d["status"], d["id"]) for at, n, d in self.events if n == "JOB_STATUS_CHANGE"]

    @cached_property
    def finals(self) -> list[tuple[int, str, dict[str, Any]]]:
        """The final events."""
        return [event for event in self.events if event[1] in FINAL]

    def backup_of(self, job_id: str, before: int) -> dict[str, Any] | None:
        """The arguments of the newest backup whose job bears this id."""
        for exchange in reversed(self.starters):
            if exchange.at < before and (found := exchange.command.backup_for(job_id)) is not None:
                return found
        return None

    # ---- copies with one thing changed

    def without(self, *indices: int) -> list[Record]:
        """Without some records."""
        return [record for at, record in enumerate(self.records) if at not in indices]

    def doubled(self, at: int) -> list[Record]:
        """With a record once more."""
        return self.records[: at + 1] + self.records[at:]

    def moved(self, at: int, to: int) -> list[Record]:
        """With the record `at` before the one that is at `to`."""
        rest = self.without(at)
        place = to if to < at else to - 1
        return [*rest[:place], self.records[at], *rest[place:]]

    def put(self, at: int, record: Record) -> list[Record]:
        """With another record in that place."""
        return [*self.records[:at], record, *self.records[at + 1 :]]

    def changed(self, at: int, change: Callable[[Any], object]) -> list[Record]:
        """With the message or the note of a record changed."""
        old = self.records[at]
        msg, note = copy.deepcopy(old.msg), copy.deepcopy(old.note)
        change(note if old.dir in ("meta", "io", "observe", "mark") else msg)
        return self.put(at, Record(old.dir, old.t, msg, old.raw, note))


def is_reply(record: Record) -> bool:
    """Whether it answers a command."""
    msg = record.msg
    return record.dir == "recv" and isinstance(msg, dict) and ("return" in msg or "error" in msg)


def succeeded(trace: Trace, exchange: Exchange) -> bool:
    """Whether the command succeeded."""
    return "return" in trace.records[exchange.reply].msg


def broken(records: list[Record]) -> set[str]:
    """The clauses that the judge finds broken."""
    judge = Judge()
    findings = [finding for record in records for finding in judge.feed(record)]
    return {finding.clause for finding in findings + judge.close()}


# ---- the table

Corrupt = Callable[[Trace], Iterator[list[Record]]]


@dataclass(slots=True)
class Kind:
    """A kind of corruption; places and how many were seen, as counted."""

    corrupt: Corrupt
    places: int = 0
    seen: int = 0
    missed: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        """As the function is called."""
        return self.corrupt.__name__

    @property
    def words(self) -> str:
        """What is wrong then, in a sentence."""
        return (self.corrupt.__doc__ or "").strip()


KINDS: Final[dict[str, Corrupt]] = {}


def kind(corrupt: Corrupt) -> Corrupt:
    """Enter a function into the table."""
    KINDS[corrupt.__name__] = corrupt
    return corrupt


def load() -> list[Trace]:
    """All recorded traces of QEMU that lie in the repository."""
    paths = sorted(path for name in ("traces", "judged", "dialogues")
                   for path in (DATA / name).glob("*/*.jsonl"))  # fmt: skip
    traces = []
    for path in paths:
        with path.open() as file:
            traces.append(Trace(f"{path.parent.name}/{path.stem}", list(read(file))))
    return traces


def places(
    corrupt: Corrupt, traces: list[Trace], at_most: int | None, chance: random.Random
) -> Iterator[tuple[Trace, list[Record]]]:
    """The corrupt copies of each trace, or so many of them, drawn at random."""
    for trace in traces:
        if trace.known:
            continue
        copies = list(corrupt(trace))
        few = copies if at_most is None else chance.sample(copies, min(at_most, len(copies)))
        for records in few:
            yield trace, records
