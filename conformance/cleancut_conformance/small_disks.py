"""Disks that are full soon: a tmpfs of a few clusters, where the user may mount one."""

import contextlib
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path


class DiskError(OSError):
    """A small disk that cannot be mounted; the message says what mount said."""


def _mount(path: Path, options: str) -> None:
    command = ["mount", "-t", "tmpfs", "-o", options, "cleancut", str(path)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        raise DiskError(f"mount: {error.strerror}") from None
    if done.returncode:
        raise DiskError(done.stderr.strip() or f"mount ends with status {done.returncode}")


def _unmount(path: Path) -> None:
    subprocess.run(["umount", "--lazy", str(path)], capture_output=True, check=False)


@cache
def why_not() -> str:
    """Why this user cannot have a small disk; empty if that is possible."""
    with tempfile.TemporaryDirectory(prefix="cleancut-") as folder:
        try:
            _mount(Path(folder), "size=64k")
        except DiskError as error:
            return str(error)
        _unmount(Path(folder))
    return ""


@contextlib.contextmanager
def mounted(folder: Path, disks: Mapping[str, int]) -> Iterator[None]:
    """Small disks of these sizes in a folder, by name; they are gone at the end."""
    paths = [folder / name for name in disks]
    try:
        for path, size_bytes in zip(paths, disks.values(), strict=True):
            path.mkdir()
            _mount(path, f"size={size_bytes}")
        yield
    finally:
        for path in paths:
            _unmount(path)


def resize(path: Path, size_bytes: int) -> None:
    """Give a small disk another size."""
    _mount(path, f"remount,size={size_bytes}")
