"""Damaged qcow2 images: a clear error, and nothing is made worse."""

import struct
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from cleancut_reference.image.image import Bitmap, ImageError
from cleancut_reference.image.qcow2.check import check
from cleancut_reference.image.qcow2.opening import open_qcow2
from cleancut_reference.image.store import MemoryStore
from tests.image_harness import MIB, assert_clean, copy_of, image_of, refusal


@pytest.mark.parametrize(
    "offset, form, value, why",
    [
        (0, ">4s", b"QED\0", "magic"),
        (4, ">I", 2, "version: 2 is not supported"),
        (20, ">I", 8, "cluster_bits"),
        (20, ">I", 22, "cluster_bits"),
        (32, ">I", 2, "crypt_method: encrypted images"),
        (24, ">Q", 1 << 62, "l1_size"),
        (36, ">I", 0xFFFFFFFF, "l1_size"),
        (40, ">Q", 7, "l1_table_offset: 0x7 is not the start of a cluster"),
        (40, ">Q", 1 << 50, "l1_table_offset: .* past the end"),
        (48, ">Q", 0, "refcount_table_offset"),
        (56, ">I", 0, "refcount_table_clusters"),
        (56, ">I", 0xFFFFFFFF, "refcount_table_clusters"),
        (60, ">I", 0xFFFFFFFF, "nb_snapshots"),
        (60, ">I", 3, "snapshots_offset"),
        (72, ">Q", 2, "incompatible_features: the image is marked corrupt"),
        (72, ">Q", 4, "incompatible_features: an external data file"),
        (72, ">Q", 8, "incompatible_features: a compression type"),
        (72, ">Q", 16, "incompatible_features: extended L2"),
        (72, ">Q", 1 << 40, "incompatible_features: unknown bits"),
        (96, ">I", 7, "refcount_order"),
        (100, ">I", 72, "header_length"),
        (104, ">II", (0xE2792ACA, 70000), "header extension 0xe2792aca: 70000 bytes"),
        (104, ">II", (0x23852875, 3), "bitmaps extension"),
    ],
)
def test_a_damaged_header_is_named(offset: int, form: str, value: Any, why: str) -> None:
    _, store = image_of()
    store.write(offset, struct.pack(form, *(value if isinstance(value, tuple) else (value,))))
    with pytest.raises(ImageError, match=rf"disk\.qcow2: {why}"):
        open_qcow2(store, "disk.qcow2")


@pytest.mark.parametrize("place", ["header", "l1", "l2", "refcount table", "refcount block"])
@pytest.mark.parametrize("way", ["a refcount of zero", "an entry that leads there"])
def test_no_table_of_a_damaged_image_is_overwritten(place: str, way: str) -> None:
    image, store = image_of()
    image.write(0, b"x" * MIB)
    image.close()
    header = image.header

    def entry(offset: int) -> int:
        return int.from_bytes(store.read(offset, 8), "big") & 0x00FFFFFFFFFFFE00

    l2, block = entry(header.l1_offset), entry(header.refcount_table_offset)
    offset = {
        "header": 0,
        "l1": header.l1_offset,
        "l2": l2,
        "refcount table": header.refcount_table_offset,
        "refcount block": block,
    }[place]
    if way == "a refcount of zero":
        store.write(block + offset // 65536 * 2, bytes(2))
        image = open_qcow2(store, "disk.qcow2")
        image.discard(0, 65536)
    else:
        store.write(l2, (offset | 1 << 63).to_bytes(8, "big"))
        image = open_qcow2(store, "disk.qcow2")
    before = store.read(offset, 512)
    if place == "header" and way != "a refcount of zero":
        image.write(0, b"new")  # no offset means no cluster
    else:
        assert "the image is damaged" in refusal(lambda: image.write(0, b"new"))
    assert store.read(offset, 512) == before


def test_no_refcount_block_is_made_over_the_header() -> None:
    image, store = image_of()
    image.close()
    store.write(image.header.refcount_table_offset, bytes(8))
    head = store.read(0, 512)
    image = open_qcow2(store, "disk.qcow2")
    assert "cluster 0: a table lies there" in refusal(lambda: image.write(0, b"new"))
    assert store.read(0, 512) == head


def test_many_entries_that_lead_to_one_table_take_no_time() -> None:
    """A large L1 table, and each entry leads to the same full L2 table."""
    image, store = image_of(MIB)
    image.write(0, b"x" * MIB)
    image.resize(1 << 47)
    image.close()
    l1_offset = image.header.l1_offset
    entry = store.read(l1_offset, 8)
    store.write(l1_offset, entry * image.header.l1_entries)
    assert check(store, "disk.qcow2").corruptions >= image.header.l1_entries - 1
    image = open_qcow2(store, "disk.qcow2")
    assert "L1 entry 1: the L2 table at" in refusal(lambda: image.create_snapshot("one"))


def busy_image() -> MemoryStore:
    """An image that has some of everything."""
    image, store = image_of(300_000, cluster_bytes=1024)
    image.write(0, bytes(range(256)) * 300)
    image.create_snapshot("one")
    image.write(5000, b"x" * 9000)
    image.write_compressed(102400, b"abc" * 10240)
    image.write_zeroes(40000, 20000)
    image.store_bitmaps((Bitmap("b0", 512, b"\x01" * 74), Bitmap("b1", 65536, b"\x10")))
    image.create_snapshot("two")
    image.write(0, b"y" * 3000)
    image.close()
    assert_clean(store)
    return store


BUSY = busy_image()


@settings(max_examples=150)
@given(
    damage=st.lists(
        st.tuples(
            st.one_of(st.integers(0, 200), st.integers(0, BUSY.size_bytes // 8 - 1)),
            st.one_of(
                st.integers(0, (1 << 64) - 1),
                st.integers(0, 200).map(lambda cluster: cluster * 1024),
                st.integers(0, 63).map(lambda bit: 1 << bit),
            ),
        ),
        min_size=1,
        max_size=4,
    )
)
def test_a_damaged_image_gives_clear_errors(damage: list[tuple[int, int]]) -> None:
    store = copy_of(BUSY)
    for word, value in damage:
        store.write(word * 8, value.to_bytes(8, "big"))

    def use() -> None:
        image = open_qcow2(store, "image")
        image.read(0, min(image.size_bytes, MIB))
        image.bitmaps()
        for snapshot in image.snapshots():
            image.at_snapshot(snapshot.id).read(0, min(snapshot.size_bytes, MIB))
        image.write(0, b"new" * min(20000, image.size_bytes // 3))
        image.create_snapshot("three")
        image.delete_snapshot("1")
        image.close()

    for attempt in (lambda: check(store, "image"), use, lambda: check(store, "image")):
        try:
            attempt()
        except ImageError as error:
            assert str(error).startswith("image: ") and error.field
