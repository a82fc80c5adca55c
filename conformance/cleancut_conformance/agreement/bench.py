"""The reference engine on a bench: disks of a few bytes, every step taken by hand."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from cleancut_conformance.agreement.tiny_disk import TinyDisk
from cleancut_model.options import Options
from cleancut_reference.block import guest
from cleancut_reference.block.dirty_bitmap import DirtyBitmap
from cleancut_reference.block.graph import Graph
from cleancut_reference.block.node import FILTERS, Drive, Node
from cleancut_reference.block.request import Failed, Opened, Outcome
from cleancut_reference.block.traffic import GuestOp, Traffic
from cleancut_reference.engine import Engine
from cleancut_reference.jobs.job import Job
from cleancut_reference.outputs import Event, Output, Reply
from cleancut_reference.state import Options as Sizes
from cleancut_reference.state import State
from cleancut_reference.step import Step
from cleancut_spec.jobs import Status as JobStatus
from cleancut_spec.schedule import Label

CLUSTER_BYTES: Final = 4
BITMAP: Final = "b"  # of each drive, where the instance has bitmaps
MORE: Final = "more"  # another one, which is disabled, where bitmaps change

#: Commands whose first step bears a label.
BEGINNING: Final = frozenset({"transaction", "drive-backup", "blockdev-backup"})

#: Arguments that make an action fail: before its drive is drained, when its target is open (there
#: by one of two checks), and when its job is made.
AT_ONCE: Final[Mapping[str, Any]] = {"target": "nowhere:"}
HALFWAY: Final[Sequence[Mapping[str, Any]]] = ({"filter-node-name": "no name"}, {"compress": True})
AT_LAST: Final[Mapping[str, Any]] = {"speed": -1}
#: The same, where a bitmap says what is copied and is changed in the end: this one cannot be.
LOCKED: Final[Mapping[str, Any]] = {"bitmap": "locked"}


@dataclass(slots=True, eq=False)
class Bench:
    """An engine, its disks, and what has come out of it that the model speaks of."""

    engine: Engine
    disk: TinyDisk
    finals: list[str]  # of each drive: its job's final event, as the model names it
    cluster_bytes: int = CLUSTER_BYTES
    told: dict[str, str] = field(default_factory=dict)  # each job's last status in events
    announced: list[str] = field(default_factory=list)  # jobs that wait for the client to finalize
    outcome: str = ""  # of the transaction: reply or refuse
    doomed: bool = False  # an action of the transaction under way is one that must be refused
    failures: list[int] = field(default_factory=list)  # copies of each drive that have failed
    arrived: int = 0  # guest writes that have arrived
    over: int = 0  # transactions that are over
    connected: bool = True  # the client
    asked: int = 0  # commands that a client waits for the answers of
    changed: dict[int, str] = field(default_factory=dict)  # by drive: what was done to its bitmap
    heard: list[Output] = field(default_factory=list)  # what came out since it was cleared

    @property
    def state(self) -> State:
        """The engine's state."""
        return self.engine.state

    def traffic(self, drive: int) -> Traffic:
        """The guest requests of a drive."""
        return self.state.graph.traffics[drive]

    def source(self, drive: int) -> str:
        """The name of a drive's node, below any filter."""
        root = self.state.graph.drives[drive].root
        assert root is not None, "drives of the bench have media"
        return root.performer.name

    @property
    def sources(self) -> list[str]:
        """The names of all drives' nodes."""
        return [self.source(drive) for drive in range(len(self.finals))]

    def job(self, drive: int) -> Job | None:
        """The job of a drive."""
        return next((job for job in self.state.jobs if job.index == drive), None)

    def bitmap(self, drive: int) -> DirtyBitmap | None:
        """The bitmap of a drive."""
        return self.state.graph.nodes[self.source(drive)].bitmap(BITMAP)

    def target(self, drive: int) -> bytes:
        """What lies where the drive's backup goes; nothing where there is no image yet."""
        return self.disk.content.get(target_name(drive), b"")

    def drive_of(self, job_id: str) -> int | None:
        """The drive whose backup bears this id; None for another job."""
        names = [drive.name for drive in self.state.graph.drives]
        return names.index(job_id) if job_id in names else None

    def misled(self) -> str:
        """Where the client was told another status than a job has, or not answered, in words."""
        if self.asked and self.engine.current is None:
            return f"no command is under way, and {self.asked} are not answered"
        if self.engine.current is None and (left := self.disk.images.keys() ^ self._with_images()):
            return f"{sorted(left)}: a node whose image is closed, or an open image without a node"
        has = {job.id: str(job.status) for job in self.state.jobs}
        for job_id, told in self.told.items():
            if told != has.get(job_id, "null"):
                return f"{job_id} is {has.get(job_id, 'gone')}, and its last event says {told}"
        for job in self.state.jobs:
            if job.status is JobStatus.RUNNING and job.source.traffic.drained and not job.in_flight:
                return f"{job.id} is running, and its drive is drained"
            if job.bitmap is not None and not job.bitmap.busy:
                return f"{job.id} copies by a bitmap that is not shown as busy"
        waiting = [
            job.id
            for job in self.state.jobs
            if job.status is JobStatus.PENDING and not job.settings.auto_finalize
        ]
        if sorted(waiting) != sorted(self.announced):
            return (
                f"{waiting} are to be finalized, and BLOCK_JOB_PENDING was told of {self.announced}"
            )
        return ""

    def _with_images(self) -> set[str]:
        """The nodes that have an image open."""
        nodes = self.state.graph.nodes.items()
        return {name for name, node in nodes if node.driver not in FILTERS}

    def steps(self) -> list[Step]:
        """What the engine can do next."""
        return list(self.engine.steps())

    def take(self, step: Step, errno: str = "") -> Label | None:
        """Take a step; with an errno its request fails. Says what happened."""
        outcome: Outcome = None
        jobs = self.state.jobs if errno else []
        silent = {job.index for job in jobs if job.ending or job.io_status != "ok"}
        if step.io is not None:
            outcome = Failed(errno) if errno else self.disk.perform(step.io)
        label = self.engine.take(step, outcome)
        if label is not None and label.name in ("reply", "refuse"):
            assert label.name == "refuse" or not self.doomed, "what must be refused is done"
            self.outcome, self.doomed = label.name, False
        if label is not None and label.name.startswith(("fail_copy", "fail_cbw")):
            assert label.drive is not None, "what has failed is a copy of a drive"
            self.failures[label.drive] += 1
            self._check_io_status(label.drive, errno)
        if label is not None and label.name.startswith(("prepare_", "rollback_")):
            assert label.drive is not None, "a bitmap is that of a drive"
            self.changed.pop(label.drive, None)
            if label.name.startswith("prepare_"):
                self.changed[label.drive] = label.name.removeprefix("prepare_")
        heard = self.listen()
        if label is not None and label.name.startswith("fail_copy"):
            told = any(isinstance(o, Event) and o.name == "BLOCK_JOB_ERROR" for o in heard)
            assert told != (label.drive in silent), f"{label}: told by an event: {told}"
        return label

    def _check_io_status(self, drive: int, errno: str) -> None:
        """A job that an error has stopped shows which kind it was."""
        job = self.job(drive)
        shown = "ok" if job is None else job.io_status
        assert shown in ("ok", "nospace" if errno == "ENOSPC" else "failed"), f"{errno} is {shown}"

    def listen(self) -> list[Output]:
        """Hear what has come out; final events are kept."""
        outputs = self.engine.drain_outbox()
        self.heard += outputs
        for output in outputs:
            if isinstance(output, Reply):
                assert self.asked, f"a reply to nobody: {output.body}"
                self.asked -= 1
            if isinstance(output, Event) and output.name == "JOB_STATUS_CHANGE":
                self.told[output.data["id"]] = output.data["status"]
                if output.data["id"] in self.announced:
                    self.announced.remove(output.data["id"])
            elif isinstance(output, Event) and output.name == "BLOCK_JOB_PENDING":
                self.announced.append(output.data["id"])
            elif isinstance(output, Event) and (final := final_of(output)):
                drive = self.drive_of(output.data["device"])
                if drive is None:
                    continue
                before = self.finals[drive]
                self.finals[drive] = final if before == "NO_EVENT" else "TWICE"
        return outputs

    def command(self, name: str, **arguments: Any) -> bool:
        """The client's command is taken up at once; false if it is refused."""
        self.asked += 1
        self.engine.receive({"execute": name, "arguments": arguments})
        label = self.engine.take(next(self.engine.steps()))
        begins = Label("begin") if name in BEGINNING else None
        assert label in (begins, None), f"{name} is called {label}"
        assert label or not begins or self.engine.current is None, f"{name} begins without a label"
        refused = any(isinstance(o, Reply) and "error" in o.body for o in self.listen())
        if name == "block-job-cancel" and not refused:
            job = self.state.job(arguments["device"])
            assert job is None or not job.user_paused, "a job that is cancelled is still paused"
        return not refused

    def write(self, drive: int, cluster: int, value: int) -> None:
        """A guest's write arrives."""
        way_in = self.state.graph.drives[drive]
        assert way_in.root is not None, "drives of the bench have media"
        offset_bytes = cluster * self.cluster_bytes
        length_bytes = min(self.cluster_bytes, way_in.root.size_bytes - offset_bytes)
        data = bytes([value]) * length_bytes
        guest.submit(self.state, way_in, GuestOp.WRITE, offset_bytes, length_bytes, data)
        self.arrived += 1
        self.listen()

    def hang_up(self) -> None:
        """The client goes; what it has asked for last is not taken up any more."""
        self.engine.receive({"execute": "job-cancel", "arguments": {"id": "d0"}})
        self.engine.hang_up()
        self.connected, self.asked = False, 0
        self.listen()

    def come_back(self) -> None:
        """There is a client again."""
        self.connected = True

    def start_other(self, drive: int) -> bool:
        """Another command starts a job on a drive; false if it is refused."""
        name = f"other{drive}"
        data = {"device": f"d{drive}", "target": name, "sync": "none", "job-id": name}
        taken = self.command("blockdev-backup", **data)
        while self.engine.current is not None:
            self.take(next(step for step in self.steps() if step.label is None or _goes(step)))
        return taken

    def forget(self) -> None:
        """The client is about to begin another transaction: what it knows of the last is over."""
        self.finals = ["NO_EVENT"] * len(self.finals)
        self.outcome = ""
        self.changed.clear()
        self.over += 1


