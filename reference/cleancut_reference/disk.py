"""The disks: performs the engine's requests on files and memory, and decides nothing."""

import contextlib
import errno as errno_module
from collections.abc import Callable, Mapping
from functools import partial
from itertools import islice
from typing import Any, Final

from cleancut_reference.block.request import (
    MAX_EXTENTS,
    Blueprint,
    DiskRequest,
    Failed,
    Op,
    Outcome,
)
from cleancut_reference.image.allocation import allocation
from cleancut_reference.image.image import Bitmap, Image, ImageError
from cleancut_reference.image.qcow2.image import Qcow2Image
from cleancut_reference.image.store import is_zero
from cleancut_reference.image_bitmaps import drop_bitmap, store_bitmaps
from cleancut_reference.opening import (
    Files,
    NoServers,
    Opener,
    OpenError,
    OpenNode,
    Servers,
    format_image,
    keep,
    make_image,
)
from cleancut_reference.query_image import info
from cleancut_reference.snapshots import change_snapshots

_NO_BITMAPS: Final[Mapping[str, tuple[Bitmap, ...]]] = {}


class Disk:
    """The images of all nodes."""

    def __init__(self, files: Files, servers: Servers | None = None) -> None:
        self.nodes: dict[str, OpenNode] = {}
        self._files = files
        self._servers = servers or NoServers()
        self._has_exports = False  # or had once

    def perform(self, request: DiskRequest) -> Outcome:
        """Do it; an error of the system is an answer, too."""
        if request.op is Op.CALL:
            return None
        try:
            if request.op in _IO:
                node = self.nodes[request.node]
                if request.op in _WRITES:
                    node.note_write(request.offset_bytes + request.length_bytes)
                if request.op is Op.WRITE and node.detects_zeroes and is_zero(request.data):
                    return _IO[Op.WRITE_ZEROES](node.image, request)
                return _IO[request.op](node.image, request)
            return self._perform(request)
        except OSError as error:
            return Failed(errno_module.errorcode.get(error.errno or 0, "EIO"))
        except ImageError as error:
            return Failed("EIO", error.desc)

    def open(
        self,
        blueprint: Blueprint,
        create: bool = False,
        anywhere: bool = False,
        next_name: int = 0,
    ) -> Outcome:
        """Open a node and what stands below it; content stays as it is."""
        opener = Opener(dict(self.nodes), self._files, self._servers, create, anywhere)
        opener.next_name = next_name
        return self._open(opener, blueprint)

    def _open(self, opener: Opener, blueprint: Blueprint) -> Outcome:
        before = frozenset(opener.nodes)
        opened: Outcome
        try:
            opened = opener.open(blueprint)
        except (OpenError, ImageError) as error:
            opened = Failed("EINVAL", str(error))
        except OSError as error:
            opened = Failed(errno_module.errorcode.get(error.errno or 0, "EIO"))
        added = {name: node for name, node in opener.nodes.items() if name not in before}
        self.nodes |= added
        self._has_exports |= any(node.driver == "nbd" for node in added.values())
        if isinstance(opened, Failed):
            self._undo(tuple(reversed(added)))
        return opened

    def is_remote(self, request: DiskRequest) -> bool:
        """Whether a request may have to wait for another server."""
        if request.blueprint is not None and _names_export(request.blueprint):
            return True
        return self._has_exports and any(node.remote for node in self._reached(request))

    def reach(self, request: DiskRequest) -> frozenset[int]:
        """What a request may touch, as numbers that stand for open nodes."""
        found: dict[int, OpenNode] = {}
        waiting = self._reached(request)
        while waiting:
            node = waiting.pop()
            if id(node) not in found:
                found[id(node)] = node
                waiting += node.below
        return frozenset(found)

    def _reached(self, request: DiskRequest) -> list[OpenNode]:
        """The open nodes that a request names."""
        names = [request.node, request.backing, *request.nodes, *request.bitmaps]
        if request.blueprint is not None:
            names += _standing(request.blueprint)
        return [self.nodes[name] for name in names if name in self.nodes]

    def hang_up(self) -> None:
        """Nobody waits for other servers any more."""
        self._servers.hang_up()

    def close(self) -> None:
        """Close all, and remove files whose making was not committed."""
        for name, node in reversed(list(self.nodes.items())):
            with contextlib.suppress(OSError, ImageError):
                if any(file.created for file in node.files):
                    self._undo((name,))
                else:
                    self._close((name,))

    def _perform(self, request: DiskRequest) -> Outcome:
        match request.op:
            case Op.OPEN:
                assert request.blueprint is not None
                opener = Opener(dict(self.nodes), self._files, self._servers, request.create)
                opener.replace, opener.next_name = request.replace, request.next_name
                return self._open(opener, request.blueprint)
            case Op.UNDO_OPEN:
                self._undo(request.nodes)
            case Op.CLOSE:
                self._close(request.nodes, request.bitmaps)
            case Op.STORE_BITMAPS:
                for name, bitmaps in request.bitmaps.items():
                    store_bitmaps(self.nodes[name].image, bitmaps)
            case Op.INFO:
                return {name: self._info(name) for name in request.nodes}
            case Op.MAKE:
                return {request.node: {"size": make_image(self.nodes[request.node], request)}}
            case Op.WRITTEN:
                return {name: self._written(name) for name in request.nodes}
            case Op.LISTEN:
                pass  # that is nothing for a disk
            case _:
                self._change(self.nodes[request.node], request)
        return None

    def _change(self, node: OpenNode, request: DiskRequest) -> None:
        """Change something of one image that is no data."""
        backing = None
        if request.backing:
            backing = self.nodes[request.backing].image
            node.below.append(self.nodes[request.backing])
        match request.op:
            case Op.FORMAT:
                format_image(node, request, backing)
            case Op.KEEP:
                keep(node)
            case Op.SET_BACKING:
                _set_backing(node.image, backing)
            case Op.SNAPSHOT | Op.DELETE_SNAPSHOT:
                change_snapshots(node, request)
            case Op.DROP_BITMAP:
                drop_bitmap(node.image, str(request.options["name"]))

    def _close(
        self, names: tuple[str, ...], bitmaps: Mapping[str, tuple[Bitmap, ...]] = _NO_BITMAPS
    ) -> None:
        """Close all of them, even where one fails; the first error is the answer."""
        first: OSError | ImageError | None = None
        for name in names:
            node = self.nodes.pop(name)
            for act in (
                partial(store_bitmaps, node.image, bitmaps.get(name, ())),
                node.image.close,
            ):
                try:
                    act()
                except (OSError, ImageError) as error:
                    first = first or error
            with contextlib.suppress(OSError):
                node.store.close()
        if first is not None:
            raise first

    def _undo(self, names: tuple[str, ...]) -> None:
        for name in names:
            node = self.nodes.pop(name)
            try:
                if node.file is not None and node.file.created:
                    node.file.remove()
                elif node.loaded:
                    store_bitmaps(node.image, node.loaded)
            finally:
                node.store.close()

    def _written(self, name: str) -> dict[str, Any]:
        """How far an image has been written since it was opened."""
        node = self.nodes.get(name)
        return {"wr_highest_offset": node.highest_bytes if node else 0}

    def _info(self, name: str) -> dict[str, Any]:
        """What of the queries only the image knows."""
        node = self.nodes.get(name)
        return info(node) if node else {}


