"""The target of a `drive-backup`: how it is opened, and what it must be."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from cleancut_reference import errors
from cleancut_reference.block.description import Reader, by_name, image_at
from cleancut_reference.block.drivers import DRIVERS
from cleancut_reference.block.graph import Graph, files_below
from cleancut_reference.block.node import Node
from cleancut_reference.block.request import DiskRequest, Failed, Op, Opened, Outcome
from cleancut_reference.errors import QmpError
from cleancut_reference.jobs.scope import Scope, Sync, refuse_top
from cleancut_spec import cites


@dataclass(frozen=True, slots=True)
class Target:
    """Where a backup goes; `format` is None where the command names none."""

    path: str
    existing: bool
    format: str | None = None

    def find(self, graph: Graph, source: Node) -> None:
        """Nothing can be said before the image is open."""

    def check_sync(self, graph: Graph, scope: Scope) -> None:
        """Refuse a target that has nowhere to take what is not copied from; raises QmpError."""
        refuse_top(scope)
        if scope.sync is not Sync.NONE:
            return
        if self.format == "qcow2":
            raise errors.generic("Parameter 'sync': 'none' to a new image is not supported here")
        if self.existing:
            what = f"Driver 'raw' of node '{graph.new_name()}'"
            raise errors.generic(f"{what} does not support backing files")
        raise errors.generic("Backing file not supported for file format 'raw'")

    @cites("ARG-FORMAT-1", "ARG-MODE-1", "ARG-MODE-2")
    def open_request(self, graph: Graph, source: Node) -> DiskRequest:
        """Open the image; make its file only if it need not exist. Raises QmpError."""
        if self.existing:
            image = image_at(self.path, self.format or "")
        else:
            image = new_image(self.path, _format_of(source) if self.format is None else self.format)
        plan = Reader(graph).read(image | {"discard": "unmap", "detect-zeroes": "unmap"})
        return DiskRequest(
            Op.OPEN,
            plan.name,
            blueprint=plan,
            create=not self.existing,
            next_name=graph.next_name,
            called=f"{graph.display_name(source)}.target",
        )

    @cites("ARG-MODE-1")
    def format_request(self, source: Node, target: Node) -> DiskRequest | None:
        """Give a new target the drive's size; an existing one stays as it is."""
        if self.existing:
            return None
        return DiskRequest(Op.FORMAT, target.name, length_bytes=source.size_bytes)

    @cites("ARG-TARGET-1", "ARG-SIZE-1", "ARG-MODE-2")
    def adopt(self, graph: Graph, source: Node, outcome: Outcome) -> Node:
        """The nodes of what has been opened, if they can be a target; raises QmpError."""
        if isinstance(outcome, Failed):
            raise self._open_error(outcome)
        assert isinstance(outcome, Opened)
        _check_opened(graph, self, source, outcome)
        target = graph.build(outcome)
        target.size_bytes = source.size_bytes
        return target

    def undo_request(self, outcome: Outcome) -> DiskRequest | None:
        """Close what has been opened, and leave everything as it was before."""
        return undo_request(outcome) if isinstance(outcome, Opened) else None

    def _open_error(self, failed: Failed) -> QmpError:
        """What to answer when the file cannot be opened."""
        verb = "open" if self.existing else "create"
        text = f"Could not {verb} '{self.path}': {errors.strerror(failed.errno)}"
        return errors.generic(failed.desc or text)


def _format_of(node: Node) -> str:
    """The format of a copy; what is in memory is raw."""
    return "raw" if node.driver == "memory" else node.driver


def new_image(path: str, format: str) -> dict[str, Any]:
    """The description of an image that is to be made; raises QmpError where it cannot be."""
    if format not in DRIVERS:
        raise errors.generic(f"Unknown file format '{format}'")
    if path.startswith("json:"):
        raise errors.generic("Unknown protocol 'json'")
    if not DRIVERS[format].creates:
        raise errors.generic(f"Format driver '{format}' does not support image creation")
    if not path:
        raise errors.generic(f"Could not create '': {errors.strerror('ENOENT')}")
    file = by_name(path)
    if file["driver"] != "file":
        driver = file["driver"]
        raise errors.generic(f"Protocol driver '{driver}' does not support image creation")
    return {"driver": format, "file": file}


@cites("ARG-SIZE-1", "ARG-FORMAT-1")
def _check_opened(graph: Graph, target: Target, source: Node, opened: Opened) -> None:
    """Refuse a target that is in use, of another format or of another size."""
    files = _identities(opened)
    if any(
        files & files_below(node) for node in graph.nodes.values() if node.blockers and not node.job
    ):
        raise errors.generic('Failed to get "resize" lock')
    if files & graph.identities():
        raise errors.generic('Could not replace node: Failed to get shared "write" lock')
    for child in _references(opened):
        node = graph.nodes[child]
        if node.traffic is source.traffic:
            raise errors.generic("Source and target cannot be the same")
        needs = f"node '{opened.name}' (uses node '{child}' as 'file' child)"
        graph.check_permission(node, "write", needs)
    if not target.existing:
        return
    if opened.size_bytes != source.size_bytes:
        raise errors.generic("Source and target image have different sizes")


def undo_request(opened: Opened) -> DiskRequest:
    """Close what has been opened, and remove a file that was made."""
    return DiskRequest(Op.UNDO_OPEN, opened.name, nodes=_names(opened))


def _names(opened: Opened) -> tuple[str, ...]:
    """The nodes that have been opened, topmost first."""
    below = [_names(child) for child in opened.children.values() if isinstance(child, Opened)]
    return (opened.name, *(name for found in below for name in found))


def _identities(opened: Opened) -> set[str]:
    """The files that have been opened."""
    children = (child for child in opened.children.values() if isinstance(child, Opened))
    found = {opened.identity} if opened.identity else set()
    return found.union(*(_identities(child) for child in children))


def _references(opened: Opened) -> Iterator[str]:
    """The nodes that what has been opened stands on, and which were there before."""
    for child in opened.children.values():
        if isinstance(child, str):
            yield child
        else:
            yield from _references(child)
