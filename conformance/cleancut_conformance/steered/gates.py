"""Requests to targets that are held by breakpoints, and whose they are."""

import queue
import re
import time
from dataclasses import dataclass, field
from typing import Final

from cleancut_conformance.console import Console, Request
from cleancut_conformance.dialogue import Dialogue
from cleancut_conformance.qemu_io import monitor
from cleancut_conformance.targets.layers import EVENTS

_HELD: Final = re.compile(r"blkdebug: Suspended request '(\w+)'")
POLL_S: Final = 0.02

#: Whose request to a target is: that of the background copy, or of copy-before-write.
COPY, CBW = "copy", "cbw"


@dataclass(slots=True)
class Gate:
    """Before a target: the next write to it is held, and then the one after it."""

    drive: int
    armed: str = ""  # the tag of the breakpoint
    held: dict[str, str] = field(default_factory=dict)  # tag to whose it is, oldest first
    passed: int = 0


class Gates:
    """The gates of all targets, the guest's writes under way, and the console that tells."""

    def __init__(self, dialogue: Dialogue, drives: int) -> None:
        self.gates = [Gate(drive) for drive in range(drives)]
        self.writes: dict[int, Request] = {}  # the one under way of each drive
        self._dialogue = dialogue
        self._console = Console()

    # ---- the monitor

    def ask(self, guest: str, command: str) -> None:
        """A command of the human monitor about a drive, answered at once."""
        self._dialogue.send([monitor(guest, command)])
        self._dialogue.reply("qemu-io")

    def arm(self, gate: Gate) -> None:
        """Hold the next write to a target."""
        gate.armed = f"g{gate.drive}n{gate.passed}"
        gate.passed += 1
        self.ask(f"t{gate.drive}", f"break {EVENTS['write']} {gate.armed}")

    def write(self, drive: int, offset_bytes: int, length_bytes: int, byte: int) -> None:
        """The guest submits a write."""
        command = f"aio_write -P {byte:#04x} {offset_bytes} {length_bytes}"
        request = Request(f"d{drive}", command)
        self.writes[drive] = request
        self._console.open.append(request)
        self._dialogue.recorder.add("io", note={"guest": f"d{drive}", "cmd": command})
        self.ask(f"d{drive}", command)

    # ---- the console

    def listen(self, until_s: float) -> None:
        """Read what QEMU prints until this instant, or until there is nothing."""
        while True:
            try:
                _, line = self._dialogue.session.console.get(
                    timeout=max(0.001, min(POLL_S, until_s - time.monotonic()))
                )
            except queue.Empty:
                return
            if (match := _HELD.search(line)) is not None:
                self._is_held(match[1])
            elif (ended := self._console.line(line)) is not None:
                note = {"guest": ended.guest, "cmd": ended.command, "result": ended.result}
                self._dialogue.recorder.add("io", note=note)

    def _is_held(self, tag: str) -> None:
        gate = next(gate for gate in self.gates if gate.armed == tag)
        write = self.writes.get(gate.drive)
        waits = write is not None and not write.result and CBW not in gate.held.values()
        gate.held[tag] = CBW if waits else COPY
        self.arm(gate)

    def held(self, drive: int, whose: str) -> str:
        """The tag of the oldest request of this kind that is held; empty if there is none."""
        return next((tag for tag, who in self.gates[drive].held.items() if who == whose), "")

    def release(self, drive: int, tag: str) -> None:
        """Let a request go on."""
        del self.gates[drive].held[tag]
        self.ask(f"t{drive}", f"resume {tag}")

    def open_all(self) -> None:
        """Let everything go on, and hold nothing more."""
        for gate in self.gates:
            if gate.armed:
                self.ask(f"t{gate.drive}", f"remove_break {gate.armed}")
            for tag in list(gate.held):
                self.release(gate.drive, tag)
            gate.armed = ""
