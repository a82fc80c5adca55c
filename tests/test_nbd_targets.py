"""Backups to exports of other NBD servers, and what happens when such a server does not behave."""

import shutil
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NoReturn

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cleancut_reference.assembly import Wanted, assemble
from cleancut_reference.files import DiskFiles
from cleancut_reference.image.store import MemoryStore
from cleancut_reference.nbd.connection import Connection
from cleancut_reference.nbd.handshake import ALLOCATION, Offer, Terms
from cleancut_reference.nbd.names import name_of, options_of
from cleancut_reference.nbd.remote import Refused, Remote
from cleancut_reference.nbd.remote_store import NbdServers
from cleancut_reference.nbd.stream import BrokenProtocol, Dialogue
from cleancut_reference.nbd.transmission import Request
from cleancut_reference.nbd.wire import Command, ExtentFlag
from cleancut_reference.outputs import Event, Output, Reply
from tests.nbd_servers import serving
from tests.pair import needs_qemu, pair

SIZE_BYTES = 1 << 20
needs_tools = pytest.mark.skipif(not shutil.which("qemu-nbd"), reason="no qemu-nbd")


class World:
    """A client and a server without sockets: what one says, the other hears."""

    def __init__(self, name: str, structured: bool = True) -> None:
        self.store = MemoryStore(bytes(SIZE_BYTES))
        self.remote = Remote(name)
        offer = Offer("disk", "", SIZE_BYTES, True)
        self.server = Connection(lambda: [offer])
        self.structured = structured

    def hold(self, dialogue: Dialogue[NoReturn, Any]) -> Any:
        received = bytearray()
        try:
            wanted = next(dialogue)
            while True:
                said = self.remote.data_to_send()
                if not self.structured:  # a server that does not know this option
                    said = said.replace(b"IHAVEOPT\0\0\0\x08", b"IHAVEOPT\0\0\0\x63")
                self.server.receive(said)
                self._answer()
                told = self.server.data_to_send()
                if not self.structured:
                    told = told.replace(b"\0\0\0\x63\x80", b"\0\0\0\x08\x80")
                received += told
                assert len(received) >= wanted, "the client waits for what is never said"
                piece, received = received[:wanted], received[wanted:]
                wanted = dialogue.send(bytes(piece))
        except StopIteration as end:
            assert not received
            return end.value

    def _answer(self) -> None:
        while (event := self.server.next_event()) is not None:
            if not isinstance(event, Terms):
                self._perform(event)

    def _perform(self, request: Request) -> None:
        transmission = self.server.transmission
        assert transmission is not None
        at, length = request.offset_bytes, request.length_bytes
        match request.command:
            case Command.READ:
                transmission.reply(request, self.store.read(at, length))
            case Command.BLOCK_STATUS:
                transmission.reply_extents(request, {ALLOCATION: [(length, 3)]})
            case Command.WRITE:
                self.store.write(at, request.data)
                transmission.reply(request)
            case _:
                transmission.reply(request)


@pytest.mark.parametrize("structured", [True, False])
def test_what_is_written_is_read(structured: bool) -> None:
    world = World("disk", structured)
    world.hold(world.remote.greet())
    assert world.remote.size_bytes == SIZE_BYTES and not world.remote.read_only
    assert world.remote.tells_extents is structured
    data = b"a" * 5000 + bytes(9000) + b"b" * 5000
    world.hold(world.remote.write(12345, data))
    world.hold(world.remote.flush())
    assert world.hold(world.remote.read(12000, 20000)) == world.store.read(12000, 20000)
    if structured:
        zero = ExtentFlag.HOLE | ExtentFlag.ZERO
        assert world.hold(world.remote.extents(0, 4096)) == [(4096, zero)]
    past = world.remote.read(SIZE_BYTES - 1, 2)
    with pytest.raises(OSError, match="could not"):
        world.hold(past)


def test_an_export_that_is_not_there_is_refused() -> None:
    world = World("other")
    with pytest.raises(Refused, match="Requested export not available"):
        world.hold(world.remote.greet())


