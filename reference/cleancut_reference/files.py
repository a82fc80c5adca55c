"""The edge: image files on the disk, all of them under one folder."""

import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cleancut_reference.arithmetic import round_up
from cleancut_reference.file_store import FileStore
from cleancut_reference.image.store import Store
from cleancut_reference.opening import OpenError, OpenHow
from cleancut_reference.sizes import SECTOR_BYTES
from cleancut_reference.stores import Layer


class _WholeSectors(Layer):
    """A file whose last sector is partial: what is missing of it reads as zeros."""

    @property
    def size_bytes(self) -> int:
        """The size in whole sectors."""
        return round_up(self.below.size_bytes, SECTOR_BYTES)

    def close(self) -> None:
        """Close the file."""
        self.below.close()


@dataclass(slots=True)
class DiskFile:
    """An open file; `created` while the OPEN that has made it may yet be undone."""

    path: Path
    store: Store
    descriptor: int
    identity: str
    created: bool
    replaces: Path | None = None

    def actual_bytes(self) -> int:
        """The space that the file takes."""
        return os.fstat(self.descriptor).st_blocks * 512

    def keep(self) -> None:
        """The file stays; one that is to replace another does so now."""
        if self.replaces is not None:
            self.path.rename(self.replaces)
            self.path, self.replaces = self.replaces, None

    def remove(self) -> None:
        """Remove the file."""
        self.path.unlink(missing_ok=True)


class DiskFiles:
    """Opens regular files under `root`, and those of the command line anywhere.

    With `widen`, what lies in the folder of such a file may be opened from then on, if the file was
    opened for writing: a backing file that an image names widens nothing.
    """

    sector_bytes: Final = SECTOR_BYTES

    def __init__(self, root: Path, widen: bool = False) -> None:
        self.root: Final = root.resolve()
        self._folders = {self.root}
        self._widen = widen

    def open(self, filename: str, how: OpenHow) -> DiskFile:
        """Open a file; its content stays as it is. Raises OpenError."""
        path = self._path(filename, how)
        replaces = path if how.replace else None
        if replaces is not None:
            if path.is_dir():
                raise OpenError(f"Could not create '{filename}': {os.strerror(21)}")
            path = path.with_name(f".{path.name}.{os.getpid()}.new")
        descriptor, created = self._descriptor(path, filename, how)
        if how.anywhere and not how.read_only and self._widen and path.parent != Path("/"):
            self._folders.add(path.parent)
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            os.close(descriptor)
            raise OpenError(f"'file' driver requires '{filename}' to be a regular file")
        store: Store = FileStore(descriptor)
        if store.size_bytes % SECTOR_BYTES:
            store = _WholeSectors(store)
        identity = f"{status.st_dev}:{status.st_ino}"
        return DiskFile(path, store, descriptor, identity, created, replaces)

    def _path(self, filename: str, how: OpenHow) -> Path:
        could_not = f"Could not {'create' if how.create else 'open'} '{filename}'"
        if not filename or "\0" in filename:
            raise OpenError(f"{could_not}: {os.strerror(2)}")
        path = self.locate(filename, how.anywhere)
        if path is None:
            raise OpenError(f"{could_not}: it lies outside the image root '{self.root}'")
        return path

    def locate(self, filename: str, anywhere: bool) -> Path | None:
        """The path that a name means; None if it lies where nothing may be opened."""
        path = Path(os.path.realpath(filename if anywhere else self.root / filename))
        inside = any(path.is_relative_to(folder) for folder in self._folders)
        return path if anywhere or inside else None

    def _descriptor(self, path: Path, filename: str, how: OpenHow) -> tuple[int, bool]:
        could_not = f"Could not {'create' if how.create else 'open'} '{filename}'"
        access = os.O_RDONLY if how.read_only else os.O_RDWR
        flags = access | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        try:
            try:
                return os.open(path, flags), how.replace
            except FileNotFoundError:
                if not how.create:
                    raise
            return os.open(path, flags | os.O_CREAT | os.O_EXCL, 0o600), True
        except OSError as error:
            raise OpenError(f"{could_not}: {error.strerror}") from None
