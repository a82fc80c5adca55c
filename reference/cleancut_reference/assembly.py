"""Assembles a machine from what a command line asks for."""

from dataclasses import dataclass, field
from pathlib import Path

from cleancut_reference.block.faults import Fault, Faults
from cleancut_reference.builder import Builder, UsageError
from cleancut_reference.disk import Disk
from cleancut_reference.engine import Engine
from cleancut_reference.files import DiskFiles
from cleancut_reference.machine import Machine
from cleancut_reference.nbd.remote_store import NbdServers
from cleancut_reference.schedule import Fair, Seeded
from cleancut_reference.state import Clock, Options, State
from cleancut_spec.profiles import DEFAULT, Profile


@dataclass(slots=True)
class Wanted:
    """The texts of a command line's options, each kind in the order given.

    With `widen`, QMP commands reach the folders of the command line's own files, too.
    """

    objects: list[str] = field(default_factory=list)
    blockdevs: list[str] = field(default_factory=list)
    drives: list[str] = field(default_factory=list)
    devices: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    paused: bool = False
    image_root: Path = Path(".")
    widen: bool = False
    seed: int | None = None
    profile: Profile = DEFAULT
    clock: Clock = Clock.REAL
    dashes: str = "--"


def assemble(wanted: Wanted) -> Machine:
    """The machine; raises UsageError or FaultError."""
    if not wanted.image_root.is_dir():
        raise UsageError(f"{wanted.dashes}image-root {str(wanted.image_root)!r} is no directory")
    rules = [Fault.parse(text) for text in wanted.faults]
    options = Options(max_chunk_bytes=wanted.profile.max_chunk_bytes)
    state = State(options=options, profile=wanted.profile, clock=wanted.clock)
    files = DiskFiles(wanted.image_root, wanted.widen)
    disk = Disk(files, NbdServers(files))
    builder = Builder(state, disk, Faults(rules), wanted.dashes)
    try:
        _build(builder, wanted)
        _check_names(builder.state, rules, wanted.dashes)
    except UsageError:
        disk.close()
        raise
    choose = Fair() if wanted.seed is None else Seeded(wanted.seed)
    return Machine(Engine(builder.state), disk, builder.faults, choose)


def _build(builder: Builder, wanted: Wanted) -> None:
    for text in wanted.objects:
        builder.object(text)
    for text in wanted.blockdevs:
        builder.blockdev(text)
    for text in wanted.drives:
        builder.drive(text)
    for text in wanted.devices:
        builder.device(text)
    if wanted.paused:
        builder.state.run_state = "prelaunch"


def _check_names(state: State, rules: list[Fault], dashes: str) -> None:
    """A fault must name a drive."""
    names = [drive.name for drive in state.graph.drives]
    for rule in rules:
        if rule.node.removesuffix(".target") not in names:
            raise UsageError(f"{dashes}fault: no drive is called {rule.node!r}; known: {names}")
