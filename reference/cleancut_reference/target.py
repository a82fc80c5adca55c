"""The target of a `drive-backup`: how it is opened, and what it must be."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

from cleancut_reference import errors
from cleancut_reference.block.description import Reader, by_name, image_at
from cleancut_reference.block.drivers import DRIVERS
from cleancut_reference.block.graph import Graph, files_below, used_by
from cleancut_reference.block.node import Node
from cleancut_reference.block.overlay import backing_options, stand_on
from cleancut_reference.block.request import DiskRequest, Failed, Op, Opened, Outcome
from cleancut_reference.errors import QmpError
from cleancut_reference.jobs.scope import Scope, Sync
from cleancut_reference.nbd.names import PROTOCOLS
from cleancut_spec import cites

#: Why an image is not made.
NOT_MADE: Final = "Protocol driver '{}' does not support image creation"


@dataclass(frozen=True, slots=True)
class Target:
    """Where a backup goes; `format` is None where the command names none."""

    path: str
    existing: bool
    format: str | None = None

    @cites("ARG-BUSY-1")
    def find(self, graph: Graph, source: Node) -> None:
        """Refuse a source that has a job already, before an image is opened; raises QmpError."""
        graph.check_not_blocked(source, for_backup=True)

    @cites("ARG-FORMAT-1", "ARG-MODE-1", "ARG-MODE-2")
    def open_request(self, graph: Graph, source: Node, scope: Scope) -> DiskRequest:
        """Open the image; make its file only if it need not exist. Raises QmpError."""
        if self.existing:
            image = image_at(self.path, self.format or "")
        else:
            format = _format_of(source) if self.format is None else self.format
            image = new_image(self.path, format)
            if self._base(source, scope) is not None and not _takes_backing(format):
                raise errors.generic(f"Backing file not supported for file format '{format}'")
        plan = Reader(graph).read(image | {"discard": "unmap", "detect-zeroes": "unmap"})
        if scope.sync is Sync.NONE:  # the source shows through, whatever the image says
            plan = replace(plan, options={**plan.options, "backing": None})
        return DiskRequest(
            Op.OPEN,
            plan.name,
            blueprint=plan,
            create=not self.existing,
            next_name=graph.next_name,
            called=f"{graph.display_name(source)}.target",
        )

    @cites("SYNC-NONE-1", "SYNC-TOP-1")
    def _base(self, source: Node, scope: Scope) -> Node | None:
        """What is to show through where the target has nothing, unless it says so itself."""
        if scope.sync is Sync.NONE:
            return source
        if scope.sync is Sync.TOP and not self.existing:
            return source.unfiltered.children["backing"]
        return None

    @cites("ARG-MODE-1")
    def format_request(self, source: Node, target: Node, scope: Scope) -> DiskRequest | None:
        """Give a new target the drive's size; an existing one stays as it is."""
        base = self._base(source, scope)
        below = base.performer.name if base else ""
        if self.existing:
            return DiskRequest(Op.SET_BACKING, target.name, backing=below) if base else None
        options = backing_options(base) if base else {}
        size_bytes = source.size_bytes
        return DiskRequest(
            Op.FORMAT, target.name, length_bytes=size_bytes, options=options, backing=below
        )

    @cites("ARG-TARGET-1", "ARG-MODE-2")
    def adopt(self, graph: Graph, source: Node, scope: Scope, outcome: Outcome) -> Node:
        """The nodes of what has been opened, if they can be a target; raises QmpError."""
        if isinstance(outcome, Failed):
            raise self._open_error(outcome)
        assert isinstance(outcome, Opened)
        _check_lock(graph, outcome)
        base = self._base(source, scope)
        if base is not None and not _takes_backing(outcome.driver):
            what = f"Driver '{outcome.driver}' of node '{outcome.name}'"
            raise errors.generic(f"{what} does not support backing files")
        target = graph.build(outcome)
        if not self.existing:
            self._foresee_size(graph, source, target)
        if base is not None:
            stand_on(target, base, named=not self.existing)
        return target

    def _foresee_size(self, graph: Graph, source: Node, target: Node) -> None:
        """The size that a new image will have; raises QmpError where there is no room for it."""
        if not target.holds_export:
            target.size_bytes = source.size_bytes
        elif target.size_bytes < source.size_bytes:
            graph.remove_tree(target)
            raise errors.generic("Cannot grow NBD nodes")

    def check_access(self, graph: Graph, source: Node, target: Node) -> None:
        """Refuse an image that somebody has, or a node below it so; raises QmpError."""
        if any(node.read_only for node in target.same_bytes()):
            raise errors.generic("Could not create node: Block node is read-only")
        own = graph.unused_below(target)
        files = {node.identity for node in own if node.identity and not node.read_only}
        if any(node.identity in files for node in graph.nodes.values() if node not in own):
            raise errors.generic('Could not replace node: Failed to get shared "write" lock')
        for parent, child in _references(graph, target):
            if child.traffic is source.traffic:
                raise errors.generic("Source and target cannot be the same")
            needs = used_by(parent, child)
            graph.check_permission(child, "write", needs, without=parent)

    def abandon(self, graph: Graph, target: Node) -> None:
        """The nodes are forgotten; `undo_request` closes them."""
        graph.remove_tree(target)

    def undo_request(self, outcome: Outcome) -> DiskRequest | None:
        """Close what has been opened, and leave everything as it was before."""
        return undo_request(outcome) if isinstance(outcome, Opened) else None

    def _open_error(self, failed: Failed) -> QmpError:
        """What to answer when the file cannot be opened."""
        verb = "open" if self.existing else "create"
        text = f"Could not {verb} '{self.path}': {errors.strerror(failed.errno)}"
        desc = failed.desc or text
        return errors.generic(desc if self.existing else _creating(self.path, desc))


