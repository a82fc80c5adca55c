"""The edge: opens the images that blueprints describe, on whatever keeps files."""

import errno
import os
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Final, Protocol

from cleancut_reference.arithmetic import round_up
from cleancut_reference.block.blkdebug import Blkdebug
from cleancut_reference.block.request import Blueprint, DiskRequest, Opened, auto_name
from cleancut_reference.block.values import as_int
from cleancut_reference.file_store import FileStore
from cleancut_reference.image.image import Bitmap, Image, ImageError
from cleancut_reference.image.qcow2.image import Qcow2Image
from cleancut_reference.image.qcow2.opening import (
    DEFAULT_CLUSTER_BYTES,
    CreateOptions,
    create_qcow2,
    open_qcow2,
)
from cleancut_reference.image.raw import RawImage, create_raw
from cleancut_reference.image.store import MemoryStore, Store
from cleancut_reference.image_bitmaps import take_bitmaps
from cleancut_reference.nbd.address import InetAddress, UnixAddress, read_address
from cleancut_reference.sizes import SECTOR_BYTES
from cleancut_reference.stores import BlkdebugStore, ImageStore, Layer, NullStore, WithinExport

QCOW2_MAGIC: Final = b"QFI\xfb"
DEFAULT_NULL_BYTES: Final = 1 << 30
MAX_BACKING_DEPTH: Final = 200


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

    def keep(self) -> None:
        """The file stays; one that is to replace another does so now."""

    def remove(self) -> None:
        """Remove the file."""


@dataclass(frozen=True, slots=True)
class OpenHow:
    """How a file is opened: `create` makes a missing one, `replace` a new one in any case."""

    read_only: bool = False
    create: bool = False
    anywhere: bool = False
    replace: bool = False


class Files(Protocol):
    """Where files lie."""

    @property
    def sector_bytes(self) -> int:
        """The unit of all sizes."""

    def open(self, filename: str, how: OpenHow) -> OpenFile:
        """Open a file, or make a missing one; raises OpenError."""


class RemoteStore(Store, Protocol):
    """The bytes of an export."""

    @property
    def read_only(self) -> bool:
        """Whether the server lets nobody write."""


class Servers(Protocol):
    """Other NBD servers."""

    def connect(
        self, address: UnixAddress | InetAddress, export: str, anywhere: bool
    ) -> RemoteStore:
        """The export of a server; raises OpenError."""

    def hang_up(self) -> None:
        """End all connections, so that nobody waits for a server any more."""


class NoServers:
    """Where there are no sockets."""

    def connect(
        self, address: UnixAddress | InetAddress, export: str, anywhere: bool
    ) -> RemoteStore:
        """Refused."""
        raise OpenError("There are no sockets here")

    def hang_up(self) -> None:
        """There is none."""


