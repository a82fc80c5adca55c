"""What following the model through a dialogue has shown, on the terminal and as JSON."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any, Final

from rich.console import Console
from rich.markup import escape

from cleancut_conformance.modelled.judge import Impossible, ModelJudge, Seen
from cleancut_conformance.report.text import CUT_OFF, show
from cleancut_spec import clause
from cleancut_spec.trace import Record

SHOWN: Final = 3  # states of a record
RECORD_WIDTH: Final = 70


def follow(records: Sequence[Record]) -> Iterator[tuple[int, Seen]]:
    """The records that say something of a run that is followed, by number."""
    judge = ModelJudge()
    for index, record in enumerate(records):
        seen = judge.feed(record)
        if seen.count or seen.impossible or seen.not_followed:
            yield index, seen


def print_all(
    console: Console, path: str, records: Sequence[Record], complete: bool, *, states: bool
) -> bool:
    """Print what each record leaves possible; whether every record was possible."""
    impossible = followed = 0
    lines = []
    for index, seen in follow(records):
        followed += bool(seen.count)
        impossible += seen.impossible is not None
        if states or seen.impossible or seen.not_followed:
            lines += list(_lines(index, records[index], seen))
    words = "[green]possible[/]  " if not impossible else "[bold red]IMPOSSIBLE[/]"
    cut = "" if complete else CUT_OFF
    count = f"{len(records)} records, {followed} of them steps of the model"
    console.print(f"{words} {path}: {count}{cut}")
    for line in lines:
        console.print(line)
    return not impossible


def _lines(index: int, record: Record, seen: Seen) -> Iterator[str]:
    text = show(record)
    text = text if len(text) <= RECORD_WIDTH else f"{text[: RECORD_WIDTH - 1]}…"
    if seen.not_followed:
        yield f"   record {index}: {escape(text)}"
        yield f"      [yellow]not followed[/]: {escape(seen.not_followed)}"
    elif seen.impossible is not None:
        yield f"   record {index}: {escape(text)}"
        yield from _explained(seen.impossible)
    else:
        kinds = seen.states[:SHOWN]
        more = f" and {len(seen.states) - SHOWN} kinds more" if len(seen.states) > SHOWN else ""
        yield f"   record {index:>4}: {escape(text)}"
        yield f"      [dim]{seen.count} states: {escape('; '.join(kinds))}{more}[/]"


def _explained(found: Impossible) -> Iterator[str]:
    yield f"      [bold]{found.clause}[/] {escape(found.message)}"
    yield f"      It says: {escape(clause(found.clause).sentence)}"
    yield "      the last states that were possible:"
    yield from (f"         {escape(words)}" for words in found.last)
    told = ", ".join(found.next_told) or "nothing"
    yield f"      what could be told instead: {escape(told)}"
    if found.way:
        yield f"      it would be possible after: {escape(', '.join(found.way))}"


def to_json(path: str, records: Sequence[Record]) -> list[dict[str, Any]]:
    """Each record that says something of a run, with what it leaves possible."""
    return [{"file": path, "record": index, **asdict(seen)} for index, seen in follow(records)]
