"""A qcow2 image after a crash at any moment: leaks at most, and what was flushed is there."""

import random
from hashlib import sha256
from pathlib import Path

import pytest

from cleancut_reference.image.image import Bitmap
from cleancut_reference.image.qcow2.opening import CreateOptions, create_qcow2, open_qcow2
from cleancut_reference.image.store import MemoryStore
from tests.crash_harness import SECTOR_BYTES, History, LoggedStore
from tests.image_harness import (
    assert_clean,
    assert_uncorrupted,
    file_store,
    needs_qemu_img,
    qemu_check,
)

SECTORS = 300  # of the disk, some past the end of its last whole cluster


class Writer:
    """Changes an image at random, and notes what a crash may leave of it."""

    def __init__(self, seed: int, cluster_bytes: int, refcount_bits: int) -> None:
        self.rng = random.Random(seed)
        made = MemoryStore()
        options = CreateOptions(SECTORS * SECTOR_BYTES, cluster_bytes, refcount_bits=refcount_bits)
        create_qcow2(made, "made", options).close()
        self.store = LoggedStore(made.read(0, made.size_bytes))
        self.image = open_qcow2(self.store, "image")
        self.history = History(SECTORS, self.store.log)
        self.snapshots: dict[str, bytes] = {}
        self.snapshot_events: list[tuple[int, set[str]]] = [(0, set())]
        self.content_at: dict[bytes, bytes] = {}  # of the disk, by the bits that were stored then
        self.number = 0
        self.seen: dict[bytes, tuple[bytes, set[str]]] = {}  # by the digest of what a crash left
        self.disks: dict[bytes, bytes] = {}  # each content of the disk is there once

    def act(self) -> None:
        acts = (self.write, self.write, self.write, self.compressed, self.zero, self.discard,
                self.flush, self.snapshot, self.delete, self.bitmaps, self.grow)  # fmt: skip
        self.rng.choice(acts)()

    def span(self) -> tuple[int, int]:
        first = self.rng.randrange(SECTORS)
        return first, min(self.rng.choice((1, 2, 5, 16, 60)), SECTORS - first)

    def content(self) -> bytes:
        self.number += 1
        return self.number.to_bytes(4, "big") * (SECTOR_BYTES // 4)

    def write(self) -> None:
        first, count = self.span()
        contents = [self.content() for _ in range(count)]
        self.history.write(first, contents)
        self.image.write(first * SECTOR_BYTES, b"".join(contents))

    def compressed(self) -> None:
        unit = self.image.cluster_bytes // SECTOR_BYTES
        first = self.rng.randrange(SECTORS // unit) * unit
        contents = [self.content()] * min(unit * self.rng.randrange(1, 4), SECTORS - first)
        end_bytes = (first + len(contents)) * SECTOR_BYTES
        if len(contents) % unit and end_bytes != self.image.size_bytes:
            return
        self.history.write(first, contents)
        self.image.write_compressed(first * SECTOR_BYTES, b"".join(contents))

    def zero(self) -> None:
        first, count = self.span()
        self.history.write(first, [bytes(SECTOR_BYTES)] * count)
        unmap = self.rng.random() < 0.5
        self.image.write_zeroes(first * SECTOR_BYTES, count * SECTOR_BYTES, unmap)

    def discard(self) -> None:
        unit = self.image.cluster_bytes // SECTOR_BYTES
        first, count = self.span()
        first, count = first // unit * unit, count // unit * unit
        count = min(count, (SECTORS - first) // unit * unit)
        self.history.write(first, [bytes(SECTOR_BYTES)] * count)
        self.image.discard(first * SECTOR_BYTES, count * SECTOR_BYTES)

    def flush(self) -> None:
        self.image.flush()
        self.history.flush()
        assert_clean(self.store)

    def snapshot(self) -> None:
        if len(self.image.snapshots()) >= 3:
            return
        self.number += 1
        name = f"s{self.number}"
        self.snapshots[name] = b"".join(self.history.now)
        self.image.create_snapshot(name)
        self.note_snapshots()
        self.history.flush()

    def delete(self) -> None:
        if found := self.image.snapshots():
            self.image.delete_snapshot(self.rng.choice(found).id)
            self.note_snapshots()
            self.history.flush()

    def note_snapshots(self) -> None:
        names = {each.name for each in self.image.snapshots()}
        self.snapshot_events.append((len(self.store.log), names))

    def grow(self) -> None:
        """Add a part that is never written."""
        self.image.resize(self.image.size_bytes + self.rng.randrange(100) * SECTOR_BYTES)

    def bitmaps(self) -> None:
        self.number += 1
        bits = self.number.to_bytes(-(-self.image.size_bytes // SECTOR_BYTES // 8), "big")
        self.content_at[bits] = b"".join(self.history.now)
        self.image.store_bitmaps((Bitmap("b", SECTOR_BYTES, bits),))
        self.history.flush()

    def check(self, moment: int, content: bytes) -> None:
        """A crash at a moment left this content: is it one that it may have left?"""
        key = sha256(content).digest()
        if key not in self.seen:  # more than half of the crashes leave what another has left
            self.seen[key] = self.look(content)
        disk, names = self.seen[key]
        for sector, allowed in enumerate(self.history.allowed(moment)):
            got = disk[sector * SECTOR_BYTES : (sector + 1) * SECTOR_BYTES]
            assert got in allowed, f"sector {sector} at {moment}"
        before = [names for at, names in self.snapshot_events if at <= moment][-1]
        after = [names for at, names in self.snapshot_events if at >= moment][:1] or [before]
        assert names in (before, after[0])

    def look(self, content: bytes) -> tuple[bytes, set[str]]:
        """The disk and the names of its snapshots; checks what holds whenever the crash was."""
        store = MemoryStore(content)
        assert_uncorrupted(store)
        image = open_qcow2(store, "image")
        disk = image.read(0, SECTORS * SECTOR_BYTES)
        grown_bytes = image.size_bytes - len(disk)
        assert image.read(len(disk), grown_bytes) == bytes(grown_bytes)
        for snapshot in image.snapshots():
            kept = image.at_snapshot(snapshot.id).read(0, snapshot.size_bytes)
            assert kept.rstrip(b"\0") == self.snapshots[snapshot.name].rstrip(b"\0")
        for bitmap in image.bitmaps():
            assert bitmap.in_use or self.content_at[bitmap.bits] == disk
        return self.disks.setdefault(disk, disk), {each.name for each in image.snapshots()}


def crash_everywhere(writer: Writer, actions: int, variants: int) -> list[bytes]:
    """Check all crashes of some random actions; returns a few of the contents that were left."""
    for _ in range(actions):
        writer.act()
    left = []
    for number, (moment, content) in enumerate(writer.store.crashes(writer.number, variants)):
        writer.check(moment, content)
        if number % 23 == 0:
            left.append(content)
            store = MemoryStore(content)
            image = open_qcow2(store, "image")
            image.write(0, b"again" * 2000)
            image.create_snapshot("after")
            assert_uncorrupted(store)
    return left


@pytest.mark.parametrize("cluster_bytes, refcount_bits", [(512, 64), (1024, 8), (4096, 16)])
@pytest.mark.parametrize("seed", range(2))
def test_a_crash_leaves_leaks_at_most(seed: int, cluster_bytes: int, refcount_bits: int) -> None:
    crash_everywhere(Writer(seed, cluster_bytes, refcount_bits), actions=30, variants=2)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100, 112))
def test_many_crashes_leave_leaks_at_most(seed: int) -> None:
    cluster_bytes = (512, 1024, 2048, 8192)[seed % 4]
    crash_everywhere(Writer(seed, cluster_bytes, (16, 8, 64)[seed % 3]), actions=60, variants=4)


@pytest.mark.qemu
@needs_qemu_img
def test_qemu_img_agrees_on_what_a_crash_leaves(tmp_path: Path) -> None:
    leaks = 0
    for number, content in enumerate(crash_everywhere(Writer(7, 1024, 16), 40, 2)):
        path = tmp_path / f"{number}.qcow2"
        path.write_bytes(content)
        ours = assert_uncorrupted(file_store(path))
        assert qemu_check(path) == (0, ours.leaks)
        leaks += ours.leaks
    assert leaks, "no crash left anything"
