"""What is known at an instant: the transaction, the drives with their jobs, the requests."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple


@dataclass(frozen=True)
class Instance:
    """How large it is, and which parts of the protocol it has."""

    drives: int
    clusters: int
    values: int
    writes: int
    errors: int
    policy: str = "report"
    source_policy: str = ""  # where it is another for reads of the drive,
    target_policy: str = ""  # or for writes to the target
    errnos: tuple[str, ...] = ("EIO",)
    control: bool = True
    requests: int = 1
    workers: int = 1
    sync: str = "full"
    bitmap_mode: str = "on-success"
    grouped: bool = False
    manual: bool = False
    again: int = 0
    busy: bool = False
    snapshot: bool = False
    clears: bool = False
    other: bool = False
    breaks: bool = False
    speed: bool = False
    leaves: bool = False
    dies: bool = False
    changes: bool = False
    tail: bool = False  # the last cluster reaches beyond the drive's end
    monitor: bool = False  # a command waits until the one before it is answered

    @property
    def by_bitmap(self) -> bool:
        return self.sync in ("incremental", "bitmap")

    @property
    def picks_clusters(self) -> bool:
        """The backup is of some clusters only: the rest lies below the target."""
        return self.by_bitmap or self.sync == "top"


class Cluster(NamedTuple):
    """One cluster: of the drive, of its target, of its bitmap and its snapshot."""

    source: int = 0
    target: int = 0
    before: int = 0  # what the target held when the transaction came
    cut: int = 0  # what the drive held when the first job started
    copied: bool = False
    dirty: bool = False  # its bit in the bitmap; with sync top, that the top layer has it
    chosen: bool = False  # its job is to copy it
    below: int = 0  # what the earlier backups restore; with sync top, the backing file
    frozen: int = 0  # what the snapshot holds
    kept: bool = False  # its bit before the transaction changed the bitmap
    without: bool = False  # its bit if there were no transaction
    since: bool = False  # a guest has written it since the cut
    filled: str = ""  # how much of it on the target has been written: to the drive's end, or whole


class Bitmap(NamedTuple):
    """Whether there is one, and whether it records."""

    exists: bool = False
    enabled: bool = False


class Write(NamedTuple):
    """A guest's write in flight: it arrived, reads and saves the old data, or is writing."""

    phase: str
    cluster: int
    value: int
    old: int = 0


class Copy(NamedTuple):
    """A copy of the job in flight: it is reading or writing."""

    phase: str
    cluster: int
    content: int = 0


class Drive(NamedTuple):
    """A drive with its guest, and with its job and the target of that."""

    clusters: tuple[Cluster, ...]
    writes: tuple[Write | None, ...]
    copies: tuple[Copy | None, ...]
    errors: int  # that may still occur
    job: str = "none"
    failed: bool = False
    event: str = ""
    drained: bool = False
    busy: bool = False  # with a job of another command
    broken: bool = False  # its backup was given up for a guest's write
    awaited: bool = False  # a client that cancelled it waits for its end
    snapped: bool = False
    cleared: bool = False
    bitmap: Bitmap = Bitmap()
    without: Bitmap = Bitmap()  # the same if there were no transaction
    change: str = ""  # what the transaction has done to it


class State(NamedTuple):
    """All of it."""

    drives: tuple[Drive, ...]
    writes: int  # that guests may still submit
    again: int  # transactions that may still come
    phase: str = "idle"
    connected: bool = True


#: The filter stands before the drive; of these all but the first have started.
ATTACHED = ("created", "running", "paused", "waiting", "pending", "aborting")
STARTED = ATTACHED[1:]
#: What can still be cancelled.
LIVE = ("running", "paused", "waiting", "pending")
OVER = ("concluded", "gone")

Steps = Iterator[tuple[str, State]]


def first_state(i: Instance) -> State:
    """The first drive has no bitmap yet, the others have one."""
    drive = Drive((Cluster(),) * i.clusters, (None,) * i.requests, (None,) * i.workers, i.errors)
    there = Bitmap(True, True)
    others = (drive._replace(bitmap=there, without=there) if i.changes else drive,) * (i.drives - 1)
    return State((drive, *others), i.writes, i.again)


def put(row: tuple[Any, ...], at: int, value: object) -> tuple[Any, ...]:
    return (*row[:at], value, *row[at + 1 :])


def having(s: State, at: int, d: Drive) -> State:
    """The same state with this drive in this place."""
    return State(put(s.drives, at, d), *s[1:])


def with_drive(s: State, at: int, **changes: Any) -> State:
    return having(s, at, s.drives[at]._replace(**changes))


def with_drives(s: State, change: Callable[[Drive], Drive]) -> State:
    return s._replace(drives=tuple(map(change, s.drives)))


def clusters_of(d: Drive, change: Callable[[Cluster], Cluster]) -> tuple[Cluster, ...]:
    return tuple(map(change, d.clusters))


def saves(write: Write | None, cluster: int | None = None) -> bool:
    """A guest's write is saving the old data of this cluster, or of any."""
    return (
        write is not None
        and write.phase in ("reading", "saving")
        and cluster in (None, write.cluster)
    )


def quiet(d: Drive) -> bool:
    """No write of the guest is under way; one that has only arrived waits for the drain's end."""
    return all(w is None or w.phase == "arrived" for w in d.writes)


def to_copy(i: Instance, c: Cluster) -> bool:
    """The job still has to copy it, or a guest's write before it changes it."""
    return not c.copied and (c.chosen or not i.picks_clusters)


def at_rest(d: Drive) -> bool:
    """Nothing of the job is in flight."""
    return not any(d.copies) and not any(map(saves, d.writes))
