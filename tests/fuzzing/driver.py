"""Drives the server with requests, step by step, and has the judge read the whole dialogue."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch

from cleancut_conformance.images import fill, look, make
from cleancut_conformance.judge.judge import Judge
from cleancut_reference.assembly import Wanted, assemble
from cleancut_reference.block import guest
from cleancut_reference.block.request import Op
from cleancut_reference.block.traffic import GuestRequest
from cleancut_reference.clock import pass_time
from cleancut_reference.commands import version
from cleancut_reference.jobs.job import CLUSTER_BYTES
from cleancut_reference.outputs import Event, GuestDone, Output, Reply, Shutdown
from cleancut_reference.qmp.session import Session
from cleancut_reference.state import Clock, Options
from cleancut_spec.profiles import PROFILES
from cleancut_spec.trace import Record
from tests.folders import quick_folder

from .exports import Exports

SIZES_BYTES: Final = {"d0": 5 * 65536, "d1": 3 * 65536 + 512}
MOST_STEPS: Final = 200_000
PATIENCE_NS: Final = 10_000_000_000  # what is to be retried for ever need not end
BAD: Final = (
    "driver=raw,node-name=bad,file.driver=blkdebug,file.inject-error.0.event=pwritev,"
    "file.inject-error.0.once=on,file.image.driver=null-co,file.image.size=327680"
)


class Broken(AssertionError):
    """The server has not kept a guarantee."""


class Dialogue:
    """One server, and what is said to it and by it."""

    def __init__(self, folder: Path, profile: str, seed: int) -> None:
        self.folder, self.records = folder, list[Record]()
        self._drives = {}
        for number, (name, size_bytes) in enumerate(SIZES_BYTES.items()):
            path = folder / f"{name}.img"
            extents = fill(number, size_bytes)
            make(path, size_bytes, extents)
            self._drives[name] = {"file": path.name, "size_bytes": size_bytes, "extents": extents}
        drives = [
            f"if=none,id={n},file={folder / d['file']},format=raw" for n, d in self._drives.items()
        ]
        null = [
            f"driver=null-co,node-name=n{n},size={s}" for n, s in enumerate(SIZES_BYTES.values())
        ]
        self.machine = assemble(
            Wanted(
                drives=drives,
                blockdevs=[*null, BAD],
                image_root=folder,
                seed=seed,
                profile=PROFILES[profile],
                clock=Clock.MANUAL,
            )
        )
        workers = 1 + seed % 3
        options = Options(max_chunk_bytes=CLUSTER_BYTES, workers=workers)  # jobs last a while
        self.machine.engine.state.options = options
        self.machine.disk._servers = Exports([*SIZES_BYTES.values()])
        self.machine.listen = lambda _: None  # nobody comes, but exports are there
        self._judge = Judge()
        self._session = Session(profile)
        self._io: dict[int, tuple[str, str]] = {}
        self.asked = self.answered = 0
        self.ended = False
        self._note("meta", {"format": 1, "cmdline": [], "drives": self._drives})
        greeting = {"version": version(self.machine.engine.state.profile), "capabilities": []}
        self._record(Record("recv", 0, msg={"QMP": greeting}))
        self.send({"execute": "qmp_capabilities"})

    def send(self, request: Any) -> None:
        """Send one request."""
        self._record(Record("send", 0, msg=request))
        self.asked += 1
        for read, answer in self._session.feed(json.dumps(request).encode() + b"\n"):
            self.machine.engine.receive(read, answer)

    def step(self) -> bool:
        """Let the server take one step; false if none is enabled."""
        with patch.object(guest, "submit", self._submit(guest.submit)):
            moved = self.machine.step()
        for output in self.machine.engine.drain_outbox():
            self._hear(output)
        return moved

    def rest(self) -> None:
        """Let all happen that can; raises Broken where it never ends."""
        engine = self.machine.engine
        until_ns = engine.state.now_ns + PATIENCE_NS
        for _ in range(MOST_STEPS):
            if self.step() or pass_time(engine):
                continue
            for output in engine.drain_outbox():  # time may have answered `clock_step`
                self._hear(output)
            wake_ns = engine.wake_ns()
            if wake_ns is None or wake_ns > until_ns:
                return
            engine.advance(wake_ns)
        raise Broken(f"no rest after {MOST_STEPS} steps")

    def close(self) -> None:
        """End it in good order; raises Broken if it does not end."""
        self.send({"execute": "quit"})
        for _ in range(self.asked):  # what waits in the queue may set breakpoints anew
            self.rest()
            self._let_go()
        if not self.ended or self.answered != self.asked:
            raise Broken(f"{self.answered} of {self.asked} requests are answered, {self.ended=}")
        self.machine.disk.close()
        self._note("meta", {"exit": 0})
        self._fail(self._judge.close())

    def observe(self, names: Iterable[str]) -> None:
        """Have the judge look at image files."""
        for name in names:
            size_bytes, extents = look(self.folder / name)
            note = {"image": name, "size_bytes": size_bytes, "extents": extents}
            self._note("observe", note)

    def _let_go(self) -> None:
        """What a breakpoint holds goes on."""
        for node in self.machine.engine.state.graph.nodes.values():
            node.breakpoints.clear()
            node.suspended.clear()

    def _submit(self, right: Any) -> Any:
        def submit(state: Any, drive: Any, op: Any, *rest: Any, **more: Any) -> GuestRequest:
            number = state.next_request
            self._io[number] = (drive.name, _command(op, *rest))
            return right(state, drive, op, *rest, **more)

        return submit

    def _hear(self, output: Output) -> None:
        match output:
            case Reply(body):
                self.answered += 1
                self._record(Record("recv", 0, msg=json.loads(json.dumps(body))))
            case Event(name, data):
                stamp = {"timestamp": {"seconds": 1, "microseconds": 1}}
                told = {"event": name} | ({"data": data} if data else {}) | stamp
                self._record(Record("recv", 0, msg=json.loads(json.dumps(told))))
            case GuestDone(request=number, errno=errno) if number in self._io:
                drive, command = self._io.pop(number)
                note = {"guest": drive, "cmd": command, "result": errno or "ok"}
                self._note("io", note)
            case Shutdown():
                self.ended = True

    def _note(self, direction: Any, note: dict[str, Any]) -> None:
        self._record(Record(direction, 0, note=note))

    def _record(self, record: Record) -> None:
        self.records.append(record)
        self._fail(self._judge.feed(record))

    def _fail(self, findings: list[Any]) -> None:
        if findings:
            tail = "\n".join(record.to_json()[:300] for record in self.records[-30:])
            raise Broken(f"{findings[0]}\n{tail}")


def _command(
    op: Op, offset_bytes: int = 0, length_bytes: int = 0, data: bytes = b"", *_: Any
) -> str:
    """The request as the judge reads it."""
    how = {"write": f"write -P {data[0] if data else 0}", "write-zeroes": "write -z"}
    return f"{how.get(str(op), str(op))} {offset_bytes} {length_bytes}"


def hold(requests: list[tuple[Any, int]], profile: str, seed: int, *, foretold: bool) -> None:
    """Send each request and take as many steps; raises Broken, or what the server raises.

    With `foretold` the requests keep to backups, so that the content of all images is judged.
    """
    with quick_folder() as name:
        folder = Path(name)
        dialogue = Dialogue(folder, profile, seed)
        try:
            for request, steps in requests:
                dialogue.send(request)
                for _ in range(steps):
                    if not dialogue.step():
                        break
            if foretold:
                dialogue.rest()
                dialogue.observe([f"{drive}.img" for drive in SIZES_BYTES])
            dialogue.close()
            if foretold:
                targets = [path.name for path in sorted(folder.glob("t*"))]
                dialogue.observe(targets)
        finally:
            dialogue.machine.disk.close()