def _names_export(blueprint: Blueprint) -> bool:
    """Whether a server is to be asked for an export."""
    below = blueprint.children.values()
    inner = (_names_export(child) for child in below if isinstance(child, Blueprint))
    return blueprint.driver == "nbd" or any(inner)


def _standing(blueprint: Blueprint) -> list[str]:
    """The nodes that are there already and that a blueprint stands on."""
    found: list[str] = []
    for child in blueprint.children.values():
        found += [child] if isinstance(child, str) else _standing(child)
    return found


def _set_backing(image: Image, backing: Image | None) -> None:
    if not isinstance(image, Qcow2Image):
        raise OSError(errno_module.ENOTSUP, "no backing images")
    image.set_backing(backing)


def _write_zeroes(image: Image, request: DiskRequest) -> None:
    image.write_zeroes(request.offset_bytes, request.length_bytes)


def _status(image: Image, request: DiskRequest) -> Outcome:
    return list(islice(allocation(image, request.offset_bytes, request.length_bytes), MAX_EXTENTS))


def _layer(image: Image, request: DiskRequest) -> Outcome:
    extents = image.block_status(request.offset_bytes, request.length_bytes)
    return list(islice(extents, MAX_EXTENTS))


def _write(image: Image, request: DiskRequest) -> None:
    write = image.write_compressed if request.compress else image.write
    write(request.offset_bytes, request.data)


_WRITES: Final = frozenset({Op.WRITE, Op.WRITE_ZEROES})
_IO: dict[Op, Callable[[Image, DiskRequest], Outcome]] = {
    Op.READ: lambda image, it: image.read(it.offset_bytes, it.length_bytes),
    Op.WRITE: _write,
    Op.WRITE_ZEROES: _write_zeroes,
    Op.DISCARD: lambda image, it: image.discard(it.offset_bytes, it.length_bytes),
    Op.FLUSH: lambda image, it: image.flush(),
    Op.STATUS: _status,
    Op.LAYER: _layer,
    Op.RESIZE: lambda image, it: image.resize(it.length_bytes),
}
