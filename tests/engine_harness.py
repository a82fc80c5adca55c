"""Runs the reference engine step by step on images in memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from cleancut_reference.block import guest
from cleancut_reference.block.graph import Graph
from cleancut_reference.block.node import Drive
from cleancut_reference.block.request import Blueprint, Failed, Opened, Outcome
from cleancut_reference.block.traffic import GuestOp, Traffic
from cleancut_reference.disk import Disk
from cleancut_reference.engine import Engine
from cleancut_reference.image.image import Image
from cleancut_reference.image.qcow2.opening import open_qcow2
from cleancut_reference.image.raw import RawImage
from cleancut_reference.image.store import MemoryStore, Store
from cleancut_reference.jobs.job import Job
from cleancut_reference.opening import OpenError, OpenHow
from cleancut_reference.outputs import Event, GuestDone, Output, Reply
from cleancut_reference.state import Options, State
from cleancut_reference.step import Step
from cleancut_spec.schedule import Label


@dataclass
class MemoryFile:
    """A file in memory, open."""

    path: str
    store: Store
    files: MemoryFiles
    created: bool

    @property
    def identity(self) -> str:
        return self.path

    def actual_bytes(self) -> int:
        return sum(end - start for start, end in self.store.data_ranges(0, self.store.size_bytes))

    def keep(self) -> None:
        self.files[self.path] = self.store

    def remove(self) -> None:
        if self.files.get(self.path) is self.store:
            del self.files[self.path]


class MemoryFiles(dict[str, MemoryStore]):
    """Files in memory, by path."""

    sector_bytes: Final = 1

    def open(self, filename: str, how: OpenHow) -> MemoryFile:
        created = filename not in self
        if how.replace:
            return MemoryFile(filename, MemoryStore(), self, True)
        if created and not how.create:
            raise OpenError(f"Could not open '{filename}': No such file or directory")
        return MemoryFile(filename, self.setdefault(filename, MemoryStore()), self, created)


class Harness:
    """An engine on memory, with everything that came out of it."""

    def __init__(self, sizes_bytes: list[int], options: Options | None = None) -> None:
        graph = Graph()
        self.files = MemoryFiles()
        self.disk = Disk(self.files)
        self.images: dict[str, Image] = {}
        for index, size_bytes in enumerate(sizes_bytes):
            plan = Blueprint(graph.new_name(), "memory", {"size": size_bytes})
            opened = self.disk.open(plan)
            assert isinstance(opened, Opened)
            graph.drives.append(Drive(f"d{index}", graph.build(opened)))
            self.images[f"d{index}"] = self.disk.nodes[plan.name].image
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

    def content(self, path: str) -> bytes:
        """What a guest would see in an image file, by whatever it begins with."""
        store = self.files[path]
        is_qcow2 = store.read(0, 4) == b"QFI\xfb" and store.size_bytes > 104  # a header
        image = open_qcow2(store, path, writable=False) if is_qcow2 else RawImage(store, path)
        return image.read(0, image.size_bytes)

    def leaked(self) -> set[str]:
        """The nodes that only one of the disk and the graph knows."""
        known = {node.name for node in self.state.graph.nodes.values() if node.job is None}
        return known ^ set(self.disk.nodes)

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
