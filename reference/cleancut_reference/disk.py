"""The disks: performs the engine's requests on files and memory, and decides nothing."""

import contextlib
import errno as errno_module
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from cleancut_reference.block.request import DiskRequest, Failed, Op, Opened, Outcome

HEAD_BYTES: Final = 512


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
class _OpenTarget:
    image: FileImage
    path: Path
    created: bool  # by a transaction that is not committed yet


class Disk:
    """All images, by node; targets lie under `root`."""

    def __init__(self, drives: dict[str, Image], root: Path) -> None:
        self._drives = drives
        self._targets: dict[str, _OpenTarget] = {}
        self._root = root.resolve()

    def perform(self, request: DiskRequest) -> Outcome:
        """Do it; an error of the system is an answer, too."""
        try:
            return self._perform(request)
        except OSError as error:
            return Failed(errno_module.errorcode.get(error.errno or 0, "EIO"))

    def close(self) -> None:
        """Close all targets, and remove those whose transaction was not committed."""
        for node in list(self._targets):
            with contextlib.suppress(OSError):
                self._discard(node)

    def _perform(self, request: DiskRequest) -> Outcome:
        match request.op:
            case Op.READ:
                return self._image(request.node).read(request.offset_bytes, request.length_bytes)
            case Op.WRITE:
                self._image(request.node).write(request.offset_bytes, request.data)
            case Op.OPEN_TARGET:
                return self._open(request)
            case Op.RESET_TARGET:
                target = self._targets[request.node]
                target.created = False
                target.image.reset(request.length_bytes)
            case Op.DISCARD_TARGET:
                self._discard(request.node)
            case Op.CLOSE_TARGET:
                target = self._targets.pop(request.node)
                try:
                    os.fsync(target.image.descriptor)
                finally:
                    os.close(target.image.descriptor)
        return None

    def _image(self, node: str) -> Image:
        target = self._targets.get(node)
        return target.image if target else self._drives[node]

    def _open(self, request: DiskRequest) -> Outcome:
        """Open a regular file under the root, and leave its content as it is."""
        if not request.path or "\0" in request.path:
            return Failed("ENOENT")
        path = Path(os.path.realpath(self._root / request.path))
        if not path.is_relative_to(self._root):
            return Failed("EACCES", f"it lies outside the image root '{self._root}'")
        flags = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        created = False
        try:
            descriptor = os.open(path, flags)
        except FileNotFoundError:
            if not request.create:
                raise
            descriptor = os.open(path, flags | os.O_CREAT | os.O_EXCL, 0o600)
            created = True
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            os.close(descriptor)
            return Failed("EINVAL", "it is no regular file")
        image = FileImage(descriptor)
        self._targets[request.node] = _OpenTarget(image, path, created)
        head = image.read(0, HEAD_BYTES)
        return Opened(f"{status.st_dev}:{status.st_ino}", status.st_size, created, head)

    def _discard(self, node: str) -> None:
        target = self._targets.pop(node)
        try:
            if target.created:
                target.path.unlink(missing_ok=True)
        finally:
            os.close(target.image.descriptor)
