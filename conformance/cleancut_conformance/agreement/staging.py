"""A schedule on the engine as a dialogue that can be judged: what a client sees of each step.

The engine is that of the bench, with clusters as large as real ones and every write's bytes its
own. After the schedule the run goes on by itself until nothing is left to do, in an order that is
chosen; then a client looks at everything. The judge reads the trace as it reads any other.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final

from cleancut_conformance.agreement.bench import BITMAP, Bench, build, target_name
from cleancut_conformance.agreement.following import CannotFollow, move_engine
from cleancut_conformance.images import CLUSTER_BYTES, compress
from cleancut_conformance.judge import Finding, Judge
from cleancut_model.options import Options
from cleancut_reference.commands import version
from cleancut_reference.outputs import Event, GuestDone, Output, Reply
from cleancut_reference.step import Step
from cleancut_spec.profiles import PROFILES
from cleancut_spec.schedule import Move
from cleancut_spec.trace import FORMAT, Record

VERSION: Final = "7.2"
MOST_STEPS: Final = 400  # that a run goes on by itself
FIRST_BYTE: Final = 0xD0  # what the drives hold at first; each guest's write has a byte of its own

Order = Callable[[list[Step]], Step]


@dataclass(slots=True, eq=False)
class Written:
    """A guest's write: its cluster, what the trace says of it, and the record of its end."""

    drive: int
    cluster: int
    note: dict[str, Any]
    ended: int | None = None


