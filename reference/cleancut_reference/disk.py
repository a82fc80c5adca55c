"""The disks: performs the engine's requests on files and memory, and decides nothing."""

import contextlib
import errno as errno_module
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from cleancut_reference.arithmetic import round_up
from cleancut_reference.block.request import Blueprint, DiskRequest, Failed, Op, Opened, Outcome

HEAD_BYTES: Final = 512
QCOW2_MAGIC: Final = b"QFI\xfb"
SECTOR_BYTES: Final = 512


class Image(Protocol):
    """What can be read and written."""

    def read(self, offset_bytes: int, length_bytes: int) -> bytes:
        """The bytes of a range; zeros past the end of what is stored."""

    def write(self, offset_bytes: int, data: bytes) -> None:
        """Replace the bytes of a range."""

    def reset(self, size_bytes: int) -> None:
        """Empty the image and give it a size."""


class FileImage:
    """A raw image file, by its descriptor."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor

    def read(self, offset_bytes: int, length_bytes: int) -> bytes:
        """The bytes of a range; zeros past the end of the file."""
        pieces, got = [], 0
        while got < length_bytes:
            piece = os.pread(self.descriptor, length_bytes - got, offset_bytes + got)
            if not piece:
                pieces.append(bytes(length_bytes - got))
                break
            pieces.append(piece)
            got += len(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def write(self, offset_bytes: int, data: bytes) -> None:
        """Replace the bytes of a range."""
        view = memoryview(data)
        while view:
            done = os.pwrite(self.descriptor, view, offset_bytes)
            offset_bytes, view = offset_bytes + done, view[done:]

    def reset(self, size_bytes: int) -> None:
        """Empty the file and give it a size."""
        os.ftruncate(self.descriptor, 0)
        os.ftruncate(self.descriptor, size_bytes)


@dataclass(slots=True)
class _File:
    """An open file; `created` by an OPEN that may still be undone."""

    image: FileImage
    path: Path
    created: bool


class Disk:
    """The images of all nodes; what commands open lies under `root`."""

    def __init__(self, root: Path) -> None:
        self.images: dict[str, Image] = {}
        self._files: dict[str, _File] = {}
        self._root = root.resolve()

    def perform(self, request: DiskRequest) -> Outcome:
        """Do it; an error of the system is an answer, too."""
        try:
            return self._perform(request)
        except OSError as error:
            return Failed(errno_module.errorcode.get(error.errno or 0, "EIO"))

    def close(self) -> None:
        """Close all, and remove files whose making was not committed."""
        for node in list(self._files):
            with contextlib.suppress(OSError):
                self._undo(node)

    def _perform(self, request: DiskRequest) -> Outcome:
        match request.op:
            case Op.READ:
                image = self.images[request.node]
                return image.read(request.offset_bytes, request.length_bytes)
            case Op.WRITE:
                self.images[request.node].write(request.offset_bytes, request.data)
            case Op.WRITE_ZEROES:
                self.images[request.node].write(request.offset_bytes, bytes(request.length_bytes))
            case Op.OPEN:
                assert request.blueprint is not None
                return self.open(request.blueprint, request.create)
            case Op.FORMAT:
                self.images[request.node].reset(request.length_bytes)
                for file in self._files.values():
                    file.created = file.created and file.image is not self.images[request.node]
            case Op.UNDO_OPEN:
                for node in request.nodes:
                    self._undo(node)
            case Op.CLOSE:
                self._close(request.nodes)
        return None

    def open(self, blueprint: Blueprint, create: bool = False, anywhere: bool = False) -> Outcome:
        """Open a node and what stands below it; content stays as it is."""
        if blueprint.driver == "file":
            return self._open_file(blueprint, create, anywhere)
        child = blueprint.children["file"]
        assert isinstance(child, Blueprint)
        opened = self.open(child, create, anywhere)
        if not isinstance(opened, Opened):
            return opened
        image = self.images[blueprint.name] = self.images[child.name]
        driver = blueprint.driver or probe(image.read(0, HEAD_BYTES))
        return Opened(
            blueprint.name,
            driver,
            opened.size_bytes,
            opened.filename,
            children={"file": opened},
            created=opened.created,
        )

    def _open_file(self, blueprint: Blueprint, create: bool, anywhere: bool) -> Outcome:
        """Open a regular file, under the root unless it may lie anywhere."""
        filename = str(blueprint.options["filename"])
        if not filename or "\0" in filename:
            return Failed("ENOENT")
        path = Path(os.path.realpath(filename if anywhere else self._root / filename))
        if not anywhere and not path.is_relative_to(self._root):
            return Failed("EACCES", f"it lies outside the image root '{self._root}'")
        flags = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        created = False
        try:
            descriptor = os.open(path, flags)
        except FileNotFoundError:
            if not create:
                raise
            descriptor = os.open(path, flags | os.O_CREAT | os.O_EXCL, 0o600)
            created = True
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            os.close(descriptor)
            return Failed("EINVAL", "it is no regular file")
        image = FileImage(descriptor)
        self._files[blueprint.name] = _File(image, path, created)
        self.images[blueprint.name] = image
        identity = f"{status.st_dev}:{status.st_ino}"
        size_bytes = round_up(status.st_size, SECTOR_BYTES)
        return Opened(blueprint.name, "file", size_bytes, filename, identity, created=created)

    def _close(self, nodes: tuple[str, ...]) -> None:
        """Close all of them, even where one fails; the first error is the answer."""
        first: OSError | None = None
        for node in nodes:
            self.images.pop(node, None)
            file = self._files.pop(node, None)
            if file is None:
                continue
            try:
                os.fsync(file.image.descriptor)
            except OSError as error:
                first = first or error
            os.close(file.image.descriptor)
        if first is not None:
            raise first

    def _undo(self, node: str) -> None:
        self.images.pop(node, None)
        file = self._files.pop(node, None)
        if file is None:
            return
        try:
            if file.created:
                file.path.unlink(missing_ok=True)
        finally:
            os.close(file.image.descriptor)


def probe(head: bytes) -> str:
    """The format of an image by how it begins."""
    return "qcow2" if head.startswith(QCOW2_MAGIC) else "raw"
