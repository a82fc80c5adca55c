"""Stores of bytes and raw images: memory and files behave alike."""

import os
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cleancut_reference.file_store import FileStore
from cleancut_reference.image.image import Image, ImageError, Status
from cleancut_reference.image.raw import RawImage, create_raw
from cleancut_reference.image.store import MemoryStore, Store

SIZE_BYTES = 5 * 65536 + 100


def file_store(path: Path) -> FileStore:
    return FileStore(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))


@pytest.fixture(params=["memory", "file"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    made: Store = MemoryStore() if request.param == "memory" else file_store(tmp_path / "store")
    yield made
    made.close()


def test_a_store_grows_shrinks_and_reads_zeros_where_nothing_was_written(store: Store) -> None:
    store.write(70000, b"abc")
    assert store.size_bytes == 70003
    assert store.read(69999, 6) == b"\0abc\0\0"
    store.truncate(70001)
    store.truncate(140000)
    assert store.read(70000, 3) == b"a\0\0"
    assert store.size_bytes == 140000


def test_data_ranges_hold_everything_that_is_not_zero(store: Store) -> None:
    store.truncate(1 << 40)
    store.write(300000, b"x" * 200000)
    store.write(1 << 39, b"y")
    ranges = list(store.data_ranges(5, (1 << 40) - 5))
    assert all(start < end for start, end in ranges)
    assert all(first[1] < second[0] for first, second in pairwise(ranges))
    covered = [any(s <= at < e for s, e in ranges) for at in (300000, 499999, 1 << 39)]
    assert covered == [True, True, True]
    assert sum(end - start for start, end in ranges) < 1 << 20
    assert list(store.data_ranges(300001, 7)) == [(300001, 300008)]
    assert list(store.data_ranges(300001, 0)) == []


def check_status(image: Image, content: bytes | bytearray) -> None:
    """The extents have no gap, and what is called zero is zero."""
    at = 0
    for extent in image.block_status(0, image.size_bytes):
        assert extent.offset_bytes == at and extent.length_bytes > 0
        at = extent.end_bytes
        if extent.status is Status.ZERO:
            assert not any(content[extent.offset_bytes : at])
    assert at == image.size_bytes


@given(
    st.lists(
        st.tuples(st.sampled_from("wz"), st.integers(0, SIZE_BYTES), st.integers(0, 150000)),
        max_size=8,
    )
)
def test_a_raw_image_is_an_array_of_bytes(actions: list[tuple[str, int, int]]) -> None:
    image, oracle = create_raw(MemoryStore(), "disk", SIZE_BYTES), bytearray(SIZE_BYTES)
    for number, (action, offset, length) in enumerate(actions, 1):
        length = min(length, SIZE_BYTES - offset)
        if action == "w":
            image.write(offset, bytes([number]) * length)
            oracle[offset : offset + length] = bytes([number]) * length
        else:
            image.write_zeroes(offset, length)
            oracle[offset : offset + length] = bytes(length)
    assert image.read(0, SIZE_BYTES) == oracle
    check_status(image, oracle)


@pytest.mark.parametrize("offset, length", [(-1, 1), (0, SIZE_BYTES + 1), (SIZE_BYTES, 1)])
def test_a_range_outside_the_image_is_refused(offset: int, length: int) -> None:
    image = RawImage(MemoryStore(bytes(SIZE_BYTES)), "disk.raw")
    with pytest.raises(ImageError, match=r"disk\.raw: range: "):
        image.read(offset, length)
    with pytest.raises(ImageError, match=r"disk\.raw: range: "):
        image.write(offset, bytes(length))