def build(options: Options, cluster_bytes: int = CLUSTER_BYTES, kind: type[Bench] = Bench) -> Bench:
    """A bench with the drives of an instance, all zero, and what its backups need besides."""
    graph, disk = Graph(), TinyDisk(marks=options.tail)
    size_bytes = options.clusters * cluster_bytes
    if options.tail:
        size_bytes -= cluster_bytes // 2

    def add(name: str, below: Opened | None = None) -> Node:
        disk.add(name, size_bytes, on_top=below is not None)
        children = {"backing": below} if below else {}
        return graph.build(Opened(name, "memory", size_bytes, children=children))

    for index in range(options.drives):
        on_top = options.sync == "top"
        below = Opened(f"base{index}", "memory", size_bytes) if on_top else None
        if below is not None:
            disk.add(below.name, size_bytes)
        node = add(graph.new_name(), below)
        graph.drives.append(Drive(f"d{index}", node))
        if options.records and not on_top:
            node.bitmaps += _bitmaps(index, cluster_bytes, size_bytes, changes=options.changes)
            if changes_bitmaps(options):
                locked = DirtyBitmap(LOCKED["bitmap"], cluster_bytes, size_bytes, enabled=False)
                locked.read_only = True
                node.bitmaps.append(locked)
    nodes = [target_name(index) for index in range(options.drives if to_nodes(options) else 0)]
    nodes += [f"other{index}" for index in range(options.drives if options.busy else 0)]
    for name in nodes:
        add(name).monitor_owned = True
    sizes = Sizes(
        cluster_bytes, max_chunk_bytes=cluster_bytes, workers=options.workers, retry_delay_ns=0
    )
    engine = Engine(State(graph, sizes))
    none = ["NO_EVENT"] * options.drives
    return kind(engine, disk, none, cluster_bytes, failures=[0] * options.drives)