@dataclass(slots=True, eq=False)
class Stage(Bench):
    """A bench that writes down what a client sees of it."""

    records: list[Record] = field(default_factory=list)
    #: Commands that wait for their reply.
    unanswered: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    cancelled: set[int] = field(default_factory=set)  # drives whose jobs the client has cancelled
    failed: set[int] = field(default_factory=set)  # of whose jobs an error was told
    paused: dict[int, int | None] = field(default_factory=dict)  # and where paused ones stood
    offsets: dict[int, int] = field(default_factory=dict)  # of drives' jobs, as last listed
    resumed: dict[int, int] = field(default_factory=dict)  # and where those resumed had stood
    writes: dict[int, Written] = field(default_factory=dict)  # those that have not ended
    written: list[Written] = field(default_factory=list)
    held: dict[str, bytes] = field(default_factory=dict)  # what targets had before the transaction
    bits: dict[str, int] = field(default_factory=dict)  # and how much of each drive was dirty
    started: dict[int, int] = field(default_factory=dict)  # the record in which a drive's job runs
    saved: dict[int, int] = field(default_factory=dict)  # that of a drive's last complete backup
    heard_to: int | None = None  # the first record that the client does not hear
    changes: bool = False  # the transaction changes bitmaps, and no backup uses them

    def add(self, kind: Any, message: Any = None, **note: Any) -> None:
        """Write a record; the time is its number."""
        self.records.append(Record(kind, float(len(self.records)), message, None, note))

    def open(self) -> None:
        """The header, the greeting, and what was there before."""
        drives = {}
        for index, drive in enumerate(self.state.graph.drives):
            image = self.source(index)
            content = bytes([FIRST_BYTE + index]) * len(self.disk.content[image])
            self.disk.content[image] = content
            extents = [[0, len(content), FIRST_BYTE + index]]
            drives[drive.name] = {"file": f"{drive.name}.img", "size_bytes": len(content),
                                  "extents": extents}  # fmt: skip
        self.add("meta", format=FORMAT, target="engine", drives=drives, exact=True)
        self.add("recv", {"QMP": {"version": version(PROFILES[VERSION]), "capabilities": []}})
        self.add("send", {"execute": "qmp_capabilities"})
        self.add("recv", {"return": {}})

    def command(self, name: str, **arguments: Any) -> bool:
        """The same, written down."""
        if name == "transaction":
            self.observe()
            self.held = self.targets()
            self.bits = self.dirty_bytes()
        self.add("send", {"execute": name, "arguments": arguments})
        self.unanswered.append((name, arguments))
        taken = Bench.command(self, name, **arguments)
        while name.startswith("query") and self.engine.current is not None:
            self.take(self.steps()[0])
        return taken

    def write(self, drive: int, cluster: int, value: int) -> None:
        """A guest's write with a byte of its own, whatever the value."""
        byte = 1 + len(self.written)
        before = len(self.traffic(drive).requests)
        Bench.write(self, drive, cluster, byte)
        request = self.traffic(drive).requests[before]
        command = f"write -P {byte:#04x} {request.offset_bytes} {request.length_bytes}"
        note = {"guest": f"d{drive}", "cmd": command, "by": "engine"}
        self.writes[request.id] = Written(drive, cluster, note)
        self.written.append(self.writes[request.id])
        self.add("io", **note)

    def listen(self) -> list[Output]:
        """The same, written down."""
        outputs = Bench.listen(self)
        for output in outputs:
            match output:
                case Reply(body):
                    self._answered(self.unanswered.pop(0), body)
                    self.add("recv", body)
                case Event(name, data):
                    stamp = {"seconds": len(self.records), "microseconds": 0}
                    self.add("recv", {"event": name, "data": data, "timestamp": stamp})
                    self._told(name, data)
                case GuestDone(request, errno):
                    write = self.writes.pop(request)
                    write.ended = len(self.records)
                    self.add("io", **write.note, result=errno or "ok")
        return outputs

    def _told(self, name: str, data: dict[str, Any]) -> None:
        drive = self.drive_of(data.get("device", data.get("id", "")))
        if drive is None:
            return
        if name == "JOB_STATUS_CHANGE" and data["status"] == "created":
            self.cancelled.discard(drive)
            self.failed.discard(drive)
            self.started.pop(drive, None)
            self.offsets.pop(drive, None)
            self.resumed.pop(drive, None)
        elif name == "JOB_STATUS_CHANGE" and data["status"] == "running":
            self.started.setdefault(drive, len(self.records))
        elif name == "BLOCK_JOB_ERROR":
            self.failed.add(drive)
        elif name == "BLOCK_JOB_COMPLETED" and "error" in data and not self.failed:
            self._fails(drive, data)
        elif name == "BLOCK_JOB_CANCELLED" and not (self.cancelled or self.failed):
            self.find(
                "JOB-END-1", f"job {data['device']} is cancelled, and nobody has asked for it"
            )

    def _fails(self, drive: int, data: dict[str, Any]) -> None:
        """A job fails, and nothing that it did has: each clause that says otherwise is broken."""
        name = data["device"]
        clause = "EV-FINAL-2" if drive in self.cancelled else "JOB-END-1"
        self.find(clause, f"job {name} fails, and no request has failed")
        if drive in self.cancelled and data["offset"] < data["len"]:
            self.find("JOB-CANCEL-1", f"job {name} was cancelled, and ends with an error")
        if drive in self.paused:
            self.find("JOB-PAUSE-1", f"job {name} is paused, and ends with an error")

    def _answered(self, command: tuple[str, dict[str, Any]], body: dict[str, Any]) -> None:
        name, arguments = command
        drive = self.drive_of(arguments.get("device", arguments.get("id", "")))
        if drive is None or "return" not in body:
            return
        if name.endswith("job-cancel"):
            self.cancelled.add(drive)
        if name.endswith("job-pause"):
            self.paused[drive] = None
        elif name.endswith(("job-resume", "job-cancel")):
            self.paused.pop(drive, None)
        if name.endswith("job-resume"):
            self.resumed[drive] = self.offsets.get(drive, 0)

    def find(self, clause: str, words: str) -> None:
        """A deviation that a client sees for itself."""
        self.findings.append(Finding(len(self.records), clause, words))

    def forget(self) -> None:
        """The same; a backup that is complete has what was written before it."""
        self.saved = {drive: self.saved_at(drive) for drive in range(len(self.finals))}
        Bench.forget(self)

    def saved_at(self, drive: int) -> int:
        """The record after which all that is written is to be dirty."""
        whole = self.finals[drive] == "COMPLETED" and not self.changes
        return self.started.get(drive, -1) if whole else self.saved.get(drive, -1)

    def hang_up(self) -> None:
        """The client goes; of what follows the judge hears nothing."""
        self.heard_to = len(self.records)
        Bench.hang_up(self)
        self.unanswered.clear()

    def poll(self) -> None:
        """Ask for the jobs, where the monitor is free."""
        if not self.unanswered and self.engine.current is None:
            self.command("query-block-jobs")
            for entry in self.records[-1].msg["return"]:
                self._stands(entry)

    def _stands(self, entry: dict[str, Any]) -> None:
        """A job that the client has paused makes no progress while no guest writes."""
        drive = self.drive_of(entry["device"])
        if drive is None:
            return
        self.offsets[drive] = entry["offset"]
        if entry["offset"] < self.resumed.get(drive, 0):
            self.find("JOB-RESUME-1", f"{entry['device']} was resumed, and does again what it had")
        if drive not in self.paused:
            return
        before = self.paused[drive]
        if before is not None and entry["offset"] > before and not self.writes:
            self.find("JOB-PAUSE-1", f"{entry['device']} is paused, and its offset has grown")
        self.paused[drive] = None if self.writes else entry["offset"]

    def targets(self) -> dict[str, bytes]:
        """What lies where the backups go."""
        names = set(map(target_name, range(len(self.finals))))
        return {name: content for name, content in self.disk.content.items() if name in names}

    def dirty_bytes(self) -> dict[str, int]:
        """How much of each drive is dirty by what `query-block` says of its bitmap."""
        if self.unanswered or self.engine.current is not None:
            return {}
        self.command("query-block")
        reply = next(r.msg["return"] for r in reversed(self.records) if "return" in (r.msg or {}))
        found: dict[str, int] = {}
        for drive in reply:
            bitmaps = drive.get("inserted", {}).get("dirty-bitmaps", [])
            counts = [each["count"] for each in bitmaps if each.get("name") == BITMAP]
            found |= dict.fromkeys([drive["device"]] * len(counts), sum(counts))
        return found

    def observe(self) -> None:
        """Look at all images, as a reader of the files does."""
        for index, drive in enumerate(self.state.graph.drives):
            self._look(f"{drive.name}.img", self.disk.content[self.source(index)])
            self._look(target_name(index), self.disk.content.get(target_name(index)))

    def _look(self, image: str, content: bytes | None) -> None:
        if content is None:
            self.add("observe", image=image, size_bytes=None, extents=[])
            return
        self.add("observe", image=image, size_bytes=len(content), extents=compress(bytes(content)))