@given(st.binary(max_size=200), st.sampled_from([b"", b"NBDMAGIC", b"NBDMAGICIHAVEOPT\0\3"]))
def test_whatever_a_server_says_is_understood_or_refused(noise: bytes, begin: bytes) -> None:
    remote = Remote("disk")
    told = begin + noise + struct.pack(">QIII", 0x3E889045565A9, 7, 1, 0) + bytes(1000)
    dialogue = remote.greet()
    with suppress(StopIteration, BrokenProtocol, Refused):
        wanted = next(dialogue)
        while wanted <= len(told):
            piece, told = told[:wanted], told[wanted:]
            wanted = dialogue.send(piece)


@pytest.mark.parametrize(
    ("name", "usual"),
    [
        ("nbd:unix:/a/b.sock", "nbd+unix://?socket=/a/b.sock"),
        ("nbd:unix:/a/b.sock:exportname=x", "nbd+unix:///x?socket=/a/b.sock"),
        ("nbd+unix:///%78?socket=b", "nbd+unix:///x?socket=b"),
        ("nbd:localhost:1:exportname=x", "nbd://localhost:1/x"),
        ("nbd://h", "nbd://h:10809"),
        ("nbd+tcp://h:5/a/b", "nbd://h:5/a/b"),
    ],
)
def test_names_of_exports(name: str, usual: str) -> None:
    assert name_of(options_of(name)) == usual
    assert options_of(usual) == options_of(name)


@contextmanager
def exported(folder: Path, *options: str) -> Iterator[Path]:
    """A socket at which qemu-nbd serves an image."""
    path, image = folder / "s", folder / "e.img"
    with image.open("wb") as file:
        file.truncate(SIZE_BYTES)
    command = ["qemu-nbd", "-t", "-e", "5", "-k", str(path), *options, str(image)]
    with subprocess.Popen(command) as process:
        while not path.exists():
            assert process.poll() is None
            time.sleep(0.01)
        try:
            yield path
        finally:
            process.kill()


