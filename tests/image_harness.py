"""For the tests of image formats: an oracle of a disk, and the real tools."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cleancut_reference.file_store import FileStore
from cleancut_reference.image.image import Image, ImageError, Status
from cleancut_reference.image.qcow2.check import CheckResult, check
from cleancut_reference.image.qcow2.image import Qcow2Image
from cleancut_reference.image.qcow2.opening import CreateOptions, create_qcow2
from cleancut_reference.image.store import Data, MemoryStore, Store

needs_qemu_img = pytest.mark.skipif(shutil.which("qemu-img") is None, reason="no qemu-img here")


MIB = 1 << 20


def file_store(path: Path) -> FileStore:
    return FileStore(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))


def copy_of(store: Store) -> MemoryStore:
    return MemoryStore(store.read(0, store.size_bytes))


def image_of(size: int = MIB, **options: Any) -> tuple[Qcow2Image, MemoryStore]:
    store = MemoryStore()
    return create_qcow2(store, "disk.qcow2", CreateOptions(size, **options)), store


def run(*words: str | Path) -> str:
    """The output of a program that must succeed."""
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True)
    assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
    return done.stdout


def qemu_check(path: Path) -> tuple[int, int]:
    """How many corruptions and leaks `qemu-img check` finds."""
    words = ["qemu-img", "check", "--output=json", str(path)]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.stdout.startswith("{"), done.stderr
    found = json.loads(done.stdout)
    return found.get("corruptions", 0) + found.get("check-errors", 0), found.get("leaks", 0)


def qemu_info(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(run("qemu-img", "info", "-U", "--output=json", path))
    return found


def assert_clean(store: Store) -> None:
    result = check(store, "image")
    assert result.clean, result.messages[:5]


def assert_uncorrupted(store: Store) -> CheckResult:
    result = check(store, "image")
    assert not result.corruptions, result.messages[:5]
    return result


def chain_map(image: Image) -> Iterator[tuple[int, int, int, bool, bool, bool, int | None]]:
    """What `qemu-img map` prints: start, length, depth, present, zero, data, offset."""
    at = 0
    while at < image.size_bytes:
        layer: Image | None = image
        depth, length = 0, image.size_bytes - at
        while layer is not None:
            extent = next(iter(layer.block_status(at, min(length, layer.size_bytes - at))))
            length = extent.length_bytes
            if extent.status is not Status.ABSENT or layer.backing is None:
                break
            if at >= layer.backing.size_bytes:
                layer = None
                break
            layer, depth = layer.backing, depth + 1
        present = extent.status is not Status.ABSENT
        data = extent.status in (Status.DATA, Status.COMPRESSED)
        yield at, length, depth, present, not data, data, extent.host_offset_bytes
        at += length


class Disk:
    """An image and the bytes that it must have."""

    def __init__(self, image: Image) -> None:
        self.image = image
        self.oracle = bytearray(image.size_bytes)

    def write(self, offset: int, data: Data) -> None:
        self.oracle[offset : offset + len(data)] = data
        self.image.write(offset, data)

    def write_zeroes(self, offset: int, length: int, unmap: bool) -> None:
        self.oracle[offset : offset + length] = bytes(length)
        self.image.write_zeroes(offset, length, unmap)

    def discard(self, offset: int, length: int) -> None:
        """Whole clusters read as zeros afterwards, and only they."""
        unit = self.image.cluster_bytes
        first = -(-offset // unit) * unit
        end = offset + length
        if end < self.image.size_bytes:
            end -= end % unit
        if first < end:
            self.oracle[first:end] = bytes(end - first)
        self.image.discard(offset, length)

    def write_compressed(self, offset: int, data: bytes) -> None:
        self.oracle[offset : offset + len(data)] = data
        self.image.write_compressed(offset, data)

    def resize(self, size: int) -> None:
        self.image.resize(size)
        del self.oracle[size:]
        self.oracle.extend(bytes(size - len(self.oracle)))

    def compare(self) -> None:
        assert self.image.read(0, self.image.size_bytes) == self.oracle


def refusal(action: Any) -> str:
    """What an action that must be refused says."""
    with pytest.raises(ImageError) as caught:
        action()
    return str(caught.value)