def changes_bitmaps(options: Options) -> bool:
    """Whether a backup changes the bitmap that says what it copies."""
    return options.bitmaps and options.bitmap_mode != "never"


def to_nodes(options: Options) -> bool:
    """Whether the targets are nodes: a new image would need a backing file with these syncs."""
    return options.sync in ("none", "top")


def target_name(drive: int) -> str:
    """The file or the node that a drive's backup goes to."""
    return f"d{drive}.target"


def transaction(
    options: Options, refused: int | None = None, by: Mapping[str, Any] = AT_ONCE
) -> dict[str, Any]:
    """The arguments of an instance's transaction; the backup of one drive may be `refused`."""
    actions = [_backup(drive, options) for drive in range(options.drives)]
    if refused is not None:
        actions[refused]["data"] |= by
    mode = "grouped" if options.grouped else "individual"
    return {"actions": actions, "properties": {"completion-mode": mode}}


def in_order(
    actions: list[dict[str, Any]], order: Sequence[tuple[str, int | None]], nodes: Sequence[str]
) -> list[dict[str, Any]]:
    """The backups, and actions of bitmaps by verb and drive, in this order.

    `nodes` are the drives': by its name an action after a drive's backup would mean the filter.
    A refusal is that of an action of its drive that is not named yet: a clear of a missing bitmap.
    """
    rest = {action["data"]["device"]: action for action in actions}
    found = []
    for verb, drive in order:
        name = f"d{drive}"
        if verb == "prepare":
            if name in rest:
                found.append(rest.pop(name))
        else:
            kind = "clear" if verb == "bitmap" else verb
            data: dict[str, Any] = {
                "node": nodes[drive or 0],
                "target" if kind == "merge" else "name": BITMAP,
            }
            data |= {"bitmaps": [MORE]} if kind == "merge" else {}
            found.append({"type": f"block-dirty-bitmap-{kind}", "data": data})
    return [*found, *rest.values()]


