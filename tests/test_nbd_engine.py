"""NBD clients on the engine alone, in any order of steps: each request is answered once, rightly.

The oracle is a list of bytes for each drive, changed when the engine says that a request is done.
"""

import struct
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cleancut_reference.block.request import Op
from cleancut_reference.nbd.client import MAX_OPEN_REQUESTS, Client
from cleancut_reference.outputs import Event, GuestDone, HangUp
from cleancut_reference.state import Options
from tests import nbd_words as nbd
from tests.engine_harness import Harness, backup_action

pytestmark = pytest.mark.slow

SIZES = [21, 16]
SMALL = Options(cluster_bytes=4, max_chunk_bytes=8, workers=2)
COMMANDS = [nbd.READ, nbd.WRITE, nbd.WRITE_ZEROES, nbd.TRIM, nbd.FLUSH, nbd.CACHE]


class World:
    """Two exported drives, clients, and what has come of all that they asked."""

    def __init__(self) -> None:
        self.harness = Harness(SIZES, SMALL)
        self.harness.execute("nbd-server-start", addr={"type": "unix", "data": {"path": "n"}})
        for drive in ("d0", "d1"):
            self.harness.execute("nbd-server-add", device=drive, writable=True)
        self.harness.run()
        self.seen = len(self.harness.outputs)
        self.content = [bytearray(range(1, size + 1)) for size in SIZES]
        for index, content in enumerate(self.content):
            self.harness.images[f"d{index}"].write(0, bytes(content))
        self.owners: dict[int, Peer] = {}
        self.peers: list[Peer] = []
        self.cut: list[list[bytes]] = []  # of each transaction, at its first commit
        self.labels_seen = 0

    def connect(self, drive: int) -> None:
        self.peers.append(Peer(self, drive))

    def take(self, choice: int) -> bool:
        steps = self.harness.steps()
        if steps:
            self.harness.take(steps[choice % len(steps)])
            self.follow()
        return bool(steps)

    def follow(self) -> None:
        """Bring what came out of the engine to the clients, and keep what a cut shows."""
        for label in self.harness.labels[self.labels_seen :]:
            if label.name == "begin":
                self.cut.append([])
            if label.name == "commit" and not self.cut[-1]:
                self.cut[-1] = [bytes(content) for content in self.content]
        self.labels_seen = len(self.harness.labels)
        for output in self.harness.outputs[self.seen :]:
            if isinstance(output, GuestDone) and output.request in self.owners:
                self.owners.pop(output.request).finished(output)
            if isinstance(output, Event) and output.name == "BLOCK_EXPORT_DELETED":
                left = {owner.client.export_id for owner in self.owners.values()}
                assert output.data["id"] not in left, "an export ends after its requests"
            if isinstance(output, HangUp):
                for peer in self.peers:
                    peer.gone = peer.gone or peer.client.export_id == output.export_id
        self.seen = len(self.harness.outputs)


class Peer:
    """A client: what it has asked and not heard of, by cookie."""

    def __init__(self, world: World, drive: int) -> None:
        self.world = world
        self.drive = drive
        self.client = Client(world.harness.state)
        self.asked: dict[int, tuple[int, int, int, bytes]] = {}
        self.waiting: list[int] = []  # cookies of what the engine has not begun
        self.begun: dict[int, int] = {}  # cookies by the engine's numbers
        self.cookie = 0
        self.gone = False
        self.tell(nbd.FLAGS + nbd.option(nbd.EXPORT_NAME, f"d{drive}".encode()))
        self.heard = self.client.data_to_send()
        assert len(self.heard) == 18 + 10

    def tell(self, data: bytes) -> None:
        self.client.receive(data)
        self.work()

    def work(self) -> None:
        for number in self.client.work():
            self.world.owners[number] = self
            self.begun[number] = self.waiting.pop(0)
        assert sum(owner is self for owner in self.world.owners.values()) <= MAX_OPEN_REQUESTS

    def ask(self, command: int, offset: int, length: int, flags: int, data: bytes) -> None:
        self.cookie += 1
        self.asked[self.cookie] = (command, offset, length, data)
        if command != nbd.CACHE:
            self.waiting.append(self.cookie)
        self.tell(nbd.request(command, self.cookie, offset, length, flags, data))
        self.listen()

    def finished(self, done: GuestDone) -> None:
        if done.request in self.begun:  # else it is the flush of a write that is done
            command, offset, length, data = self.asked[self.begun.pop(done.request)]
            if command in (nbd.WRITE, nbd.WRITE_ZEROES):
                new = data or bytes(length)
                self.world.content[self.drive][offset : offset + length] = new
        flush = self.client.finished(done)
        if flush is not None:
            self.world.owners[flush] = self
        self.work()
        self.listen()

    def listen(self) -> None:
        """Each reply is to something asked, and true at this moment."""
        data = self.client.data_to_send()
        content = self.world.content[self.drive]
        while data:
            magic, error, cookie = struct.unpack_from(">IIQ", data)
            assert magic == 0x67446698 and not error
            command, offset, length, _ = self.asked.pop(cookie)
            data = data[16:]
            if command == nbd.READ:
                assert data[:length] == content[offset : offset + length]
                data = data[length:]