@needs_tools
def test_backups_to_qemu_nbd_hold_what_the_drive_held(tmp_path: Path) -> None:
    """Raw and qcow2, one full, one by a bitmap over it."""
    content = b"\x5a" * (SIZE_BYTES // 2) + bytes(SIZE_BYTES // 2)
    with (
        exported(tmp_path, "-f", "raw", "-x", "e") as path,
        serving("reference", tmp_path / "f", content) as server,
    ):
        path = path.rename(tmp_path / "f" / "s")
        target = {"device": "d0", "target": f"nbd:unix:{path}:exportname=e", "mode": "existing"}
        server("block-dirty-bitmap-add", node="d0", name="b")
        server("drive-backup", **target, sync="full", format="raw", job_id="full")
        assert "error" not in server.wait_for("BLOCK_JOB_COMPLETED")[0]
        assert (tmp_path / "e.img").read_bytes() == content
        server("human-monitor-command", command_line='qemu-io d0 "write -P 7 512k 64k"')
        server("drive-backup", **target, sync="incremental", bitmap="b", format="raw", job_id="i")
        assert "error" not in server.wait_for("BLOCK_JOB_COMPLETED", 2)[1]
        assert (tmp_path / "e.img").read_bytes() == (tmp_path / "f" / "d0.img").read_bytes()
        made = target | {"device": "d1", "mode": "absolute-paths", "format": "qcow2"}
        server("block_resize", device="d1", size=SIZE_BYTES // 4)
        server("drive-backup", **made, sync="full")
        assert "error" not in server.wait_for("BLOCK_JOB_COMPLETED", 3)[2]
        place = {"type": "unix", "path": str(path)}
        file = {"driver": "nbd", "server": place, "export": "e"}
        server("blockdev-add", driver="qcow2", node_name="q", file=file)
        said = server.error("blockdev-snapshot-internal-sync", device="q", name="s")
        assert said == "Failed to create snapshot 's' on device 'q': Invalid argument"
        server("blockdev-del", node_name="q")
    compare = ["qemu-img", "compare", "-f", "qcow2", "-F", "raw", "e.img", "f/d1.img"]
    subprocess.run(compare, cwd=tmp_path, check=True)
    check = ["qemu-img", "check", "-q", "-f", "qcow2", "e.img"]
    assert subprocess.run(check, cwd=tmp_path).returncode in (0, 3)  # sound, or with leaks


def test_the_target_may_be_an_export_of_the_server_itself(tmp_path: Path) -> None:
    """Nobody waits for himself."""
    content = b"\x77" * SIZE_BYTES
    with serving("reference", tmp_path, content) as server:
        (tmp_path / "t.img").write_bytes(bytes(SIZE_BYTES))
        server.start_nbd()
        server("blockdev-add", driver="file", node_name="t", filename=str(tmp_path / "t.img"))
        server("block-export-add", type="nbd", id="e", node_name="t", writable=True)
        server("drive-backup", device="d0", target=f"nbd:unix:{server.nbd}:exportname=t",
               mode="existing", format="raw", sync="full")  # fmt: skip
        [done] = server.wait_for("BLOCK_JOB_COMPLETED")
        assert "error" not in done
        assert (tmp_path / "t.img").read_bytes() == content


def test_only_what_is_near_is_connected_to(tmp_path: Path) -> None:
    with serving("reference", tmp_path / "f") as server:
        for name, reason in {
            f"nbd:unix:{tmp_path}/s": f"it lies outside the image root '{tmp_path}/f'",
            "nbd://192.0.2.1/e": "this server connects to loopback only",
        }.items():
            said = server.error("drive-backup", device="d0", target=name, sync="full",
                                mode="existing", format="raw")  # fmt: skip
            assert said.startswith("Failed to connect to ") and said.endswith(reason)
        fd: dict[str, Any] = {"type": "fd", "str": "x"}
        said = server.error("blockdev-add", driver="nbd", node_name="n", server=fd)
        assert said == "File descriptor named 'x' has not been found"


Misbehave = Callable[[socket.socket, bytes], None]
REPLY = struct.Struct(">IIQ")


@contextmanager
def strange_server(path: Path, misbehave: Misbehave) -> Iterator[None]:
    """A server that has an oldstyle export, and does something to each request."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()

        def serve() -> None:
            with suppress(OSError):
                while True:
                    client, _ = listener.accept()
                    with client, suppress(OSError):
                        magic = 0x420281861253.to_bytes(8)
                        client.sendall(b"NBDMAGIC" + magic + struct.pack(">QI124x", SIZE_BYTES, 1))
                        while request := client.recv(28, socket.MSG_WAITALL):
                            misbehave(client, request)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(5)


def hang(client: socket.socket, request: bytes) -> None:
    time.sleep(0.3)
    client.close()


def test_a_server_that_hangs_holds_up_nobody_else(tmp_path: Path) -> None:
    over = threading.Event()

    def hang_on(client: socket.socket, request: bytes) -> None:
        over.wait(10)
        client.close()

    (tmp_path / "f").mkdir()
    with (
        strange_server(tmp_path / "f" / "s", hang_on),
        serving("reference", tmp_path / "f") as server,
    ):
        existing = {"device": "d0", "mode": "existing", "format": "raw", "sync": "full"}
        server("drive-backup", target="nbd:unix:s", **existing)
        server("drive-backup", device="d1", target="t", sync="full", format="raw")
        assert server.wait_for("BLOCK_JOB_COMPLETED")[0]["device"] == "d1"
        assert [job["id"] for job in server("query-jobs")] == ["d0"]
        assert len(server("query-block")) == 3
        over.set()
        ends = server.wait_for("BLOCK_JOB_COMPLETED", 2)
        assert ends[1]["error"] == "Input/output error"


def die(client: socket.socket, request: bytes) -> None:
    client.close()


def babble(client: socket.socket, request: bytes) -> None:
    client.sendall(b"what?" * 20)


def answer_another(client: socket.socket, request: bytes) -> None:
    client.sendall(REPLY.pack(0x67446698, 0, 12345))


def have_no_space(client: socket.socket, request: bytes) -> None:
    command, length = struct.unpack(">H", request[6:8])[0], struct.unpack(">I", request[24:])[0]
    data = client.recv(length, socket.MSG_WAITALL) if command == Command.WRITE else b""
    errno = 28 if data else 0
    client.sendall(REPLY.pack(0x67446698, errno, int.from_bytes(request[8:16])))


@pytest.mark.parametrize(
    ("misbehave", "error"),
    [
        (hang, "Input/output error"),
        (die, "Input/output error"),
        (babble, "Input/output error"),
        (answer_another, "Input/output error"),
        (have_no_space, "No space left on device"),
    ],
)
def test_a_server_that_misbehaves_fails_the_job(
    misbehave: Misbehave, error: str, tmp_path: Path
) -> None:
    with strange_server(tmp_path / "s", misbehave):
        machine = assemble(Wanted(drives=[f"d0={SIZE_BYTES}"], image_root=tmp_path))
        files = DiskFiles(tmp_path)
        machine.disk._servers = NbdServers(files, timeout_s=0.1)
        arguments = {"device": "d0", "target": "nbd:unix:s", "mode": "existing", "format": "raw"}
        request = {"execute": "drive-backup", "arguments": arguments | {"sync": "full"}}
        machine.engine.receive(request)
        said: list[Output] = []
        while machine.step():
            said += machine.engine.drain_outbox()
        machine.close()
    assert [each.body for each in said if isinstance(each, Reply)] == [{"return": {}}]
    told = [each for each in said if isinstance(each, Event)]
    [failure] = [each.data for each in told if each.name == "BLOCK_JOB_ERROR"]
    assert (failure["operation"], failure["action"]) == ("write", "report")
    [end] = [each.data for each in told if each.name == "BLOCK_JOB_COMPLETED"]
    assert end["error"] == error


START = (
    "qemu-nbd -f raw -k $PWD/{0}.sock -t -e 9 {1} {0}.img --fork --pid-file {0}.pid"
    " && echo $PWD/{0}.pid >> {2}"
)


@pytest.mark.qemu
@needs_qemu
@needs_tools
def test_errors_and_nodes_are_those_of_qemu(tmp_path: Path) -> None:
    kinds = {"t": "-x good", "ro": "-r", "small": ""}
    pids = tmp_path / "pids"
    prepare = "truncate -s 4M t.img ro.img; truncate -s 1M small.img;" + ";".join(
        START.format(name, options, pids) for name, options in kinds.items()
    )
    backups = [
        ("none.sock", "existing"), ("t.sock", "existing"), ("t.sock:exportname=bad", "existing"),
        ("ro.sock", "existing"), ("small.sock", "existing"), ("small.sock", "absolute-paths"),
        ("ro.sock", "absolute-paths"), ("none.sock", "absolute-paths"), ("", "existing"),
    ]  # fmt: skip
    lines = [
        f'drive-backup {{"device": "d0", "target": "nbd:unix:{name}", "mode": "{mode}",'
        ' "format": "raw", "sync": "full"}'
        for name, mode in backups
    ]
    lines += [
        f'drive-backup {{"device": "d0", "target": "{name}", "mode": "existing",'
        ' "format": "raw", "sync": "full"}'
        for name in ("nbd:x", "nbd:", "nbd://", "nbd:///x", "nbd+unix:///x", "nbd+unix://h/x?socket=y",
                     "nbd://127.0.0.1:1/x", "nbd://127.0.0.1:z/x", "nbd+foo://x")
    ]  # fmt: skip
    add = 'blockdev-add {"node-name": "n%d", "driver": "nbd"%s}'
    good = '"server": {"type": "unix", "path": "t.sock"}, "export": "good"'
    for index, options in enumerate([
        "", ', "server": {"type": "unix"}', ', "server": {"type": "unix", "path": "ro.sock"}',
        ', "server": {"type": "unix", "path": "ro.sock"}, "auto-read-only": true',
        ', "server": {"type": "fd", "str": "x"}', f', {good}, "tls-creds": "x"', f", {good}",
        ', "server": {"type": "inet", "host": "127.0.0.1", "port": "1"}',
    ]):  # fmt: skip
        lines.append(add % (index, options))
    lines += [
        f'blockdev-add {{"node-name": "r", "driver": "raw", "file": {{"driver": "nbd", {good}}}}}',
        'block_resize {"node-name": "n6", "size": 8388608}',
        'block_resize {"node-name": "n6", "size": 1048576}',
        'blockdev-reopen {"options": [{"driver": "nbd", "node-name": "n6",'
        ' "server": {"type": "unix", "path": "ro.sock"}, "export": "good"}]}',
        "hmp drive_add 0 if=none,id=z,file=nbd:unix:t.sock:exportname=good,format=raw",
        "query-block",
        'query-named-block-nodes {"flat": true}',
    ]
    try:
        with pair(tmp_path / "p", prepare=prepare) as both:
            both.compare(*lines, hide=frozenset({"actual-size"}))
    finally:
        for path in pids.read_text().split():
            subprocess.run(["kill", Path(path).read_text().strip()])
