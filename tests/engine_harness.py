"""Runs the reference engine step by step on images in memory."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from cleancut_reference.block import guest
from cleancut_reference.block.graph import Graph
from cleancut_reference.block.memory import MemoryImage
from cleancut_reference.block.node import Drive
from cleancut_reference.block.request import Blueprint, DiskRequest, Failed, Op, Opened, Outcome
from cleancut_reference.block.traffic import GuestOp, Traffic
from cleancut_reference.engine import Engine
from cleancut_reference.jobs.job import Job
from cleancut_reference.outputs import Event, GuestDone, Output, Reply
from cleancut_reference.state import Options, State
from cleancut_reference.step import Step
from cleancut_spec.schedule import Label


class MemoryDisk:
    """Performs the engine's requests on images in memory; files are found by path."""

    def __init__(self) -> None:
        self.drives: dict[str, MemoryImage] = {}
        self.files: dict[str, MemoryImage] = {}
        self.open: dict[str, tuple[str, bool]] = {}

    def perform(self, request: DiskRequest) -> Outcome:
        match request.op:
            case Op.READ:
                return self.image(request.node).read(request.offset_bytes, request.length_bytes)
            case Op.WRITE:
                self.image(request.node).write(request.offset_bytes, request.data)
            case Op.OPEN:
                assert request.blueprint is not None
                return self.open_node(request.blueprint, request.create)
            case Op.FORMAT:
                self.image(request.node).reset(request.length_bytes)
            case Op.UNDO_OPEN:
                for path, created in {self.open.pop(node) for node in request.nodes}:
                    if created:
                        del self.files[path]
            case Op.CLOSE:
                for node in request.nodes:
                    del self.open[node]
        return None

    def open_node(self, blueprint: Blueprint, create: bool) -> Outcome:
        if blueprint.driver != "file":
            child = blueprint.children["file"]
            assert isinstance(child, Blueprint)
            opened = self.open_node(child, create)
            if not isinstance(opened, Opened):
                return opened
            self.open[blueprint.name] = self.open[child.name]
            return replace(
                opened, name=blueprint.name, driver="raw", identity="", children={"file": opened}
            )
        path = str(blueprint.options["filename"])
        created = path not in self.files
        if created and not create:
            return Failed("ENOENT")
        image = self.files.setdefault(path, MemoryImage(0))
        self.open[blueprint.name] = (path, created)
        return Opened(blueprint.name, "file", image.size_bytes, path, path, created=created)

    def image(self, node: str) -> MemoryImage:
        return self.files[self.open[node][0]] if node in self.open else self.drives[node]


class Harness:
    """An engine on memory, with everything that came out of it."""

    def __init__(self, sizes_bytes: list[int], options: Options | None = None) -> None:
        graph = Graph()
        self.disk = MemoryDisk()
        self.images: dict[str, MemoryImage] = {}
        for index, size_bytes in enumerate(sizes_bytes):
            drive = Drive(f"d{index}", graph.build(Opened(graph.new_name(), "memory", size_bytes)))
            graph.drives.append(drive)
            assert drive.root is not None
            self.images[drive.name] = MemoryImage(size_bytes)
            self.disk.drives[drive.root.name] = self.images[drive.name]
        self.engine = Engine(State(graph, options or Options()))
        self.outputs: list[Output] = []
        self.labels: list[Label] = []

    @property
    def state(self) -> State:
        return self.engine.state

    @property
    def traffics(self) -> list[Traffic]:
        """The guest requests of each drive."""
        return self.state.graph.traffics[: len(self.images)]

    def jobs_of(self, drive: int) -> list[Job]:
        return [job for job in self.state.jobs if job.index == drive]

    def steps(self) -> list[Step]:
        return list(self.engine.steps())

    def take(self, step: Step, errno: str = "") -> Label | None:
        """Take a step; with an errno, its request to the disk fails."""
        outcome: Outcome = None
        if step.io is not None:
            outcome = Failed(errno) if errno else self.disk.perform(step.io)
        label = self.engine.take(step, outcome)
        if label is not None:
            self.labels.append(label)
        self.collect()
        return label

    def collect(self) -> None:
        self.outputs += self.engine.drain_outbox()

    def execute(self, command: str, **arguments: Any) -> None:
        renamed = {name.replace("_", "-"): value for name, value in arguments.items()}
        self.engine.receive({"execute": command, "arguments": renamed})

    def write(self, drive: int, offset_bytes: int, data: bytes) -> int:
        way_in = self.state.graph.drives[drive]
        request = guest.submit(self.state, way_in, GuestOp.WRITE, offset_bytes, len(data), data)
        self.collect()
        return request.id

    def run(self, limit: int = 100_000) -> None:
        """Take the first enabled step until none is left; delays are over at once."""
        for _ in range(limit):
            step = next(self.engine.steps(), None)
            if step is not None:
                self.take(step)
            elif (wake_ns := self.engine.wake_ns()) is not None:
                self.engine.advance(wake_ns)
            else:
                return
        raise AssertionError("the engine does not come to rest")

    def replies(self) -> list[dict[str, Any]]:
        return [output.body for output in self.outputs if isinstance(output, Reply)]

    def events(self, name: str = "") -> list[Event]:
        found = [output for output in self.outputs if isinstance(output, Event)]
        return [event for event in found if not name or event.name == name]

    def guest_results(self) -> dict[int, str]:
        return {o.request: o.errno for o in self.outputs if isinstance(o, GuestDone)}


def backup_action(device: str, **extra: Any) -> dict[str, Any]:
    data = {"device": device, "target": f"{device}.target", "sync": "full"}
    data |= {name.replace("_", "-"): value for name, value in extra.items()}
    return {"type": "drive-backup", "data": data}
