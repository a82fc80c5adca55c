"""A disk of a few bytes, which answers the engine's requests at once."""

from dataclasses import dataclass, field, replace
from functools import cache
from itertools import groupby

from cleancut_reference.block.request import Blueprint, DiskRequest, Op, Opened, Outcome
from cleancut_reference.image.image import Extent, Status


@dataclass(slots=True, eq=False)
class TinyDisk:
    """Images by name, and of each open node the name of its image.

    `held` has a byte for each of an image, which is 1 where the image holds it itself: of those
    that stand on another image, and with `marks` of all files, to see how far they were written.
    """

    images: dict[str, str] = field(default_factory=dict)  # by node
    content: dict[str, bytes] = field(default_factory=dict)  # by image
    held: dict[str, bytes] = field(default_factory=dict)  # by image
    marks: bool = False

    def add(self, name: str, size_bytes: int, *, on_top: bool = False) -> None:
        """A node with an image of its own, all zero; one that is `on_top` holds nothing yet."""
        self.images[name], self.content[name] = name, bytes(size_bytes)
        if on_top:
            self.held[name] = bytes(size_bytes)

    def clusters(self, image: str, cluster_bytes: int) -> list[int]:
        """What each cluster of an image holds; a torn one is an error of the engine."""
        return list(_clusters(self.content[image], cluster_bytes))

    def perform(self, request: DiskRequest) -> Outcome:
        """What a disk without fault answers."""
        known = request.op in (Op.OPEN, Op.INFO) or request.node in self.images
        assert known, f"{request.op} of {request.node}, which is closed"
        match request.op:
            case Op.READ:
                end_bytes = request.offset_bytes + request.length_bytes
                return self.content[self.images[request.node]][request.offset_bytes : end_bytes]
            case Op.WRITE:
                self._write(self.images[request.node], request.offset_bytes, request.data)
            case Op.LAYER:
                return self._extents(self.images[request.node])
            case Op.OPEN:
                assert request.blueprint is not None
                return self._open(request.blueprint)
            case Op.FORMAT:
                self._empty(self.images[request.node], request.length_bytes)
            case Op.UNDO_OPEN | Op.CLOSE:
                for node in request.nodes:
                    del self.images[node]
            case Op.FLUSH | Op.CALL:
                pass
            case Op.INFO:
                return {name: {"actual-size": 0} for name in request.nodes}
            case _:
                raise AssertionError(f"no {request.op} on the bench")
        return None

    def _write(self, image: str, offset_bytes: int, data: bytes) -> None:
        self.content[image] = _with(self.content[image], offset_bytes, data)
        if image in self.held:
            self.held[image] = _with(self.held[image], offset_bytes, b"\1" * len(data))

    def _empty(self, image: str, size_bytes: int) -> None:
        self.content[image] = bytes(size_bytes)
        if image in self.held:
            self.held[image] = bytes(size_bytes)

    def _extents(self, image: str) -> list[Extent]:
        """What the image says of what it holds itself."""
        found, at = [], 0
        for mark, run in groupby(self.held.get(image, b"")):
            length = len(list(run))
            found.append(Extent(at, length, Status.DATA if mark else Status.ABSENT))
            at += length
        return found

    def _open(self, blueprint: Blueprint) -> Opened:
        children: dict[str, Opened] = {}
        for role, child in blueprint.children.items():
            assert isinstance(child, Blueprint)
            children[role] = self._open(child)
        below = children.get("file")
        if below is None:
            name = str(blueprint.options["filename"])
            size_bytes = len(self.content.setdefault(name, b""))
            if self.marks:
                self.held.setdefault(name, b"")
            opened = Opened(blueprint.name, "file", size_bytes, name, identity=name)
        else:
            name = self.images[below.name]
            opened = replace(below, name=blueprint.name, driver="raw", identity="")
        self.images[blueprint.name] = name
        return replace(opened, children=children)


@cache
def _clusters(content: bytes, cluster_bytes: int) -> tuple[int, ...]:
    cells = [content[at : at + cluster_bytes] for at in range(0, len(content), cluster_bytes)]
    assert all(cell.count(cell[0]) == len(cell) for cell in cells), "a torn cluster"
    return tuple(cell[0] for cell in cells)


def _with(content: bytes, offset_bytes: int, data: bytes) -> bytes:
    return content[:offset_bytes] + data + content[offset_bytes + len(data) :]
