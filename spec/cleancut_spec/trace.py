"""The trace: one dialogue as JSON lines, written as it happens, judged then or later.

Each line is an object with `dir` and `t` (seconds since the start). By `dir`:

- `meta`: `note` is an object; the first line is the header, the last the footer; a header with
  `joined` belongs to a recorder that came late: jobs may have begun before, and the greeting too;
  in one with `exact` the records stand in the order in which things happened
- `send`, `recv`: one message, `msg`, or `raw` (text) where it is no JSON
- `io`: `note.guest` names a drive and `note.cmd` the request; with `note.result`
  (`ok` or an errno name) it tells how the request ended; `note.by` is the way that the request
  takes (`nbd`, `engine`) if no monitor command makes it
- `observe`: `note` tells the content of an image: `image`, `size_bytes` (null: no such file)
  and `extents`, a list of `[offset_bytes, length_bytes, byte]`
- `mark`: `note.name` names this instant; `note.connection` says that a new client begins here,
  `note.server` that it finds a new process

A trace without a footer (a last `meta` record) was cut off.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import IO, Any, Final, Literal

FORMAT: Final = 1

Dir = Literal["meta", "send", "recv", "io", "observe", "mark"]
DIRS: Final = ("meta", "send", "recv", "io", "observe", "mark")

Json = Any  # a value that json.loads can return


class TraceError(ValueError):
    """A line that is no trace record; the message names the line."""


@dataclass(frozen=True, slots=True)
class Record:
    """One line of a trace."""

    dir: Dir
    t: float
    msg: Json = None
    raw: str | None = None
    note: dict[str, Json] = field(default_factory=dict)

    def to_json(self) -> str:
        """The line, without its newline."""
        out: dict[str, Json] = {"dir": self.dir, "t": round(self.t, 6)}
        if self.raw is not None:
            out["raw"] = self.raw
        elif self.dir in ("send", "recv"):
            out["msg"] = self.msg
        else:
            out["note"] = self.note
        return json.dumps(out)


def parse_line(line: str, number: int) -> Record:
    """The record in a line; raises TraceError naming the line's number and what is wrong."""
    try:
        data = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise TraceError(f"line {number}: not JSON: {error}") from None
    if not isinstance(data, dict) or data.get("dir") not in DIRS:
        raise TraceError(f"line {number}: no object with a known 'dir'")
    t = data.get("t")
    if isinstance(t, bool) or not isinstance(t, int | float):
        raise TraceError(f"line {number}: 't' is no number")
    if data["dir"] in ("send", "recv"):
        if isinstance(data.get("raw"), str):
            return Record(data["dir"], t, raw=data["raw"])
        if "msg" not in data:
            raise TraceError(f"line {number}: neither 'msg' nor 'raw'")
        return Record(data["dir"], t, msg=data["msg"])
    note = data.get("note")
    if not isinstance(note, dict):
        raise TraceError(f"line {number}: 'note' is no object")
    return Record(data["dir"], t, note=note)


def read(lines: Iterable[str]) -> Iterator[Record]:
    """The records of a trace, in order; blank lines are passed over."""
    for number, line in enumerate(lines, start=1):
        if line.strip():
            yield parse_line(line, number)


class Writer:
    """Appends records to an open text file, each flushed, so that a crash loses none."""

    def __init__(self, file: IO[str]) -> None:
        self._file = file

    def write(self, record: Record) -> None:
        """Append one record."""
        self._file.write(record.to_json() + "\n")
        self._file.flush()
