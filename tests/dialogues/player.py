"""Plays the client of a recorded dialogue to the reference engine, on a clock of its own.

The engine is started with the recorded command line, through `cleancut-qemu`'s reading of it. Each
message is sent at its recorded time, and not before the engine has said as much as QEMU had.
A step takes some time of that clock, so that fast jobs last a little, as on a real disk.
"""

import hashlib
import json
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cleancut_reference.assembly import assemble
from cleancut_reference.commands import version
from cleancut_reference.nbd.address import Listen, UnixAddress
from cleancut_reference.outputs import Console, Event, GuestDone, Reply, Shutdown
from cleancut_reference.qemu.plan import read_plan
from cleancut_reference.qmp.session import CAPABILITIES, Session
from cleancut_reference.schedule import Choose
from cleancut_reference.state import Options

from .given import lay_out_later
from .nbd_guest import NbdGuest
from .recording import AUTOMATIC, IMAGES, Recording, is_pause, is_reply, masked
from .schedules import Directed, InParallel

STEP_NS = 200_000
WORKERS = 64  # as QEMU's jobs have
PATIENCE_NS = 1_000_000_000


@dataclass
class Played:
    """What the engine said, and what was seen of images meanwhile, beside what was recorded."""

    messages: list[Any] = field(default_factory=list)
    replies: list[tuple[Any, Any]] = field(default_factory=list)  # request and reply
    printed: list[str] = field(default_factory=list)
    looks: list[tuple[Any, Any]] = field(default_factory=list)
    marks: list[int] = field(default_factory=list)  # how many messages there were at each request
    ended: bool = False


_SHORTENED = re.compile(r"(A)\.\.\.\[\d+ chars\]")  # by the recorder: a text of 1 MiB


