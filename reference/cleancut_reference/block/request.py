"""What the engine asks of a disk, and what comes back."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from cleancut_reference.image.image import Bitmap, Extent
from cleancut_reference.nbd.address import Listen


class Op(StrEnum):
    """The kinds of disk request."""

    READ = "read"
    WRITE = "write"
    WRITE_ZEROES = "write-zeroes"
    DISCARD = "discard"
    FLUSH = "flush"
    STATUS = "status"
    LAYER = "layer"
    OPEN = "open"
    FORMAT = "format"
    UNDO_OPEN = "undo-open"
    CLOSE = "close"
    RESIZE = "resize"
    INFO = "info"
    WRITTEN = "written"
    KEEP = "keep"
    MAKE = "make"
    SET_BACKING = "set-backing"
    SNAPSHOT = "snapshot"
    DELETE_SNAPSHOT = "delete-snapshot"
    STORE_BITMAPS = "store-bitmaps"
    DROP_BITMAP = "drop-bitmap"
    LISTEN = "listen"
    CALL = "call"


#: How the names begin of nodes that nobody gives a name.
AUTO_NAME: Final = "#block"


def auto_name(number: int) -> str:
    """The name of a node that nobody gives a name."""
    return f"{AUTO_NAME}{number}"


@dataclass(frozen=True, slots=True)
class Blueprint:
    """A node that is to be opened. A child is a node to be opened, too, or the name of one.

    Without a driver, what the image begins with decides between qcow2 and raw.
    """

    name: str
    driver: str
    options: Mapping[str, Any] = field(default_factory=dict)
    children: Mapping[str, "Blueprint | str"] = field(default_factory=dict)
    read_only: bool = False


@dataclass(frozen=True, slots=True)
class Opened:
    """A node that is open: what the blueprint left to the image, and all that stands below.

    A file has an `identity`, whatever its name; `created` tells that OPEN has made it. `bitmaps`
    are those in an image, which for one that may be written to are in use from then on.
    """

    name: str
    driver: str
    size_bytes: int
    filename: str = ""
    identity: str = ""
    read_only: bool = False
    cluster_bytes: int = 1
    named_backing: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    children: Mapping[str, "Opened | str"] = field(default_factory=dict)
    created: bool = False
    bitmaps: tuple[Bitmap, ...] = ()


@dataclass(frozen=True, slots=True)
class DiskRequest:
    """One request to the image of a node.

    OPEN opens what the blueprint describes; with `create` a missing file is made, and the content
    of any file stays until FORMAT makes a new image of `length_bytes` in it, with `options` of
    qcow2 and the image of the node `backing` below it. UNDO_OPEN closes the image and removes a
    file that OPEN has made. With `replace` OPEN makes a new file in any case, which takes the name
    only with KEEP. Nodes that the blueprint does not name, as backing images, are numbered from
    `next_name`. CLOSE names in `nodes` all that is to be closed, topmost first. LISTEN is for the
    NBD server's socket and no image. With `compress` a WRITE stores compressed clusters. STATUS
    asks where the image shows data and where zeros, LAYER what it holds itself. STORE_BITMAPS puts
    `bitmaps` into the images of the nodes with these names, as CLOSE does before it closes them.
    MAKE makes a new qcow2 image in what the node holds, which itself stays what it is; it answers
    the `size` of that. INFO and WRITTEN ask what queries show of `nodes`: of their images, and how
    far those have been written.
    """

    op: Op
    node: str
    offset_bytes: int = 0
    length_bytes: int = 0
    data: bytes = b""
    blueprint: Blueprint | None = None
    create: bool = False
    replace: bool = False
    next_name: int = 0
    nodes: tuple[str, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    backing: str = ""
    called: str = ""  # a name by which faults know the node; CALL does nothing else
    listen: Listen | None = None
    compress: bool = False
    bitmaps: Mapping[str, tuple[Bitmap, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Failed:
    """The request failed with an errno, by name; `desc` is the whole message where there is one."""

    errno: str
    desc: str = ""


#: How many extents STATUS answers at most; who needs more asks again.
MAX_EXTENTS: Final = 4096

#: What a disk request answers: data for READ, Opened for OPEN, for STATUS where data and zeros
#: lie, what queries show of each node for INFO, else None.
Outcome = bytes | Opened | list[Extent] | dict[str, dict[str, Any]] | Failed | None
