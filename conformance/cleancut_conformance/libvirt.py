"""Reads the log of libvirt's QEMU driver as the dialogues that it tells of.

With the log filter `1:qemu.qemu_monitor` (or 2) libvirtd writes a line for each message: the probes
QEMU_MONITOR_SEND_MSG, QEMU_MONITOR_RECV_REPLY and QEMU_MONITOR_RECV_EVENT, each with the address of
the monitor. Greetings are told of at level 1 only. Lines may come from many machines at once.
"""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from cleancut_spec.trace import FORMAT, Dir, Record

_PROBE: Final = re.compile(
    r"^(?P<time>\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+)\+0000: .*?"
    r"QEMU_MONITOR_(?P<kind>SEND_MSG|RECV_REPLY|RECV_EVENT): mon=(?P<mon>\S+) "
    r"(?:msg|reply|event)=(?P<rest>\{.*)"
)
_DIR: Final[dict[str, Dir]] = {"SEND_MSG": "send", "RECV_REPLY": "recv", "RECV_EVENT": "recv"}
_OPENED: Final = "qmp_capabilities"


@dataclass(slots=True)
class Monitor:
    """The dialogue with one machine."""

    name: str
    first: datetime
    records: list[Record] = field(default_factory=list)
    asked: set[str] = field(default_factory=set)  # ids of requests, as JSON

    def add(self, direction: Dir, at: datetime, message: dict[str, Any]) -> None:
        """A message; a reply to what was asked before the log began is left out."""
        request_id = json.dumps(message.get("id"))
        if direction == "send":
            self.asked.add(request_id)
        elif "event" not in message and request_id not in self.asked:
            return
        self.records.append(Record(direction, (at - self.first).total_seconds(), message))

    def trace(self, source: str) -> list[Record]:
        """The records with header and footer; the log does not tell when the dialogue began."""
        header = {
            "format": FORMAT, "target": f"libvirt monitor {self.name}", "joined": True,
            "recorded": f"converted from {source}", "started": self.first.isoformat(),
        }  # fmt: skip
        last = self.records[-1].t if self.records else 0.0
        footer = {"ended": "the log ends"}
        return [Record("meta", 0.0, note=header), *self.records, Record("meta", last, note=footer)]


class LogError(ValueError):
    """A line that names a message which cannot be read."""


def read_log(lines: Iterable[str]) -> list[Monitor]:
    """The dialogues in a log, in the order in which they begin; raises LogError.

    An address that is used anew, for another machine, begins a dialogue of its own.
    """
    found: list[Monitor] = []
    newest: dict[str, Monitor] = {}
    for number, line in enumerate(lines, start=1):
        match = _PROBE.match(line)
        if match is None:
            continue
        message = _message(match["rest"], number)
        at = datetime.fromisoformat(match["time"]).replace(tzinfo=UTC)
        monitor = newest.get(match["mon"])
        if monitor is None or message.get("execute") == _OPENED:
            monitor = newest[match["mon"]] = Monitor(match["mon"], at)
            found.append(monitor)
        monitor.add(_DIR[match["kind"]], at, message)
    return [monitor for monitor in found if monitor.records]


def _message(text: str, number: int) -> dict[str, Any]:
    try:
        value, _ = json.JSONDecoder().raw_decode(text)
    except (ValueError, RecursionError) as error:
        raise LogError(f"line {number}: the message is no JSON: {error}") from None
    assert isinstance(value, dict)  # the pattern wants a brace
    return value
