"""Large qcow2 images: memory does not grow with them, and time grows only in proportion."""

import tracemalloc
from pathlib import Path
from time import process_time

import pytest

from cleancut_reference.image.qcow2.opening import CreateOptions, create_qcow2, open_qcow2
from cleancut_reference.image.store import MemoryStore
from tests.image_harness import MIB, assert_clean, file_store

GIB = 1 << 30


@pytest.mark.slow
@pytest.mark.parametrize("cluster_bytes", [4096, 65536])
def test_memory_is_flat_on_a_sparse_disk_of_64_gib(tmp_path: Path, cluster_bytes: int) -> None:
    store = file_store(tmp_path / "image")
    tracemalloc.start()
    image = create_qcow2(store, "image", CreateOptions(64 * GIB, cluster_bytes))
    for at in range(0, 64 * GIB, 32 * MIB):
        image.write(at + 123, b"data")
    image.write_zeroes(0, 8 * GIB, unmap=True)
    assert sum(1 for _ in image.block_status(0, 64 * GIB)) > 2000
    image.close()
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak_bytes < 96 * MIB
    again = open_qcow2(file_store(tmp_path / "image"), "image")
    assert again.read(63 * GIB + 123, 4) == b"data"
    assert again.read(123, 4) == bytes(4)
    again.close()


def seconds(clusters: int) -> float:
    """To fill a disk backwards, in single clusters, thin it out and fill it again."""
    begun = process_time()
    image = create_qcow2(MemoryStore(), "image", CreateOptions(clusters * 512, 512))
    for at in reversed(range(clusters)):
        image.write(at * 512, b"x" * 512)
    for at in range(0, clusters, 2):
        image.discard(at * 512, 512)
    image.flush()
    for at in range(0, clusters, 2):
        image.write(at * 512, b"y" * 512)
    image.close()
    return process_time() - begun


@pytest.mark.slow
def test_time_grows_in_proportion_to_the_clusters() -> None:
    seconds(1000)
    small = min(seconds(4000) for _ in range(2))
    assert min(seconds(32_000) for _ in range(2)) < 8 * small * 2.5


def test_small_clusters_need_many_tables() -> None:
    """Clusters of 512 bytes: the refcount table and the L1 table grow and move."""
    store = MemoryStore()
    image = create_qcow2(store, "image", CreateOptions(24 * MIB, 512, refcount_bits=64))
    image.write(0, b"x" * 12 * MIB)
    image.create_snapshot("one")
    image.write(6 * MIB, b"y" * 12 * MIB)
    image.resize(600 * MIB)
    image.delete_snapshot("1")
    image.write(599 * MIB, b"z" * MIB)
    image.close()
    assert_clean(store)
    image = open_qcow2(store, "image")
    parts = (image.read(at * MIB, 1) for at in (0, 6, 17, 18, 599))
    assert b"".join(parts) == b"xyy\0z"