@dataclass(slots=True)
class OpenNode:
    """An open node: what requests are performed on, and what a format above it stands on.

    `counted` is the node whose space on the disk is this node's, too; `below` are all nodes that
    its requests may reach.
    """

    driver: str
    image: Image
    store: Store
    file: OpenFile | None = None
    counted: "OpenNode | None" = None
    written_bytes: int = 0  # by requests to this node itself
    loaded: tuple[Bitmap, ...] = ()  # those that the image had when it was opened for writing
    detects_zeroes: bool = False  # zeros that are written need no space
    below: "list[OpenNode]" = field(default_factory=list)
    read_only: bool = False

    @property
    def holds_export(self) -> bool:
        """Whether its bytes are those of another server's export."""
        return self.driver == "nbd" or (
            self.counted is not None and self.driver != "qcow2" and self.counted.holds_export
        )

    @property
    def remote(self) -> bool:
        """Whether a request may have to wait for another server."""
        return self.driver == "nbd" or any(node.remote for node in self.below)

    @property
    def highest_bytes(self) -> int:
        """Where the last byte ends that was written."""
        below = self.store.highest_bytes if isinstance(self.store, FileStore) else 0
        return max(self.written_bytes, below)

    def note_write(self, end_bytes: int) -> None:
        """The image is written to, up to there."""
        self.written_bytes = max(self.written_bytes, end_bytes)

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
    """Opens blueprints, one OPEN request's worth; `nodes` are those that are open by now.

    Backing images that a blueprint leaves to the image are numbered from `next_name`.
    """

    nodes: dict[str, OpenNode]
    files: Files
    servers: Servers
    create: bool = False
    anywhere: bool = False
    replace: bool = False
    next_name: int = 0
    depth: int = 0

    def open(self, blueprint: Blueprint) -> Opened:
        """Open a node and all that stands below it; raises OpenError, ImageError or OSError."""
        children: dict[str, Opened | str] = {}
        for role, child in blueprint.children.items():
            children[role] = child if isinstance(child, str) else self.open(child)
        node = self._node(blueprint, children)
        node.below += [
            self.nodes[child if isinstance(child, str) else child.name]
            for child in children.values()
        ]
        node.detects_zeroes = blueprint.options.get("detect-zeroes") in ("on", "unmap")
        self.nodes[blueprint.name] = node
        node.read_only = node.read_only or blueprint.read_only
        bitmaps = take_bitmaps(node.image, not node.read_only) if node.driver == "qcow2" else ()
        node.loaded = () if node.read_only else bitmaps
        return Opened(
            name=blueprint.name,
            driver=node.driver,
            size_bytes=round_up(node.image.size_bytes, self.files.sector_bytes),
            filename=str(blueprint.options["filename"]) if node.file else "",
            identity=node.file.identity if node.file else "",
            read_only=node.read_only,
            cluster_bytes=_cluster_bytes(node),
            named_backing=_named_backing(node, children),
            options=blueprint.options,
            children=children,
            created=any(file.created for file in node.files),
            bitmaps=bitmaps,
        )

    def _node(self, blueprint: Blueprint, children: dict[str, Opened | str]) -> OpenNode:
        match blueprint.driver:
            case "file":
                filename = str(blueprint.options["filename"])
                how = OpenHow(blueprint.read_only, self.create, self.anywhere, self.replace)
                file = self.files.open(filename, how)
                return OpenNode("file", RawImage(Layer(file.store), filename), file.store, file)
            case "nbd":
                return self._export(blueprint)
            case "null-co":
                size_bytes = as_int("size", blueprint.options.get("size", DEFAULT_NULL_BYTES))
                store: Store = NullStore(round_up(size_bytes, SECTOR_BYTES))
            case "memory":
                store = MemoryStore()
                store.truncate(as_int("size", blueprint.options["size"]))
            case _:
                return self._above(blueprint, children)
        return OpenNode(blueprint.driver, RawImage(store, blueprint.driver), store)

    def _export(self, blueprint: Blueprint) -> OpenNode:
        """An export of another server; one that nobody may write to only where that is asked."""
        options = blueprint.options
        address = read_address(options["server"]["type"], options["server"])
        store = self.servers.connect(address, options.get("export", ""), self.anywhere)
        read_only = blueprint.read_only or store.read_only
        if read_only and not blueprint.read_only and not options.get("auto-read-only"):
            store.close()
            raise OpenError(f"Could not open image: {os.strerror(errno.EACCES)}")
        image = RawImage(Layer(store), "nbd")
        return OpenNode("nbd", image, store, read_only=read_only)

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
            case "qcow2":
                return self._qcow2(blueprint, children, child)
            case other:
                raise OpenError(f"Format '{other}' is not supported by this server")

    def _qcow2(
        self, blueprint: Blueprint, children: dict[str, Opened | str], child: OpenNode
    ) -> OpenNode:
        """A qcow2 image with its backing image, which its header names unless the client does."""
        layer = _within(child)
        if self.create:  # what lies there is no image yet
            return OpenNode("qcow2", RawImage(layer, "qcow2"), layer, counted=child)
        if child.store.read(0, len(QCOW2_MAGIC)) != QCOW2_MAGIC:
            raise OpenError("Image is not in qcow2 format")
        given = children.get("backing")

        def backing(filename: str, format: str | None) -> Image:
            found = given
            if found is None:
                found = self._backing(_beside(children, filename), format)
                children["backing"] = found
            return self.nodes[found if isinstance(found, str) else found.name].image

        wanted = given is not None or "backing" not in blueprint.options
        name = _filename(children)
        image = open_qcow2(layer, name, backing if wanted else None, not blueprint.read_only)
        if given is not None and image.backing is None:
            image.set_backing(backing("", None))
        return OpenNode("qcow2", image, ImageStore(image), counted=child)

    def _backing(self, filename: str, format: str | None) -> Opened:
        """Open the backing image that a header names, read-only."""
        if self.depth >= MAX_BACKING_DEPTH:
            raise OpenError(f"Could not open backing file: '{filename}' stands on itself")
        if format not in (None, "raw", "qcow2"):
            raise OpenError(f"Could not open backing file: Unknown driver '{format}'")
        options = {"filename": filename}
        file = Blueprint(auto_name(self.next_name), "file", options, read_only=True)
        name = auto_name(self.next_name + 1)
        plan = Blueprint(name, format or "", {}, {"file": file}, read_only=True)
        self.next_name += 2
        self.depth += 1
        try:
            return self.open(plan)
        except (OpenError, ImageError) as error:
            raise OpenError(f"Could not open backing file: {error}") from None
        finally:
            self.depth -= 1


