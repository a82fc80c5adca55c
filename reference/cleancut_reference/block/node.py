"""The nodes of the block graph, and the drives that stand on them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from cleancut_reference.block.dirty_bitmap import DirtyBitmap
from cleancut_reference.block.request import DiskRequest
from cleancut_reference.block.traffic import Traffic
from cleancut_reference.outputs import Event

#: Drivers whose child `file` (or `image`) holds the same bytes at the same places.
TRANSPARENT: Final = {"raw": "file", "throttle": "file", "blkdebug": "image",
                      "copy-before-write": "file"}  # fmt: skip

#: Those of them that are no image of their own.
FILTERS: Final = frozenset({"throttle", "blkdebug", "copy-before-write"})


class CopyBeforeWrite(Protocol):
    """What a copy-before-write filter asks of the backup that it belongs to."""

    cluster_bytes: int
    copied: bytearray
    broken: bool

    def break_off(self, operation: str, errno: str) -> Event | None:
        """Fail instead of the guest's write, if that is wanted: what tells so, or None."""

    @property
    def target(self) -> Node:
        """Where the old content goes."""

    def copy_overlaps(self, first: int, end: int) -> bool:
        """Whether the background copy is at one of these clusters."""

    def write_request(self, offset_bytes: int, data: bytes) -> DiskRequest:
        """Write old content to the target."""

    def mark_copied(self, first: int, end: int) -> None:
        """Clusters first to end are on the target."""


@dataclass(frozen=True, slots=True)
class Blocker:
    """Why a node may not be used for most commands: QEMU's op blocker."""

    reason: str
    owner: object


@dataclass(slots=True, eq=False)
class Node:
    """A node: a driver over its children. `identity` tells the file of a node that has one.

    A filter of driver copy-before-write has a `job`; `monitor_owned` is a node of `blockdev-add`.
    """

    name: str
    driver: str
    size_bytes: int
    traffic: Traffic
    filename: str = ""
    identity: str = ""
    read_only: bool = False
    cluster_bytes: int = 1  # in which the image is allocated
    named_backing: str = ""  # what a qcow2 image says stands below it
    children: dict[str, Node] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    breakpoints: dict[str, str] = field(default_factory=dict)  # of blkdebug: tag to event
    suspended: dict[str, object] = field(default_factory=dict)  # of blkdebug: what a tag holds
    blockers: list[Blocker] = field(default_factory=list)
    bitmaps: list[DirtyBitmap] = field(default_factory=list)  # oldest first
    job: CopyBeforeWrite | None = None
    monitor_owned: bool = False

    @property
    def index(self) -> int:
        """The number of the drive in the labels of steps."""
        return self.traffic.index

    @property
    def below(self) -> Node | None:
        """The child with the same bytes at the same places, if the driver passes them on."""
        return self.children.get(TRANSPARENT.get(self.driver, ""))

    @property
    def primary(self) -> Node | None:
        """The child that a request goes on to."""
        return self.children.get(TRANSPARENT.get(self.driver, "file"))

    @property
    def protocol(self) -> str:
        """The driver on which the node stands in the end."""
        node = self
        while node.primary is not None:
            node = node.primary
        return node.driver

    @property
    def holds_export(self) -> bool:
        """Whether its bytes are those of another server's export."""
        return any(node.driver == "nbd" for node in self.same_bytes())

    @property
    def next_image(self) -> Node | None:
        """The image below in the backing chain, as queries show it."""
        role = TRANSPARENT[self.driver] if self.driver in FILTERS else "backing"
        return self.children.get(role)

    def down(self) -> Iterator[tuple[Node, Node]]:
        """Each node on which requests go on, with the one that passes them to it."""
        node = self
        while node.primary is not None:
            yield node, node.primary
            node = node.primary

    def chain(self) -> Iterator[Node]:
        """This node, and one after the other the images below it in the backing chain."""
        node: Node | None = self
        while node is not None:
            yield node
            node = node.next_image

    @property
    def unfiltered(self) -> Node:
        """The image itself, below all filters."""
        node = self
        while node.driver in FILTERS:
            node = node.children[TRANSPARENT[node.driver]]
        return node

    @property
    def takes_compressed(self) -> bool:
        """Whether compressed clusters can be written to it."""
        throttled = self.driver == "throttle"
        return self.children["file"].takes_compressed if throttled else self.driver == "qcow2"

    @property
    def unmaps(self) -> bool:
        """Whether discards are passed on: only where the node's option `discard` says so."""
        return self.options.get("discard") in ("unmap", "on")

    @property
    def performer(self) -> Node:
        """The node that requests to this one are performed at: below copy-before-write filters."""
        node = self
        while node.job is not None:
            node = node.children["file"]
        return node

    def become_read_only(self, read_only: bool = True) -> None:
        """Nothing of the image is to be changed any more, or all may be again."""
        self.read_only = read_only
        for bitmap in self.bitmaps:
            bitmap.read_only = read_only and bitmap.persistent

    def bitmap(self, name: str) -> DirtyBitmap | None:
        """The dirty bitmap with this name."""
        return next((each for each in self.bitmaps if name and each.name == name), None)

    def same_bytes(self) -> Iterator[Node]:
        """This node and those below it with the same bytes at the same places."""
        node: Node | None = self
        while node is not None:
            yield node
            node = node.below

    def filters(self) -> list[CopyBeforeWrite]:
        """The backups that see what is written to this node, in the order in which they do."""
        return [node.job for node in self.same_bytes() if node.job is not None]


@dataclass(slots=True, eq=False)
class GuestDevice:
    """The guest's device that has a drive, as far as queries show it."""

    id: str
    model: str
    path: str
    io_status: str = "ok"
    unplugging: bool = False

    @property
    def part(self) -> str:
        """The path of the part that has the drive."""
        return self.path + ("/virtio-backend" if self.model.startswith("virtio-blk") else "")

    @property
    def qdev(self) -> str:
        """What queries call it."""
        return self.id if self.id and self.part == self.path else self.part


@dataclass(slots=True, eq=False)
class Drive:
    """A way in for guest requests: QEMU's block backend. Without a root it has no medium.

    One without a name belongs to an export or to a single request of the monitor.
    """

    name: str
    root: Node | None = None
    device: GuestDevice | None = None

    @property
    def shown(self) -> bool:
        """Whether `query-block` lists it."""
        return self.name != "" or self.device is not None

    @property
    def traffic(self) -> Traffic | None:
        """Where its requests go; None without a medium."""
        return self.root.traffic if self.root else None
