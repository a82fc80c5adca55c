"""A dialogue as a picture: lanes for commands, events, drives and jobs; time goes to the right.

Here records become shapes with places; the template of the page draws them.
"""

from dataclasses import dataclass, field
from typing import Any, Final

from cleancut_conformance.judge.commands import Command
from cleancut_conformance.judge.jobs import FINAL
from cleancut_conformance.qemu_io import MONITOR
from cleancut_spec.trace import Record

LANE_PX: Final = 30
LEFT_PX: Final = 86
TOP_PX: Final = 22
STEP_PX: Final = 13
POLL_PX: Final = 3  # polling and the monitor's side of guest requests take little room
LETTER_PX: Final = 6.4
ROWS: Final = 4  # of guest requests in a lane
QUIET: Final = ("query-jobs", "query-block-jobs", "human-monitor-command", "qmp_capabilities")
COMMANDS: Final = "commands"
EVENTS: Final = "events"


@dataclass(slots=True)
class Shape:
    """Something drawn in a lane: a bar from `x` to `end`, or a mark at `x` (then `end` is `x`)."""

    lane: str
    kind: str  # the class that the style sheet colours
    x: float
    end: float
    record: int
    text: str = ""
    row: int = 0  # of requests that overlap

    @property
    def is_io(self) -> bool:
        """Whether it is a guest's request."""
        return self.kind.startswith("io")


@dataclass(frozen=True, slots=True)
class Cut:
    """The cut of a command that starts backups lies between its begin and its reply."""

    x: float
    end: float
    record: int
    lanes: tuple[str, ...]


@dataclass(slots=True)
class Picture:
    """Lanes from top to bottom, and what is in them."""

    lanes: list[str] = field(default_factory=lambda: [COMMANDS, EVENTS])
    shapes: list[Shape] = field(default_factory=list)
    cuts: list[Cut] = field(default_factory=list)
    lines: list[Shape] = field(default_factory=list)  # marks and findings, across all lanes
    width: float = 0

    @property
    def height(self) -> int:
        """In pixels."""
        return TOP_PX + LANE_PX * len(self.lanes) + 6

    def y(self, lane: str) -> int:
        """The top of a lane."""
        return TOP_PX + LANE_PX * self.lanes.index(lane)


def draw(records: list[Record], broken: set[int]) -> Picture:
    """The picture of a trace; `broken` are the records at which a clause was broken."""
    pen = _Pen(broken)
    if records and records[0].dir == "meta":
        pen.picture.lanes += sorted(records[0].note.get("drives", {}))
    for index, record in enumerate(records):
        pen.draw(index, record)
    pen.end()
    return pen.picture


@dataclass(slots=True)
class _Asked:
    """A command that waits for its reply; `x` is where it was taken up."""

    command: Command
    guest: Shape | None
    x: float = 0