def _cluster_bytes(node: OpenNode) -> int:
    """The unit in which the image is allocated, or will be when FORMAT has made it."""
    to_be_made = node.driver == "qcow2" and not isinstance(node.image, Qcow2Image)
    return DEFAULT_CLUSTER_BYTES if to_be_made else node.image.cluster_bytes


def _filename(children: dict[str, Opened | str]) -> str:
    """What messages call an image: the name of the file on which it stands."""
    file = children.get("file")
    while isinstance(file, Opened):
        if file.filename:
            return file.filename
        file = next(iter(file.children.values()), None)
    return "qcow2"


def _named_backing(node: OpenNode, children: dict[str, Opened | str]) -> str:
    """Where the backing image lies that the header names; empty where it names none."""
    if not isinstance(node.image, Qcow2Image) or not node.image.header.backing_file:
        return ""
    folder, slash, _ = _filename(children).rpartition("/")
    return folder + slash + node.image.header.backing_file


def _beside(children: dict[str, Opened | str], filename: str) -> str:
    """A backing file is looked for beside the image that names it."""
    if filename.startswith(("json:", "nbd:")):
        raise OpenError(f"Could not open backing file: '{filename}' is no path of a file")
    return str(PurePosixPath(_filename(children)).parent / filename.removeprefix("file:"))


def _within(node: OpenNode) -> Layer:
    """The bytes of a node, for an image in them."""
    return WithinExport(node.store) if node.holds_export else Layer(node.store)


def _probe(store: Store) -> str:
    """The format of an image by how it begins."""
    return "qcow2" if store.read(0, len(QCOW2_MAGIC)) == QCOW2_MAGIC else "raw"


def format_image(node: OpenNode, request: DiskRequest, backing: Image | None) -> None:
    """Make a new, empty image in what OPEN has opened; from now on its file stays."""
    store, name = node.store, node.image.name
    if node.driver == "qcow2":
        options = CreateOptions(
            request.length_bytes,
            backing_file=request.options.get("backing_file"),
            backing_format=request.options.get("backing_format"),
        )
        image = create_qcow2(store, name, options, backing)
        node.image, node.store = image, ImageStore(image)
    else:
        node.image = create_raw(store, name, request.length_bytes)
    if not request.options.get("undoable"):
        keep(node)


def make_image(node: OpenNode, request: DiskRequest) -> int:
    """Make a new qcow2 image in what a node holds; returns the size of that."""
    store, options = _within(node), CreateOptions(request.length_bytes, **request.options)
    create_qcow2(store, node.image.name, options).flush()
    if store.read(0, len(QCOW2_MAGIC)) != QCOW2_MAGIC:  # it keeps nothing
        raise ImageError(node.image.name, "format", "Image is not in qcow2 format")
    return round_up(node.store.size_bytes, SECTOR_BYTES)


def keep(node: OpenNode) -> None:
    """The files below a node stay, even if OPEN has made them."""
    for file in node.files:
        if file.created:
            file.keep()
            file.created = False
