"""A qcow2 image on a disk that fails now and then: the image goes on, and nothing else is lost."""

import errno
import random

import pytest

from cleancut_reference.image.image import Bitmap
from cleancut_reference.image.qcow2.opening import CreateOptions, create_qcow2, open_qcow2
from cleancut_reference.image.store import Data, MemoryStore
from tests.image_harness import assert_clean, assert_uncorrupted

SECTOR_BYTES = 512
SECTORS = 200


class FailingStore(MemoryStore):
    """Fails one request, or all from one on until it is repaired."""

    def __init__(self) -> None:
        super().__init__()
        self.until_failure = -1
        self.lasting = False

    def _request(self) -> None:
        self.until_failure -= 1
        if self.until_failure == 0 or (self.lasting and self.until_failure < 0):
            raise OSError(errno.ENOSPC, "no space left")

    def write(self, offset_bytes: int, data: Data) -> None:
        self._request()
        super().write(offset_bytes, data)

    def truncate(self, size_bytes: int) -> None:
        self._request()
        super().truncate(size_bytes)

    def flush(self) -> None:
        self._request()


class Guest:
    """Uses an image at random, and knows what each sector may hold."""

    def __init__(self, seed: int, cluster_bytes: int, with_bitmaps: bool = True) -> None:
        self.with_bitmaps = with_bitmaps
        self.rng = random.Random(seed)
        self.store = FailingStore()
        options = CreateOptions(SECTORS * SECTOR_BYTES, cluster_bytes)
        self.image = create_qcow2(self.store, "image", options)
        self.content = [bytes(SECTOR_BYTES)] * SECTORS
        self.kept: dict[str, bytes] = {}

    def act(self) -> None:
        first = self.rng.randrange(SECTORS)
        count = min(self.rng.choice((1, 3, 20, 60)), SECTORS - first)
        offset, length = first * SECTOR_BYTES, count * SECTOR_BYTES
        data = self.rng.randbytes(8) * (length // 8)
        match self.rng.randrange(8 if self.with_bitmaps else 7):
            case 0 | 1 | 2:
                self.change(first, data, lambda: self.image.write(offset, data))
            case 3:
                self.change(first, bytes(length), lambda: self.image.write_zeroes(offset, length))
            case 4:
                unit = self.image.cluster_bytes
                whole = data[:8] * (unit // 8)
                cluster = self.rng.randrange(SECTORS * SECTOR_BYTES // unit)
                self.change(
                    cluster * unit // SECTOR_BYTES,
                    whole,
                    lambda: self.image.write_compressed(cluster * unit, whole),
                )
            case 5:
                self.change(0, b"", self.image.flush)
            case 6:
                self.change(0, b"", self.snapshot)
            case 7:
                bits = self.rng.randbytes(SECTORS // 8)
                self.change(0, b"", lambda: self.image.store_bitmaps((Bitmap("b", 512, bits),)))

    def snapshot(self) -> None:
        found = self.image.snapshots()
        if len(found) > 2:
            self.image.delete_snapshot(self.rng.choice(found).id)
        else:
            name = str(self.rng.random())
            self.kept[name] = b"".join(self.content)
            self.image.create_snapshot(name)

    def change(self, first: int, data: bytes, action: object) -> None:
        """Do it; where it failed, each sector is what it was or what it should have become."""
        allowed = [{each} for each in self.content]
        for at in range(0, len(data), SECTOR_BYTES):
            allowed[first + at // SECTOR_BYTES].add(data[at : at + SECTOR_BYTES])
        failed = False
        try:
            assert callable(action)
            action()
        except OSError:
            failed = True
        disk = self.image.read(0, SECTORS * SECTOR_BYTES)
        got = [disk[at : at + SECTOR_BYTES] for at in range(0, len(disk), SECTOR_BYTES)]
        assert all(each in able for each, able in zip(got, allowed, strict=True))
        assert failed or disk[first * SECTOR_BYTES :].startswith(data)
        self.content = got

    def check(self) -> None:
        """Repaired, everything is there; what is left unfinished are leaks at most."""
        self.store.until_failure, self.store.lasting = -1, False
        self.image.flush()
        assert_uncorrupted(self.store)
        image = open_qcow2(self.store, "image")
        assert image.read(0, SECTORS * SECTOR_BYTES) == b"".join(self.content)
        for snapshot in image.snapshots():
            kept = image.at_snapshot(snapshot.id).read(0, snapshot.size_bytes)
            assert kept == self.kept[snapshot.name]
        image.store_bitmaps(())
        image.write_zeroes(0, image.size_bytes, unmap=True)
        image.close()
        assert_uncorrupted(self.store)


@pytest.mark.parametrize("lasting", [False, True])
@pytest.mark.parametrize("cluster_bytes", [512, 4096])
def test_a_failing_disk_damages_nothing(cluster_bytes: int, lasting: bool) -> None:
    for seed in range(40):
        guest = Guest(seed, cluster_bytes)
        for _ in range(8):
            guest.act()
        guest.store.until_failure, guest.store.lasting = seed + 1, lasting
        for _ in range(8):
            guest.act()
        guest.check()


@pytest.mark.parametrize("cluster_bytes", [512, 4096])
def test_what_a_failure_took_is_given_back(cluster_bytes: int) -> None:
    for seed in range(40):
        guest = Guest(seed, cluster_bytes, with_bitmaps=False)
        for _ in range(6):
            guest.act()
        guest.store.until_failure = seed + 1
        for _ in range(6):
            guest.act()
        guest.store.until_failure = -1
        guest.image.close()
        assert_clean(guest.store)


def test_without_a_failure_nothing_leaks() -> None:
    guest = Guest(1, 1024)
    for _ in range(30):
        guest.act()
    guest.image.close()
    assert_clean(guest.store)
