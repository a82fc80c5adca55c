"""Clients write by NBD while a transaction of backups starts: one cut, and nothing is lost."""

import threading
from pathlib import Path

import pytest

from tests.nbd_servers import TARGETS, Server, serving
from tests.nbd_words import NbdClient

DRIVE_BYTES = 16 << 20
SLOT_BYTES = 4096
SPEED_BYTES_PER_S = 32 << 20  # so that clients write while the copy is under way
SLOTS = DRIVE_BYTES // SLOT_BYTES


class Writer(threading.Thread):
    """Writes 1, 2, 3, … each when the one before is acknowledged, to one drive after the other.

    Each number is a block full of it. So what a backup may show are the first k writes, of both
    drives together, for some k.
    """

    def __init__(self, server: Server, stride: int) -> None:
        super().__init__()
        self.clients = [NbdClient(server.nbd, drive) for drive in ("d0", "d1")]
        self.stride = stride
        self.acknowledged = 0
        self.sent = 0
        self.stop = threading.Event()

    def run(self) -> None:
        while not self.stop.is_set():
            self.sent += 1
            drive, slot = place(self.sent, self.stride)
            self.clients[drive].write(slot * SLOT_BYTES, block(self.sent))
            self.acknowledged = self.sent
        for client in self.clients:
            client.socket.close()

    def wait_until(self, count: int) -> None:
        while self.acknowledged < count:
            assert self.is_alive()
            self.stop.wait(0.001)


def place(number: int, stride: int) -> tuple[int, int]:
    """Drive and slot of a write; a slot is written again now and then."""
    return number % 2, number // 2 * stride % SLOTS


def block(number: int) -> bytes:
    return number.to_bytes(8, "little") * (SLOT_BYTES // 8)


def replay(count: int, stride: int) -> list[bytearray]:
    """The drives after the first so many writes."""
    images = [bytearray(DRIVE_BYTES) for _ in range(2)]
    for number in range(1, count + 1):
        drive, slot = place(number, stride)
        images[drive][slot * SLOT_BYTES : (slot + 1) * SLOT_BYTES] = block(number)
    return images


def writes_in(images: list[bytes]) -> int:
    """The newest write that the images show."""
    heads = (image[at : at + 8] for image in images for at in range(0, len(image), SLOT_BYTES))
    return max(int.from_bytes(head, "little") for head in heads)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("stride", [1, 97])  # one after the other, or all over the drive
def test_the_targets_show_the_drives_at_one_cut(target: str, stride: int, tmp_path: Path) -> None:
    with serving(target, tmp_path, bytes(DRIVE_BYTES)) as server:
        server.start_nbd()
        for drive in ("d0", "d1"):
            server("nbd-server-add", device=drive, writable=True)
        writer = Writer(server, stride)
        writer.start()
        try:
            writer.wait_until(40)
            before = writer.acknowledged
            actions = [
                {
                    "type": "drive-backup",
                    "data": {"device": d, "target": f"{tmp_path}/{d}.t", "sync": "full",
                             "format": "raw", "speed": SPEED_BYTES_PER_S},
                }
                for d in ("d0", "d1")
            ]  # fmt: skip
            server("transaction", actions=actions)
            after = writer.sent
            writer.wait_until(after + 40)
            server.wait_for("BLOCK_JOB_COMPLETED", 1)
            meanwhile = writer.acknowledged - after
            server.wait_for("BLOCK_JOB_COMPLETED", 2)
            writer.wait_until(writer.acknowledged + 10)
        finally:
            writer.stop.set()
            writer.join()
        assert not any("error" in data for data in server.seen("BLOCK_JOB_COMPLETED"))
        server("quit")
        server.process.wait(10)
    targets = [(tmp_path / f"d{index}.t").read_bytes() for index in (0, 1)]
    cut = writes_in(targets)
    assert before <= cut <= after and meanwhile > 40
    assert targets == replay(cut, stride)
    drives = [(tmp_path / f"d{index}.img").read_bytes() for index in (0, 1)]
    assert drives == replay(writer.acknowledged, stride)
