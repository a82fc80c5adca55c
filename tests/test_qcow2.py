"""qcow2 images by themselves: any actions in any order, and what is refused."""

from itertools import pairwise
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from cleancut_reference.image.image import Bitmap, Status
from cleancut_reference.image.qcow2.check import check
from cleancut_reference.image.qcow2.image import Qcow2Image
from cleancut_reference.image.qcow2.opening import CreateOptions, create_qcow2, open_qcow2
from cleancut_reference.image.raw import RawImage
from cleancut_reference.image.store import MemoryStore
from tests.image_harness import (
    MIB,
    Disk,
    assert_clean,
    copy_of,
    image_of,
    needs_qemu_img,
    qemu_check,
    refusal,
    run,
)

LARGEST = 100_000  # bytes of a disk that is changed at random


class Writing(RuleBasedStateMachine):
    """An image with or without a backing image, changed in any way, is its oracle."""

    offsets = st.integers(0, LARGEST)
    lengths = st.sampled_from([0, 1, 511, 512, 4096, 5000, 40000])

    @initialize(
        cluster_bytes=st.sampled_from([512, 1024, 4096, 65536]),
        size=st.integers(0, LARGEST),
        backed=st.booleans(),
        refcount_bits=st.sampled_from([16, 8, 64]),
    )
    def create(self, cluster_bytes: int, size: int, backed: bool, refcount_bits: int) -> None:
        content = bytes(range(256)) * (size // 300)
        self.backing = RawImage(MemoryStore(content), "base.raw") if backed else None
        self.store = MemoryStore()
        options = CreateOptions(
            size, cluster_bytes, "base.raw" if backed else None, refcount_bits=refcount_bits
        )
        image = create_qcow2(self.store, "image", options, self.backing)
        self.disk, self.number = Disk(image), 0
        if backed:
            self.disk.oracle[:] = content[:size].ljust(size, b"\0")
        self.kept: dict[str, bytes] = {}

    @property
    def image(self) -> Qcow2Image:
        assert isinstance(self.disk.image, Qcow2Image)
        return self.disk.image

    def span(self, offset: int, length: int) -> tuple[int, int]:
        offset = min(offset, self.image.size_bytes)
        return offset, min(length, self.image.size_bytes - offset)

    def data(self, length: int, noisy: bool = False) -> bytes:
        self.number += 1
        unit = Random(self.number).randbytes(5000 if noisy else 7)
        return (unit * (length // len(unit) + 1))[:length]

    @rule(offset=offsets, length=lengths)
    def write(self, offset: int, length: int) -> None:
        offset, length = self.span(offset, length)
        self.disk.write(offset, self.data(length))

    @rule(offset=offsets, length=lengths, unmap=st.booleans())
    def write_zeroes(self, offset: int, length: int, unmap: bool) -> None:
        self.disk.write_zeroes(*self.span(offset, length), unmap)

    @rule(offset=offsets, length=lengths)
    def discard(self, offset: int, length: int) -> None:
        self.disk.discard(*self.span(offset, length))

    @rule(offset=offsets, clusters=st.integers(1, 3), noisy=st.booleans())
    def write_compressed(self, offset: int, clusters: int, noisy: bool) -> None:
        unit = self.image.cluster_bytes
        offset, length = self.span(offset // unit * unit, clusters * unit)
        if offset % unit:
            return
        if length % unit == 0 or offset + length == self.image.size_bytes:
            self.disk.write_compressed(offset, self.data(length, noisy))

    @rule(size=st.integers(0, LARGEST))
    def resize(self, size: int) -> None:
        self.disk.resize(size)

    @precondition(lambda self: len(self.kept) < 3)
    @rule()
    def create_snapshot(self) -> None:
        self.number += 1
        self.image.create_snapshot(f"s{self.number}")
        self.kept[f"s{self.number}"] = bytes(self.disk.oracle)

    @precondition(lambda self: self.kept)
    @rule(number=st.integers(0, 2))
    def delete_snapshot(self, number: int) -> None:
        snapshot = self.image.snapshots()[number % len(self.kept)]
        self.image.delete_snapshot(snapshot.id)
        del self.kept[snapshot.name]

    @rule()
    def flush(self) -> None:
        self.image.flush()
        assert_clean(self.store)

    @rule()
    def reopen(self) -> None:
        self.image.close()
        assert_clean(self.store)
        self.disk.image = open_qcow2(self.store, "image", lambda name, kind: self.opened())

    def opened(self) -> RawImage:
        assert self.backing is not None
        return self.backing

    @invariant()
    def same_content(self) -> None:
        self.disk.compare()
        extents = list(self.image.block_status(0, self.image.size_bytes))
        assert sum(extent.length_bytes for extent in extents) == self.image.size_bytes
        assert all(first.end_bytes == second.offset_bytes for first, second in pairwise(extents))
        for extent in extents:
            if extent.status is Status.ZERO:
                assert not any(self.disk.oracle[extent.offset_bytes : extent.end_bytes])

    def teardown(self) -> None:
        if not hasattr(self, "kept"):
            return
        for snapshot in self.image.snapshots():
            view = self.image.at_snapshot(snapshot.id)
            assert view.read(0, snapshot.size_bytes) == self.kept[snapshot.name]
        self.reopen()
        self.same_content()


class WritingAsQemuReadsIt(Writing):
    """The same, and real qemu-img finds the image sound and its content right."""

    def teardown(self) -> None:
        super().teardown()
        if not hasattr(self, "kept"):
            return
        with TemporaryDirectory() as folder:
            self.compare_with_qemu(Path(folder))

    def compare_with_qemu(self, path: Path) -> None:
        (path / "image.qcow2").write_bytes(self.store.read(0, self.store.size_bytes))
        (path / "oracle.raw").write_bytes(self.disk.oracle)
        if self.backing:
            (path / "base.raw").write_bytes(self.backing.read(0, self.backing.size_bytes))
        assert qemu_check(path / "image.qcow2") == (0, 0)
        size = self.image.size_bytes
        if size % 512 == 0:
            run("qemu-img", "compare", "-F", "raw", path / "image.qcow2", path / "oracle.raw")


TestWriting = Writing.TestCase
TestWriting.settings = settings(max_examples=70, stateful_step_count=25)


def test_compressed_clusters_share_clusters_of_the_store() -> None:
    image, store = image_of(cluster_bytes=4096)
    before = store.size_bytes
    image.write_compressed(0, b"quite compressible" * (MIB // 18) + bytes(MIB % 18))
    image.close()
    statuses = {extent.status for extent in open_qcow2(store, "d").block_status(0, MIB)}
    assert statuses == {Status.COMPRESSED}
    assert store.size_bytes - before < MIB // 8
    assert_clean(store)


def test_a_compressed_write_is_of_whole_clusters() -> None:
    image, _ = image_of()
    assert "whole clusters of 65536 bytes" in refusal(
        lambda: image.write_compressed(512, b"x" * 512)
    )
    image.write_compressed(0, bytes(65536))


def test_a_compressed_cluster_that_takes_the_place_of_another_is_read_anew() -> None:
    image, _ = image_of(cluster_bytes=4096)
    image.write_compressed(0, b"a" * 4096)
    assert image.read(0, 1) == b"a"
    image.discard(0, 4096)
    image.flush()
    image.write_compressed(8192, b"b" * 4096)
    assert image.read(8192, 1) == b"b"


def test_the_space_of_a_deleted_snapshot_is_used_again() -> None:
    image, store = image_of()
    image.write(0, b"a" * MIB)
    image.create_snapshot("one")
    image.write(0, b"b" * MIB)
    image.delete_snapshot("1")
    full = store.size_bytes
    image.discard(0, MIB // 2)
    image.write(0, b"c" * (MIB // 2))
    image.close()
    assert store.size_bytes == full
    assert_clean(store)


def test_what_is_cut_off_does_not_come_back() -> None:
    image, store = image_of(MIB, cluster_bytes=4096)
    image.write(0, b"a" * MIB)
    image.flush()
    full = store.size_bytes
    image.resize(5000)
    image.resize(MIB)
    assert image.read(0, MIB) == b"a" * 5000 + bytes(MIB - 5000)
    image.write(5000, b"b" * (MIB - 5000))
    image.close()
    assert store.size_bytes <= full + 8192
    assert_clean(store)


def test_nothing_old_lies_past_the_end_of_the_disk() -> None:
    image, store = image_of(4096 + 100, cluster_bytes=4096)
    image.write(0, b"secret" * 682)
    image.write(4096, b"end")
    image.discard(0, 4096)
    image.flush()
    image.discard(4096, 100)
    image.write(4096, b"end")
    place = next(image.block_status(4096, 100)).host_offset_bytes
    assert place is not None and store.read(place, 4096) == b"end" + bytes(4093)


def test_an_image_that_is_dirty_is_counted_anew() -> None:
    image, store = image_of(cluster_bytes=4096, lazy_refcounts=True)
    image.write(0, b"a" * MIB)
    image.create_snapshot("one")
    image.write(0, b"b" * 9000)
    image.close()
    content = image.read(0, MIB)
    header = image.header
    block = int.from_bytes(store.read(header.refcount_table_offset, 8), "big")
    store.write(block + 16, bytes(range(200)))
    l1 = int.from_bytes(store.read(header.l1_offset, 8), "big")
    store.write(header.l1_offset, (l1 ^ 1 << 63).to_bytes(8, "big"))
    store.write(79, b"\1")
    assert check(store, "image").corruptions
    image = open_qcow2(store, "image")
    assert_clean(store)
    assert image.read(0, MIB) == content
    assert not image.header.incompatible


def test_discarded_space_is_used_again() -> None:
    image, store = image_of(8 * MIB)
    image.write(0, b"a" * 8 * MIB)
    image.flush()
    full = store.size_bytes
    for at in range(0, 8 * MIB, MIB):
        image.discard(at, MIB)
        image.flush()
        image.write(at, b"b" * MIB)
    image.close()
    assert store.size_bytes <= full + 65536
    assert_clean(store)


def test_bitmaps_are_not_trusted_once_data_has_changed() -> None:
    image, store = image_of()
    bitmap = Bitmap("b0", 65536, b"\x05\x80", recording=False)
    other = Bitmap("b1", 512, bytes(256))
    image.store_bitmaps((bitmap, other))
    image.close()
    image = open_qcow2(store, "disk")
    assert image.bitmaps() == (bitmap, other)
    image.write(0, b"x")
    assert [(each.name, each.in_use) for each in image.bitmaps()] == [("b0", True), ("b1", True)]
    image.store_bitmaps((bitmap,))
    image.close()
    assert open_qcow2(store, "disk").bitmaps() == (bitmap,)
    assert_clean(store)


@pytest.mark.parametrize(
    "bitmap, why",
    [
        (Bitmap("b", 1000, bytes(2)), "no power of two"),
        (Bitmap("", 65536, bytes(2)), "its name is empty"),
        (Bitmap("b", 65536, bytes(3)), "3 bytes of bits, not the 2"),
    ],
)
def test_bitmaps_that_cannot_be_are_refused(bitmap: Bitmap, why: str) -> None:
    image, store = image_of()
    before = copy_of(store)
    assert why in refusal(lambda: image.store_bitmaps((bitmap,)))
    assert store.read(0, store.size_bytes) == before.read(0, before.size_bytes)


@pytest.mark.parametrize(
    "options, why",
    [
        ({"cluster_bytes": 1000}, "disk.qcow2: cluster_size: 1000 is no power of two"),
        ({"cluster_bytes": 256}, "cluster_size"),
        ({"cluster_bytes": 4 * MIB}, "cluster_size"),
        ({"refcount_bits": 7}, "refcount_bits"),
        ({"refcount_bits": 128}, "refcount_bits"),
        ({"backing_format": "raw"}, "without a backing file"),
        ({"backing_file": "x" * 1024}, "backing file name: more than 1023 bytes"),
        ({"backing_file": "x" * 500, "cluster_bytes": 512}, "does not fit into one cluster"),
        ({"size": 1 << 63, "cluster_bytes": 512}, "File too large"),
    ],
)
def test_what_cannot_be_made_is_refused(options: dict[str, Any], why: str) -> None:
    assert why in refusal(lambda: image_of(**options))


def test_misuse_is_refused_and_changes_nothing() -> None:
    image, store = image_of()
    image.write(0, b"kept")
    image.create_snapshot("one")
    assert "'one' exists already" in refusal(lambda: image.create_snapshot("one"))
    assert "none with the id '7'" in refusal(lambda: image.delete_snapshot("7"))
    assert "not within the image" in refusal(lambda: image.write(MIB, b"x"))
    assert "not within the image" in refusal(lambda: image.discard(0, MIB + 1))
    image.close()
    reader = open_qcow2(store, "disk.qcow2", writable=False)
    assert "for reading only" in refusal(lambda: reader.write(0, b"x"))
    assert reader.read(0, 4) == b"kept"
    assert [each.name for each in reader.snapshots()] == ["one"]
    assert_clean(store)


@needs_qemu_img
@pytest.mark.qemu
@pytest.mark.slow
class TestWritingAsQemuReadsIt(WritingAsQemuReadsIt.TestCase):  # type: ignore[misc,name-defined]
    settings = settings(max_examples=60, stateful_step_count=30)
