"""Zeros that nobody needs to store: holes of files stay holes, and read as what they are."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cleancut_reference.block.request import Blueprint, DiskRequest, Op, Opened
from cleancut_reference.disk import Disk
from cleancut_reference.file_store import FileStore
from cleancut_reference.files import DiskFiles
from cleancut_reference.image.store import is_zero

MIB = 1 << 20
PIECE = 65536
DATA = st.builds(
    lambda byte, length, odd: bytes([byte]) * length + odd,
    st.sampled_from([0, 0, 7]),
    st.sampled_from([0, 512, PIECE, 3 * PIECE]),
    st.sampled_from([b"", b"", b"\0", b"x"]),
)


@given(st.lists(st.tuples(st.integers(0, 5), DATA), max_size=8))
def test_a_file_holds_what_was_written(writes: list[tuple[int, bytes]]) -> None:
    descriptor = os.memfd_create("image")
    store, model = FileStore(descriptor), bytearray()
    for piece, data in writes:
        at = piece * PIECE
        store.write(at, data)
        if data:
            model.extend(bytes(max(0, at + len(data) - len(model))))
            model[at : at + len(data)] = data
        assert store.size_bytes == len(model) == os.fstat(descriptor).st_size
    assert store.read(0, 10 * PIECE) == bytes(model).ljust(10 * PIECE, b"\0")
    store.close()


@pytest.mark.parametrize("detect", ["off", "unmap"])
def test_zeros_in_a_hole_take_no_space_where_they_are_detected(tmp_path: Path, detect: str) -> None:
    path = tmp_path / "image"
    with path.open("wb") as file:
        file.truncate(5 * MIB)
    disk = Disk(DiskFiles(tmp_path))
    file_node = Blueprint("f", "file", {"filename": "image"})
    assert isinstance(
        disk.open(Blueprint("n", "raw", {"detect-zeroes": detect}, {"file": file_node})), Opened
    )
    for at, data in ((0, bytes(5 * MIB)), (MIB, b"x" * MIB), (MIB, bytes(MIB))):
        assert disk.perform(DiskRequest(Op.WRITE, "n", at, len(data), data)) is None
    assert disk.perform(DiskRequest(Op.READ, "n", 0, 5 * MIB)) == bytes(5 * MIB)
    disk.close()
    assert (path.stat().st_blocks * 512 <= 2 * MIB) == (detect == "unmap")


@given(st.integers(0, 3), st.integers(-1, 1), st.booleans())
def test_what_is_zero(mib: int, more: int, dirty: bool) -> None:
    data = bytearray(max(0, mib * MIB + more))
    if dirty and data:
        data[len(data) // 2] = 1
    for form in (bytes(data), data, memoryview(data)):
        assert is_zero(form) == (not any(data))


@pytest.mark.parametrize("detect", ["off", "on", "unmap"])
def test_a_node_that_detects_zeroes_allocates_none(tmp_path: Path, detect: str) -> None:
    disk = Disk(DiskFiles(tmp_path))
    file = Blueprint("f", "file", {"filename": "t.qcow2"})
    node = Blueprint("n", "qcow2", {"detect-zeroes": detect}, {"file": file})
    assert isinstance(disk.open(node, create=True), Opened)
    assert disk.perform(DiskRequest(Op.FORMAT, "n", length_bytes=8 * MIB)) is None
    empty_bytes = (tmp_path / "t.qcow2").stat().st_size
    zeros = DiskRequest(Op.WRITE, "n", 0, 4 * MIB, bytes(4 * MIB))
    assert disk.perform(zeros) is None
    assert disk.perform(DiskRequest(Op.READ, "n", 0, 4 * MIB)) == bytes(4 * MIB)
    disk.close()
    grown_bytes = (tmp_path / "t.qcow2").stat().st_size - empty_bytes
    assert (grown_bytes > 3 * MIB) == (detect == "off")
