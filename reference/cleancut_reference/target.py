"""The target of a `drive-backup`: how it is opened, and what it must be."""

from dataclasses import dataclass

from cleancut_reference import errors
from cleancut_reference.block.graph import Graph, files_below
from cleancut_reference.block.node import Node
from cleancut_reference.block.request import Blueprint, DiskRequest, Failed, Op, Opened
from cleancut_reference.errors import QmpError
from cleancut_spec import cites


@dataclass(frozen=True, slots=True)
class Target:
    """Where a backup goes; `format` is empty where the command names none."""

    path: str
    existing: bool
    format: str = ""

    @cites("ARG-FORMAT-1")
    def check_format(self) -> None:
        """Refuse a format that this server cannot write; drives are raw, so that is the default."""
        if self.format == "qcow2":
            raise errors.generic("Format 'qcow2' is not supported by this server")
        if self.format not in ("", "raw"):
            raise errors.generic(f"Unknown file format '{self.format}'")

    @cites("ARG-MODE-1", "ARG-MODE-2")
    def open_request(self, graph: Graph, source: Node) -> DiskRequest:
        """Open the file; make it only if it need not exist."""
        file = Blueprint(graph.new_name(), "file", {"filename": self.path})
        driver = "" if self.existing and not self.format else "raw"
        image = Blueprint(graph.new_name(), driver, children={"file": file})
        return DiskRequest(
            Op.OPEN,
            image.name,
            blueprint=image,
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

    def open_error(self, failed: Failed) -> QmpError:
        """What to answer when the file cannot be opened."""
        if failed.whole:
            return errors.generic(failed.desc)
        verb = "open" if self.existing else "create"
        reason = failed.desc or errors.strerror(failed.errno)
        return errors.generic(f"Could not {verb} '{self.path}': {reason}")


@cites("ARG-SIZE-1", "ARG-FORMAT-1")
def check_opened(graph: Graph, target: Target, source: Node, opened: Opened) -> None:
    """Refuse a target that is in use, of another format or of another size."""
    files = identities(opened)
    if files & files_below(source):
        raise errors.generic("Source and target cannot be the same")
    if files & graph.identities():
        raise errors.generic('Failed to get "resize" lock')
    if not target.existing:
        return
    if opened.driver == "qcow2":
        raise errors.generic(f"'{target.path}' is a qcow2 image; this server writes raw ones only")
    if opened.size_bytes != source.size_bytes:
        raise errors.generic("Source and target image have different sizes")


def undo_request(opened: Opened) -> DiskRequest:
    """Close what has been opened, and leave everything as it was before."""
    return DiskRequest(Op.UNDO_OPEN, opened.name, nodes=names(opened))


def names(opened: Opened) -> tuple[str, ...]:
    """The nodes that have been opened, topmost first."""
    below = [names(child) for child in opened.children.values() if isinstance(child, Opened)]
    return (opened.name, *(name for found in below for name in found))


def identities(opened: Opened) -> set[str]:
    """The files that have been opened."""
    children = (child for child in opened.children.values() if isinstance(child, Opened))
    found = {opened.identity} if opened.identity else set()
    return found.union(*(identities(child) for child in children))
