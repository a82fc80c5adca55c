"""The edge: opens the images that blueprints describe, on whatever keeps files."""

from dataclasses import dataclass
from typing import Final, Protocol

from cleancut_reference.arithmetic import round_up
from cleancut_reference.block.blkdebug import Blkdebug
from cleancut_reference.block.request import Blueprint, Opened
from cleancut_reference.block.values import as_int
from cleancut_reference.image.image import Image
from cleancut_reference.image.raw import RawImage, create_raw
from cleancut_reference.image.store import MemoryStore, Store
from cleancut_reference.sizes import SECTOR_BYTES
from cleancut_reference.stores import BlkdebugStore, Layer, NullStore

QCOW2_MAGIC: Final = b"QFI\xfb"
DEFAULT_NULL_BYTES: Final = 1 << 30


class OpenError(Exception):
    """An image that cannot be opened; the message is what QEMU says."""


class OpenFile(Protocol):
    """An open file; `created` while the OPEN that has made it may yet be undone."""

    created: bool

    @property
    def store(self) -> Store:
        """Its bytes."""

    @property
    def identity(self) -> str:
        """The same for all names of one file."""

    def actual_bytes(self) -> int:
        """The space that the file takes."""

    def remove(self) -> None:
        """Remove the file."""


class Files(Protocol):
    """Where files lie."""

    def open(self, filename: str, read_only: bool, create: bool, anywhere: bool) -> OpenFile:
        """Open a file, or make a missing one; raises OpenError."""


@dataclass(slots=True)
class OpenNode:
    """An open node: what requests are performed on, and what a format above it stands on.

    `counted` is the node whose space on the disk is this node's, too.
    """

    driver: str
    image: Image
    store: Store
    file: OpenFile | None = None
    counted: "OpenNode | None" = None

    @property
    def files(self) -> list[OpenFile]:
        """The files below this node."""
        below = self.counted.files if self.counted else []
        return [self.file, *below] if self.file else below

    def actual_bytes(self) -> int | None:
        """The space on the disk; None where nobody can tell."""
        if self.driver in ("null-co", "memory"):
            return 0
        if self.file is None and self.counted is not None:
            return self.counted.actual_bytes()
        return self.file.actual_bytes() if self.file is not None else None


@dataclass(slots=True)
class Opener:
    """Opens blueprints, one OPEN request's worth; `nodes` are those that are open by now."""

    nodes: dict[str, OpenNode]
    files: Files
    create: bool = False
    anywhere: bool = False

    def open(self, blueprint: Blueprint) -> Opened:
        """Open a node and all that stands below it; raises OpenError or OSError."""
        children: dict[str, Opened | str] = {}
        for role, child in blueprint.children.items():
            children[role] = child if isinstance(child, str) else self.open(child)
        node = self._node(blueprint, children)
        self.nodes[blueprint.name] = node
        return Opened(
            name=blueprint.name,
            driver=node.driver,
            size_bytes=node.image.size_bytes,
            filename=str(blueprint.options["filename"]) if node.file else "",
            identity=node.file.identity if node.file else "",
            read_only=blueprint.read_only,
            options=blueprint.options,
            children=children,
            created=any(file.created for file in node.files),
        )

    def _node(self, blueprint: Blueprint, children: dict[str, Opened | str]) -> OpenNode:
        match blueprint.driver:
            case "file":
                filename = str(blueprint.options["filename"])
                file = self.files.open(filename, blueprint.read_only, self.create, self.anywhere)
                return OpenNode("file", RawImage(Layer(file.store), filename), file.store, file)
            case "null-co":
                size_bytes = as_int("size", blueprint.options.get("size", DEFAULT_NULL_BYTES))
                store: Store = NullStore(round_up(size_bytes, SECTOR_BYTES))
            case "memory":
                store = MemoryStore()
                store.truncate(as_int("size", blueprint.options["size"]))
            case _:
                return self._above(blueprint, children)
        return OpenNode(blueprint.driver, RawImage(store, blueprint.driver), store)

    def _above(self, blueprint: Blueprint, children: dict[str, Opened | str]) -> OpenNode:
        """A node that stands on others."""
        first = next(iter(children.values()))
        child = self.nodes[first if isinstance(first, str) else first.name]
        match blueprint.driver or _probe(child.store):
            case "blkdebug":
                rules = Blkdebug(blueprint.options)
                image = RawImage(BlkdebugStore(child.store, rules, from_format=False), "blkdebug")
                return OpenNode("blkdebug", image, BlkdebugStore(child.store, rules, True))
            case "throttle":
                return OpenNode("throttle", child.image, Layer(child.store), counted=child)
            case "raw":
                layer = Layer(child.store)
                return OpenNode("raw", RawImage(layer, "raw"), layer, counted=child)
            case "qcow2" if child.store.read(0, len(QCOW2_MAGIC)) != QCOW2_MAGIC:
                raise OpenError("Image is not in qcow2 format")
            case other:
                raise OpenError(f"Format '{other}' is not supported by this server")


def _probe(store: Store) -> str:
    """The format of an image by how it begins."""
    return "qcow2" if store.read(0, len(QCOW2_MAGIC)) == QCOW2_MAGIC else "raw"


def format_image(node: OpenNode, size_bytes: int) -> None:
    """Make a new, empty image in what OPEN has opened; from now on its file stays."""
    node.image = create_raw(node.store, node.image.name, size_bytes)
    for file in node.files:
        file.created = False