# ---- orders in which a run goes on


def _first(words: Sequence[str]) -> Order:
    """Steps of which the name begins with one of these come first, in this order."""

    def choose(steps: list[Step]) -> Step:
        def rank(step: Step) -> int:
            name = step.label.name if step.label else ""
            return next((n for n, word in enumerate(words) if name.startswith(word)), len(words))

        return min(steps, key=rank)

    return choose


def _random(seed: int) -> Order:
    chosen = Random(seed)
    return lambda steps: chosen.choice(steps)


def orders() -> Iterator[tuple[str, Order]]:
    """Some orders, each by name: what is in the way of a deviation is not known beforehand."""
    yield "as offered", lambda steps: steps[0]
    yield "guests first", _first(("guest", "cbw"))
    yield "jobs first", _first(("copy", "finish", "complete", "abort", "group"))
    yield "writes of copies last", _first(("guest", "cbw", "copy_claim", "finish"))
    for seed in range(1, 13):
        yield f"at random, seed {seed}", _random(seed)


# ---- the run


@dataclass(frozen=True, slots=True)
class Staged:
    """A run that was judged: how far the schedule could be followed, and what was found."""

    records: list[Record]
    findings: list[Finding]
    followed: int
    stopped: str  # why the schedule could be followed no further; empty if it was to its end

    def clauses(self) -> set[str]:
        """The clauses that were broken."""
        return {finding.clause for finding in self.findings}