def _takes_backing(format: str) -> bool:
    """Whether images of a format can stand on others."""
    return "backing" in DRIVERS[format].children


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
    try:
        file = by_name(path)
    except QmpError as error:
        raise errors.generic(_creating(path, error.desc)) from None
    if (driver := file["driver"]) not in ("file", "nbd"):
        raise errors.generic(NOT_MADE.format(driver))
    if driver == "nbd":
        file["auto-read-only"] = False
    return {"driver": format, "file": file}


def _creating(path: str, desc: str) -> str:
    """What to say when a target cannot be opened: an export is there already, or it is not made."""
    named = path.partition(":")[0] in PROTOCOLS
    return f"{NOT_MADE.format('nbd')}, and opening the image failed: {desc}" if named else desc


@cites("ARG-FORMAT-1")
def _check_lock(graph: Graph, opened: Opened) -> None:
    """Refuse an image that another job has already; raises QmpError."""
    files = _identities(opened)
    if any(
        files & files_below(node) for node in graph.nodes.values() if node.blockers and not node.job
    ):
        raise errors.generic('Failed to get "resize" lock')


def undo_request(opened: Opened) -> DiskRequest:
    """Close what has been opened, and remove a file that was made."""
    return DiskRequest(Op.UNDO_OPEN, opened.name, nodes=_names(opened))


def _names(opened: Opened) -> tuple[str, ...]:
    """The nodes that have been opened, topmost first."""
    below = [_names(child) for child in opened.children.values() if isinstance(child, Opened)]
    return (opened.name, *(name for found in below for name in found))


def _identities(opened: Opened) -> set[str]:
    """The files that have been opened to be written to."""
    children = (child for child in opened.children.values() if isinstance(child, Opened))
    found = {opened.identity} if opened.identity and not opened.read_only else set()
    return found.union(*(_identities(child) for child in children))


def _references(graph: Graph, target: Node) -> Iterator[tuple[Node, Node]]:
    """The nodes that the target stands on and that were there before, each with what uses it."""
    own = graph.unused_below(target)
    for parent in own:
        for role, child in parent.children.items():
            if child not in own and role != "backing":
                yield parent, child