def _goes(step: Step) -> bool:
    """Whether a step is one of the command under way."""
    assert step.label is not None
    return step.label.name in ("drain", "prepare", "commit", "undrain", "reply", "refuse",
                               "fail_prepare", "rollback", "begin")  # fmt: skip


def _bitmaps(
    drive: int, granularity_bytes: int, size_bytes: int, *, changes: bool
) -> list[DirtyBitmap]:
    """A drive's bitmaps; with bitmap actions the first drive has none, and each another one."""
    own = DirtyBitmap(BITMAP, granularity_bytes, size_bytes)
    if not changes:
        return [own]
    more = DirtyBitmap(MORE, granularity_bytes, size_bytes, enabled=False)
    if drive == 0:
        more.mark(0, size_bytes)
    return [more] if drive == 0 else [more, own]


def _backup(drive: int, options: Options) -> dict[str, Any]:
    data = {
        "device": f"d{drive}",
        "job-id": f"d{drive}",
        "target": target_name(drive),
        "sync": options.sync,
        "on-source-error": options.on_source_error,
        "on-target-error": options.on_target_error,
        "auto-finalize": options.auto,
        "auto-dismiss": options.auto,
    }
    if options.bitmaps:
        data |= {"bitmap": BITMAP, "bitmap-mode": options.bitmap_mode}
    return {"type": "blockdev-backup" if to_nodes(options) else "drive-backup", "data": data}


def final_of(event: Event) -> str:
    """A final event as the model names it; the empty word for any other."""
    if event.name == "BLOCK_JOB_CANCELLED":
        return "CANCELLED"
    if event.name == "BLOCK_JOB_COMPLETED":
        return "FAILED" if "error" in event.data else "COMPLETED"
    return ""