class Player:
    """One dialogue, being held."""

    def __init__(self, recording: Recording, folder: Path, choose: Choose | None = None) -> None:
        words = [word.replace(IMAGES, str(folder)) for word in recording.command_line[1:]]
        wanted = read_plan(words).wanted
        wanted.image_root = Path("/")  # QEMU has none
        self._machine = assemble(wanted)
        self._machine._choose = choose = choose or InParallel()
        workers = WORKERS if isinstance(choose, InParallel) else 1
        self._machine.engine.state.options = Options(workers=workers)
        self._machine.listen = self._listen
        self._recording = recording
        self._folder = folder
        self._session = Session()
        self._now_ns = 0
        self._asked: list[Any] = []
        self._names: dict[str, str] = {}
        self._said = 0  # by the engine
        self._guest: NbdGuest | None = None
        self.played = Played()
        if isinstance(choose, Directed):
            choose.marks = self.played.marks

    def play(self) -> Played:
        """Hold the dialogue to its end."""
        said = 0  # by QEMU so far
        self._hear(
            {
                "QMP": {
                    "version": version(self._machine.engine.state.profile),
                    "capabilities": list(CAPABILITIES),
                }
            }
        )
        try:
            for record in self._recording.records:
                if record["dir"] == "recv":
                    said += not is_pause(record["msg"])
                    continue
                self._run(round(record["t"] * 1e9), said)
                if record["dir"] == "send":
                    self._send(record)
                elif record["dir"] == "io":
                    self._observe(record["note"])
            self._run(self._now_ns, said)
        finally:
            self._machine.disk.close()
        return self.played

    def _run(self, until_ns: int, said: int) -> None:
        """Let the engine work until this time, and until it has said as much as QEMU had."""
        engine, last_ns = self._machine.engine, max(until_ns, self._now_ns) + PATIENCE_NS
        while not self.played.ended:
            waits = self._said < said
            if self._now_ns >= (last_ns if waits else until_ns):
                return
            engine.advance(self._now_ns)
            busy = self._machine.step()
            self._collect()
            if busy:
                self._now_ns += STEP_NS
                continue
            wake_ns = engine.wake_ns()
            if wake_ns is None:
                self._now_ns = max(self._now_ns, until_ns)
                return
            self._now_ns = min(max(wake_ns, self._now_ns), last_ns if waits else until_ns)

    def _collect(self) -> None:
        for output in self._machine.engine.drain_outbox():
            match output:
                case Reply(body):
                    self._learn_names(body)
                    self._hear(body)
                    self.played.replies.append((self._asked.pop(0), self.played.messages[-1]))
                case Event(name, data):
                    self._hear({"event": name} | ({"data": data} if data else {}))
                case GuestDone() if self._guest is not None and self._guest.finished(output):
                    pass
                case GuestDone(console=text) | Console(text=text):
                    self.played.printed += text.splitlines()[:1]
                case Shutdown():
                    self.played.ended = True

    def _learn_names(self, body: Any) -> None:
        """Whatever QEMU called a node without a name, the engine calls it so."""
        replies = [message for message in self._recording.received() if is_reply(message)]
        index = len(self.played.replies)
        if index < len(replies):
            self._names |= dict(_named_alike(replies[index], body))

    def _hear(self, message: dict[str, Any]) -> None:
        self._said += not is_pause(message)
        self.played.messages.append(masked(json.loads(json.dumps(message)), str(self._folder)))

    def _listen(self, request: Listen) -> None:
        """Nobody comes by a socket, but its name is there."""
        if isinstance(request.address, UnixAddress):
            Path(request.address.path).touch()

    def _send(self, record: dict[str, Any]) -> None:
        self.played.marks.append(len(self.played.messages))
        text = record["raw"] if "raw" in record else json.dumps(record["msg"])
        text = _SHORTENED.sub(lambda match: match[1] * (1 << 20) + '"}}', text)
        text = AUTOMATIC.sub(lambda match: self._names.get(match[0], match[0]), text)
        data = text.replace(IMAGES, str(self._folder)).encode()
        data = data.replace(rb"\xff", b"\xff")  # as the recorder wrote a byte that is no text
        for request, answer in self._session.feed(data + b"\n"):
            self._asked.append(record.get("msg", record.get("raw")))
            self._machine.engine.receive(request, answer)

    def _observe(self, note: dict[str, Any]) -> None:
        if "look" in note:
            recorded = note["look"]
            path = self._folder / recorded["file"]
            seen = {"file": recorded["file"]}
            if path.exists():
                content = path.read_bytes()
                seen |= {"size": len(content), "md5": hashlib.md5(content).hexdigest()}
            self.played.looks.append(({key: recorded.get(key) for key in seen}, seen))
        elif "qemu-io" in note:
            self.played.looks.append((_without_speed(note["out"]), self._by_nbd(*note["qemu-io"])))
        elif "ls" in note:
            names = sorted(path.name for path in self._folder.iterdir())
            self.played.looks.append(({"ls": note["ls"]}, {"ls": names}))
            lay_out_later(self._recording, self._folder)
        elif "qemu-img" in note and note["qemu-img"][0] in ("create", "map"):
            out = self._qemu_img(*note["qemu-img"])
            if note["qemu-img"][0] == "map":
                self.played.looks.append((_without_offsets(note["out"]), _without_offsets(out)))

    def _by_nbd(self, _: str, url: str, *lines: str) -> list[str]:
        """Do what qemu-io did, as a client of an export."""
        self._guest = guest = NbdGuest(self._machine.engine.state, url, self._work)
        out = "".join(guest.qemu_io(line) for line in lines)
        guest.hang_up()
        return _without_speed(out)

    def _work(self) -> None:
        """Let the engine go on for a step; time passes."""
        self._now_ns += STEP_NS
        self._machine.engine.advance(self._now_ns)
        self._machine.step()
        self._collect()

    def _qemu_img(self, *arguments: str) -> str:
        command = ["qemu-img", *arguments]
        done = subprocess.run(command, cwd=self._folder, capture_output=True, text=True)
        return done.stdout


def _named_alike(recorded: Any, said: Any) -> Iterator[tuple[str, str]]:
    """The names that two servers made up for the same node."""
    if isinstance(recorded, dict) and isinstance(said, dict):
        for key in recorded.keys() & said.keys():
            yield from _named_alike(recorded[key], said[key])
    elif isinstance(recorded, list) and isinstance(said, list):
        for one, other in zip(recorded, said, strict=False):
            yield from _named_alike(one, other)
    elif all(isinstance(name, str) and AUTOMATIC.fullmatch(name) for name in (recorded, said)):
        yield recorded, said


def _without_speed(out: str) -> list[str]:
    return [line.partition("; ")[0] for line in out.splitlines()]


def _without_offsets(map_output: str) -> Any:
    """Where data lies in a file is the writer's business."""
    extents = json.loads(map_output or "[]")
    return [{key: part for key, part in extent.items() if key != "offset"} for extent in extents]