class _Pen:
    """Where the picture has come to, and which bars are still open."""

    def __init__(self, broken: set[int]) -> None:
        self.picture = Picture()
        self._broken = broken
        self._x: float = LEFT_PX
        self._asked: list[_Asked] = []
        self._jobs: dict[str, Shape] = {}
        self._requests: list[tuple[tuple[str, str], Shape]] = []

    def draw(self, index: int, record: Record) -> None:
        """Add a record, and go on to the right as far as it needs."""
        start = self._x
        label = ""
        if record.dir == "send" and record.raw is None:
            label = self._send(index, record.msg)
        elif record.dir == "recv" and isinstance(record.msg, dict):
            label = self._receive(index, record.msg)
        elif record.dir == "io":
            self._io(index, record.note)
        elif record.dir == "mark":
            label = str(record.note.get("name"))
            self.picture.lines.append(Shape("", "mark", start, start, index, label))
        elif record.raw is not None:
            lane = COMMANDS if record.dir == "send" else EVENTS
            label = "bytes"
            self._add(Shape(lane, "raw", start, start, index, label))
        if index in self._broken:
            self.picture.lines.append(Shape("", "broken", start, start, index))
        self._x += max(self._step(record), LETTER_PX * len(label) + 12 if label else 0)

    def end(self) -> None:
        """What is still open at the end is drawn to the end."""
        for shape in self._jobs.values():
            shape.end = self._x
        for _, shape in self._requests:
            shape.end = self._x
            shape.kind += " open"
        self._stack()
        self.picture.width = self._x + 20

    def _step(self, record: Record) -> float:
        return POLL_PX if record.dir in ("send", "recv", "observe", "meta") else STEP_PX

    def _add(self, shape: Shape) -> None:
        if shape.lane not in self.picture.lanes:
            self.picture.lanes.append(shape.lane)
        self.picture.shapes.append(shape)

    def _send(self, index: int, message: Any) -> str:
        command = Command(index, message)
        self._asked.append(_Asked(command, self._guest_bar(command)))
        if len(self._asked) == 1:
            self._taken_up()
        quiet = command.name in QUIET
        label = "" if quiet else command.name or "no command"
        kind = "quiet" if quiet else "command"
        self._add(Shape(COMMANDS, kind, self._x, self._x, index, label))
        return label

    def _taken_up(self) -> None:
        """Commands run one after the other: this one begins when the last was answered."""
        asked = self._asked[0]
        asked.x = self._x
        if asked.guest is not None:
            asked.guest.x = asked.guest.end = self._x

    def _guest_bar(self, command: Command) -> Shape | None:
        """The guest request that this command of the monitor makes."""
        line = MONITOR.fullmatch(str(command.arguments.get("command-line")))
        if line is None:
            return None
        return next((bar for key, bar in self._requests if key == (line[1], line[2])), None)

    def _receive(self, index: int, message: dict[str, Any]) -> str:
        if "event" in message:
            return self._event(index, str(message["event"]), message.get("data"))
        if "QMP" in message or not self._asked:
            return ""
        asked = self._asked.pop(0)
        if self._asked:
            self._taken_up()
        if "error" in message:
            text = str((message["error"] or {}).get("class", "error"))
            self._add(Shape(EVENTS, "error", self._x, self._x, index, text))
            return text
        if asked.guest is not None and not asked.guest.text.startswith("aio_"):
            asked.guest.end = self._x + POLL_PX
        drives = tuple(
            lane
            for data in asked.command.backups()
            if (lane := str(data.get("device"))) in self.picture.lanes
        )
        if drives:
            self.picture.cuts.append(Cut(asked.x, self._x, asked.command.index, drives))
        return ""

    def _event(self, index: int, name: str, data: Any) -> str:
        if name == "JOB_STATUS_CHANGE" and isinstance(data, dict):
            self._status(index, str(data.get("id")), str(data.get("status")))
            self._x += STEP_PX
            return ""
        label = name.removeprefix("BLOCK_JOB_")
        kind = "final" if name in FINAL else "event"
        if name == "BLOCK_JOB_ERROR" or (isinstance(data, dict) and "error" in data):
            kind += " bad"
        self._add(Shape(EVENTS, kind, self._x, self._x, index, label))
        return label

    def _status(self, index: int, job_id: str, status: str) -> None:
        if (open_bar := self._jobs.pop(job_id, None)) is not None:
            open_bar.end = self._x
        if status != "null":
            bar = Shape(f"job {job_id}", f"status {status}", self._x, self._x, index, status)
            self._jobs[job_id] = bar
            self._add(bar)

    def _io(self, index: int, note: dict[str, Any]) -> None:
        guest, command = str(note.get("guest")), str(note.get("cmd"))
        if "result" not in note:
            words = command.removeprefix("aio_").split()
            bar = Shape(guest, f"io {words[0] if words else ''}", self._x, self._x, index, command)
            self._requests.append(((guest, command), bar))
            self._add(bar)
            return
        for number, (key, bar) in enumerate(self._requests):
            if key == (guest, command):
                if bar.end == bar.x:
                    bar.end = self._x + POLL_PX
                bar.kind += "" if note["result"] == "ok" else " bad"
                bar.text += f" = {note['result']}"
                del self._requests[number]
                return

    def _stack(self) -> None:
        """Requests of a guest that overlap stand below each other."""
        ends: dict[str, list[float]] = {}
        for bar in sorted((s for s in self.picture.shapes if s.is_io), key=lambda s: s.x):
            rows = ends.setdefault(bar.lane, [0.0] * ROWS)
            bar.row = next((n for n, end in enumerate(rows) if end <= bar.x), bar.record % ROWS)
            rows[bar.row] = max(bar.end, bar.x + 4)