def stage(
    options: Options, moves: Sequence[Move], order: Order, *, refuse_next: bool = False
) -> Staged:
    """Run a schedule, go on in an order, and judge it all; with `refuse_next` targets cannot be
    opened after the schedule, so that a transaction under way fails."""
    bench = build(options, CLUSTER_BYTES, Stage)
    assert isinstance(bench, Stage)
    bench.open()
    bench.changes = options.changes
    followed, stopped = 0, ""
    try:
        try:
            for move in moves:
                move_engine(bench, options, move, moves)
                followed += 1
                bench.poll()
        except CannotFollow as error:
            stopped = str(error)
        _look_at_all(bench)
        _go_on(bench, order, refuse_next)
        _compare(bench)
        for drive in range(options.drives):  # which must let a guest write
            bench.write(drive, 0, 1)
        _go_on(bench, order, refuse_next)
        _demand_ends(bench)
        _look_at_all(bench)
        bench.add("meta", exit=0)
    except AssertionError as error:
        bench.add("meta", exit=-6, stderr=f"the engine's own assertion fails: {error}")
    judge = Judge(VERSION)
    read = [finding for record in bench.records[: bench.heard_to] for finding in judge.feed(record)]
    findings = [*read, *judge.close(), *bench.findings]
    return Staged(bench.records, findings, followed, stopped)


def _go_on(bench: Stage, order: Order, refuse_next: bool) -> None:
    """Until nothing is left to do; a client does what only a client can."""
    for _ in range(MOST_STEPS):
        steps = bench.steps()
        if steps:
            step = order(steps)
            fails = refuse_next and step.label is not None and step.label.name == "prepare"
            bench.take(step, "EIO" if fails else "")
            bench.poll()
        elif not _client_acts(bench):
            return


def _client_acts(bench: Stage) -> bool:
    """Resume, finalize, dismiss or cancel the first job that waits for it; whether there is one."""
    if bench.unanswered:
        return False
    for job in bench.state.jobs:
        if job.user_paused:
            return bench.command("job-resume", id=job.id)
        if str(job.status) == "pending" and not job.settings.auto_finalize:
            return bench.command("job-finalize", id=job.id)
        if str(job.status) == "concluded":
            return bench.command("job-dismiss", id=job.id)
        if str(job.status) == "running" and not job.copies_by_itself and not job.ending:
            return bench.command("job-cancel", id=job.id)
    return False


def _demand_ends(bench: Stage) -> None:
    """What has not come to its end although nothing is in its way any more."""
    for name, _ in bench.unanswered:
        bench.find("QMP-ORDER-1", f"{name} is never answered")
    for write in bench.writes.values():
        bench.find("GUEST-LIVE-1", f"{write.note['guest']} {write.note['cmd']!r} does not end")
    if not bench.unanswered:
        for job in bench.state.jobs:
            words = "has neither ended nor does it wait for the client"
            bench.find("JOB-END-1", f"job {job.id} {words}")


def _compare(bench: Stage) -> None:
    """What a failed transaction has changed, and writes that no bitmap remembers."""
    if bench.unanswered:
        return
    refused = bench.outcome == "refuse"
    for name, content in bench.targets().items():
        if refused and bench.held.get(name, content) != content:
            bench.find("TX-KEEP-1", f"the failed transaction has changed {name}")
    dirty = bench.dirty_bytes()
    for device, before in bench.bits.items():
        if refused and dirty.get(device, 0) < before:
            bench.find("BITMAP-TX-1", f"{before} bytes of {device} were dirty before that failed")
    for device, now in dirty.items():
        drive, after = int(device[1:]), bench.saved_at(int(device[1:]))
        ended = [w for w in bench.written if w.drive == drive and w.ended is not None]
        since = {write.cluster for write in ended if (write.ended or 0) > after}
        if now < len(since) * CLUSTER_BYTES:
            clause = "BITMAP-TX-1" if bench.changes else "BITMAP-KEEP-1"
            bench.find(clause, f"{len(since)} clusters of {device} were written, {now} bytes dirty")


def _look_at_all(bench: Stage) -> None:
    if not bench.unanswered and bench.engine.current is None:
        bench.command("query-block-jobs")
        bench.command("query-jobs")
    bench.observe()