def ask_something(world: World, data: st.DataObject) -> None:
    peer = data.draw(st.sampled_from(world.peers))
    if peer.gone:
        return
    size = SIZES[peer.drive]
    command = data.draw(st.sampled_from(COMMANDS))
    offset = data.draw(st.integers(0, size))
    length = data.draw(st.integers(0, size - offset))
    payload = (
        data.draw(st.binary(min_size=length, max_size=length)) if command == nbd.WRITE else b""
    )
    peer.ask(command, offset, length, data.draw(st.sampled_from([0, nbd.FUA])), payload)


def do(world: World, what: str, data: st.DataObject) -> None:
    """Ask something, take a step, or let a client leave; what it asked is done nevertheless."""
    if what == "a":
        ask_something(world, data)
    elif what == "s":
        world.take(data.draw(st.integers(0, 9)))
    else:
        data.draw(st.sampled_from(world.peers)).client.hang_up()


def finish(world: World) -> None:
    """Let everything end."""
    for _ in range(100_000):
        if world.take(0):
            continue
        wake_ns = world.harness.engine.wake_ns()
        if wake_ns is None:
            return
        world.harness.engine.advance(wake_ns)
    raise AssertionError("the engine does not come to rest")


def image(world: World, name: str) -> bytes:
    found: Any = world.harness.images.get(name)
    if found is None:
        found = world.harness.files[name]
    return bytes(found.read(0, found.size_bytes))


@settings(max_examples=200)
@given(st.data())
def test_each_request_is_answered_once_and_rightly(data: st.DataObject) -> None:
    world = World()
    for drive in (0, 0, 1):
        world.connect(drive)
    for _ in range(data.draw(st.integers(1, 2))):
        for what in data.draw(st.lists(st.sampled_from("as"), max_size=8)):
            do(world, what, data)
        actions = [backup_action("d0"), backup_action("d1")]
        if not world.harness.state.jobs:
            world.harness.execute("transaction", actions=actions)
        while world.harness.engine._queue or world.harness.engine.current:
            assert world.take(data.draw(st.integers(0, 3)))
        for what in data.draw(st.lists(st.sampled_from("aassl"), max_size=20)):
            do(world, what, data)
    finish(world)
    assert not any(peer.asked for peer in world.peers) and not world.owners
    assert [image(world, name) for name in ("d0", "d1")] == world.content
    if world.cut:
        assert len(world.harness.events("BLOCK_JOB_COMPLETED")) == 2 * len(world.cut)
        assert [image(world, f"{name}.target") for name in ("d0", "d1")] == world.cut[-1]
    world.harness.execute("nbd-server-stop")
    finish(world)
    assert len(world.harness.events("BLOCK_EXPORT_DELETED")) == 2
    assert not any(not drive.name for drive in world.harness.state.graph.drives)


@settings(max_examples=200)
@given(st.data())
def test_an_export_ends_when_the_requests_of_its_clients_have_ended(data: st.DataObject) -> None:
    world = World()
    world.connect(0)
    for _ in range(data.draw(st.integers(0, 25))):
        ask_something(world, data)
    for _ in range(data.draw(st.integers(0, 20))):
        world.take(data.draw(st.integers(0, 9)))
    busy = bool(world.owners)
    world.harness.execute("block-export-del", id="d0", mode="hard")
    while not any("return" in reply for reply in world.harness.replies()[3:]):
        assert world.take(0)
    if busy and world.owners:
        (export, *_) = world.harness.state.exports
        assert export.shutting_down and not export.clients
    finish(world)
    assert world.peers[0].gone
    assert [event.data for event in world.harness.events("BLOCK_EXPORT_DELETED")] == [{"id": "d0"}]
    assert not world.harness.traffics[0].requests


def test_a_write_that_is_to_last_is_answered_after_a_flush() -> None:
    world = World()
    world.connect(0)
    (peer,) = world.peers
    peer.ask(nbd.WRITE, 0, 4, nbd.FUA, b"last")
    ops = []
    while peer.asked:
        (step,) = world.harness.steps()
        ops += [step.io.op] if step.io else []
        world.take(0)
    assert ops == [Op.WRITE, Op.FLUSH]
