"""NBD served by the running reference: commands as on QEMU, real clients, bad ones, endings."""

import json
import os
import shutil
import signal
import socket
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests import nbd_words as nbd
from tests.nbd_servers import TARGETS, serving, unix
from tests.nbd_words import NbdClient, connect

TOOLS = ["qemu-img", "qemu-io", "qemu-nbd", "nbdcopy", "nbdinfo"]
needs_tools = pytest.mark.skipif(
    not all(map(shutil.which, TOOLS)), reason="no qemu-utils and libnbd-bin here"
)
Commands = list[tuple[str, dict[str, Any]]]


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("n")  # short: a socket's path has 107 bytes at most


def inet(port: str, **more: Any) -> dict[str, Any]:
    return {"type": "inet", "data": {"host": "127.0.0.1", "port": port} | more}


def before_it_runs(node: str, folder: Path) -> Commands:
    """Commands that are refused without a server, and wrong ways to start one."""
    start = {"addr": unix(folder / "n")}
    add = {"type": "nbd", "id": "e", "node-name": node}
    return [
        ("query-block-exports", {}),
        ("nbd-server-stop", {}),
        ("nbd-server-add", {"device": "d0"}),
        ("nbd-server-remove", {"name": "d0"}),
        ("block-export-add", add),
        ("block-export-add", add | {"id": "1 e"}),
        ("block-export-add", add | {"node-name": "none"}),
        ("block-export-add", add | {"type": "foo"}),
        ("block-export-add", {"type": "nbd", "id": "e"}),
        ("block-export-add", add | {"addr": unix("x")}),
        ("block-export-add", add | {"type": "vhost-user-blk", "addr": unix("x")}),
        ("block-export-del", {"id": "e"}),
        ("block-export-del", {"id": "e", "mode": "foo"}),
        ("nbd-server-start", {}),
        ("nbd-server-start", {"addr": {"type": "unix"}}),
        ("nbd-server-start", {"addr": {"type": "foo"}}),
        ("nbd-server-start", {"addr": {"type": "unix", "data": {}}}),
        ("nbd-server-start", {"addr": unix(folder / "none" / "n")}),
        ("nbd-server-start", {"addr": unix("/tmp/" + "x" * 120)}),
        ("nbd-server-start", {"addr": inet("foo")}),
        ("nbd-server-start", {"addr": inet("-1")}),
        ("nbd-server-start", {"addr": inet("1", to=99999)}),
        ("nbd-server-start", {"addr": inet("1", ipv4=False, ipv6=False)}),
        ("nbd-server-start", {"addr": inet("1", ipv4=False, ipv6=True)}),
        ("nbd-server-start", {"addr": {"type": "inet", "data": {"host": "127.0.0.1", "port": 9}}}),
        ("nbd-server-start", {"addr": {"type": "fd", "data": {"str": "nofd"}}}),
        ("nbd-server-start", start | {"tls-creds": "none"}),
        ("nbd-server-start", start | {"max-connections": -1}),
        ("nbd-server-start", start | {"max-connections": 1 << 32}),
        ("nbd-server-start", start | {"foo": 1}),
        ("nbd-server-start", {"addr": inet("0")}),
        ("nbd-server-stop", {}),
    ]


def while_it_runs(node: str, folder: Path) -> Commands:
    """All that can be said to a server, from its start to `quit`."""
    start = {"addr": unix(folder / "n")}
    add = {"type": "nbd", "id": "e", "node-name": node}
    long = "n" * 4097
    return [
        ("nbd-server-start", start | {"max-connections": 3, "tls-authz": "none"}),
        ("nbd-server-start", start),
        ("nbd-server-start", {"addr": inet("foo")}),
        ("nbd-server-add", {"device": "none", "name": "1 x"}),
        ("nbd-server-add", {"device": "cd"}),
        ("nbd-server-add", {"device": ""}),
        ("nbd-server-add", {"device": "d0", "name": ""}),
        ("nbd-server-add", {"device": node}),
        ("nbd-server-add", {"device": "d0", "name": long, "description": long}),
        ("nbd-server-add", {"device": "d0", "name": long[1:]}),
        ("nbd-server-remove", {"name": long[1:]}),
        ("nbd-server-add", {"device": "d0", "description": long}),
        ("nbd-server-add", {"device": "d0", "bitmap": "none"}),
        ("nbd-server-add", {"device": "d0"}),
        ("nbd-server-add", {"device": "d0"}),
        ("nbd-server-add", {"device": node, "name": "x1", "writable": True}),
        ("query-block-exports", {}),
        ("block-export-add", add | {"id": "d0", "node-name": "none"}),
        ("block-export-add", add | {"name": "d0"}),
        ("block-export-add", add | {"node-name": "cd"}),
        ("block-export-add", add | {"node-name": "d0"}),
        ("block-export-add", add | {"iothread": "none"}),
        ("block-export-add", add | {"bitmaps": ["none"]}),
        ("block-export-add", add | {"bitmaps": [{"node": "none", "name": "b"}]}),
        ("block-export-add", add | {"name": "x1", "description": long}),
        ("block-export-add", add | {"name": long}),
        ("block-export-add", add | {"writable": True, "writethrough": True, "bitmaps": []}),
        ("block-export-add", add | {"id": "y.a_-Z", "name": "", "fixed-iothread": True}),
        ("block-export-add", add | {"id": "y#a", "name": "y"}),
        ("block_resize", {"device": "d0", "size": 8 << 20}),
        ("query-block-exports", {}),
        ("block-export-del", {"id": "e", "mode": "hard"}),
        ("nbd-server-remove", {"name": "e"}),
        ("nbd-server-remove", {"name": "x1", "mode": "safe"}),
        ("query-block-exports", {}),
        ("nbd-server-stop", {}),
        ("query-block-exports", {}),
        ("nbd-server-start", start),
        ("nbd-server-add", {"device": "d0"}),
        ("quit", {}),
    ]


@pytest.mark.qemu
@pytest.mark.skipif(len(TARGETS) < 2 or not shutil.which("qemu-system-x86_64"), reason="no QEMU")
def test_replies_and_events_are_those_of_qemu(folder: Path) -> None:
    found = []
    for target in ("reference", "qemu"):
        with serving(target, folder / target[0]) as server:
            node = server.node_name("d0")
            spoken: list[Any] = []
            said = before_it_runs(node, server.folder) + while_it_runs(node, server.folder)
            for command, arguments in said:
                reply = server.try_(command, **arguments)
                spoken.append((command, arguments, reply))
            server.rest()
            spoken += [(event["event"], event.get("data")) for event in server.events]
            text = json.dumps(spoken, sort_keys=True, indent=1)
            found.append(text.replace(node, "NODE").replace(str(server.folder), "DIR"))
    assert found[0] == found[1]


@pytest.mark.parametrize("target", TARGETS)
def test_an_export_in_use_goes_only_the_hard_way(target: str, folder: Path) -> None:
    with serving(target, folder) as server:
        server.start_nbd()
        server("nbd-server-add", device="d0", writable=True)
        client = NbdClient(server.nbd, "d0")
        client.write(0, b"kept")
        in_use = "export 'd0' still in use"
        assert server.error("block-export-del", id="d0") == in_use
        assert server.error("nbd-server-remove", name="d0") == in_use
        assert client.read(0, 4) == b"kept"
        server("block-export-del", id="d0", mode="hard")
        assert server.wait_for("BLOCK_EXPORT_DELETED") == [{"id": "d0"}]
        with pytest.raises((EOFError, ConnectionError)):
            client.read(0, 4)
        server("nbd-server-add", device="d0")
        with NbdClient(server.nbd, "d0") as client:
            assert client.read(0, 4) == b"kept"
            assert client.ask(nbd.WRITE, 0, 4, b"lost")[0]
        for _ in range(100):  # the server may see only later that the client is gone
            if "return" in server.try_("block-export-del", id="d0"):
                break
        assert len(server.wait_for("BLOCK_EXPORT_DELETED", 2)) == 2


def test_clients_that_still_negotiate_do_not_hold_up_the_end(folder: Path) -> None:
    """QEMU 7.2 hangs here for ever."""
    with serving("reference", folder) as server:
        server.start_nbd()
        server("nbd-server-add", device="d0")
        client = connect(server.nbd)
        assert client.recv(18)
        client.sendall(nbd.FLAGS)
        server("nbd-server-stop")
        assert client.recv(1) == b""
        assert server.wait_for("BLOCK_EXPORT_DELETED") == [{"id": "d0"}]
        assert not server.nbd.exists()
        with pytest.raises(FileNotFoundError):
            connect(server.nbd)


@pytest.mark.parametrize("target", TARGETS)
def test_no_more_clients_than_allowed_are_let_in(target: str, folder: Path) -> None:
    with serving(target, folder) as server:
        server.start_nbd(max_connections=2)
        first, second, third = (connect(server.nbd) for _ in range(3))
        assert first.recv(18) and second.recv(18)
        third.settimeout(0.3)
        with pytest.raises(TimeoutError):
            third.recv(18)
        first.close()
        third.settimeout(20)
        assert third.recv(18) == b"NBDMAGICIHAVEOPT\0\3"


def test_the_socket_is_private_and_takes_nobody_elses_place(folder: Path) -> None:
    """QEMU 7.2 removes whatever bears the name, be it an image."""
    with serving("reference", folder) as server:
        for taken in ("d0.img", "q", "."):
            text = server.error("nbd-server-start", addr=unix(folder / taken))
            assert text.startswith("Failed to bind socket to"), text
        assert (folder / "d0.img").stat().st_size == 1 << 20
        for address in (
            inet("0", host="0.0.0.0"), inet("0", host=""), inet("0", host="192.0.2.1"),
            {"type": "unix", "data": {"path": "x", "abstract": True}},
            {"type": "unix", "data": {"path": ""}}, {"type": "unix", "data": {"path": "a\0b"}},
            {"type": "vsock", "data": {"cid": "1", "port": "1"}},
        ):  # fmt: skip
            assert server.error("nbd-server-start", addr=address)
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(str(folder / "n"))
        server.start_nbd()
        assert stat.S_IMODE(server.nbd.stat().st_mode) == 0o600
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(10) == 143
        assert not server.nbd.exists()


def test_the_loopback_interface_is_served(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, serving("reference", folder) as server:
        port = taken.getsockname()[1]
        text = server.error("nbd-server-start", addr=inet(str(port)))
        assert text == "Failed to find an available port: Address already in use"
        server("nbd-server-start", addr=inet(str(port), to=min(port + 50, 65535)))
        for place in range(port + 1, port + 51):
            with socket.socket() as client:
                if client.connect_ex(("127.0.0.1", place)) == 0:
                    assert client.recv(18) == b"NBDMAGICIHAVEOPT\0\3"
                    return
    raise AssertionError("nobody listens")


def test_a_client_that_breaks_the_protocol_loses_only_itself(folder: Path) -> None:
    with serving("reference", folder) as server:
        server.start_nbd()
        server("nbd-server-add", device="d0", writable=True)
        with NbdClient(server.nbd, "d0") as good:
            for data in (b"x" * 100, nbd.FLAGS + b"x" * 100, os.urandom(5000)):
                with connect(server.nbd) as bad:
                    bad.sendall(data)
                    bad.shutdown(socket.SHUT_WR)
                    while bad.recv(4096):
                        pass
            with NbdClient(server.nbd, "d0") as bad:
                bad.socket.sendall(os.urandom(5000))
            good.write(0, b"good")
            assert good.read(0, 4) == b"good"
        assert server("query-block-exports")[0]["shutting-down"] is False


def test_a_client_that_does_not_read_is_not_read_either(folder: Path) -> None:
    """It asks for more and more; the server's memory does not grow with that."""
    with serving("reference", folder, bytes(8 << 20)) as server:
        server.start_nbd()
        server("nbd-server-add", device="d0")
        with NbdClient(server.nbd, "d0") as client:
            client.socket.settimeout(1)
            with pytest.raises(TimeoutError):
                for _ in range(100_000):
                    client.socket.sendall(nbd.request(nbd.READ, 1, 0, 8 << 20) * 100)
            status = Path(f"/proc/{server.process.pid}/status").read_text()
            (line,) = (line for line in status.splitlines() if line.startswith("VmRSS"))
            assert int(line.split()[1]) < 600 << 10, line
        server("quit")
        assert server.process.wait(10) == 0


def tool(*arguments: str | Path) -> str:
    done = subprocess.run(
        [str(argument) for argument in arguments], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@needs_tools
def test_the_tools_of_qemu_and_libnbd_work_on_it(folder: Path) -> None:
    with serving("reference", folder, b"\x11" * 65536 + bytes((4 << 20) - 65536)) as server:
        server.start_nbd()
        server("nbd-server-add", device="d0", writable=True, description="first drive")
        uri = f"nbd+unix:///d0?socket={server.nbd}"
        local, again = folder / "local", folder / "again"
        assert "first drive" in tool("qemu-nbd", "--list", "-k", server.nbd)
        assert "export-size: 4194304" in tool("nbdinfo", uri)
        assert "virtual size: 4 MiB" in tool("qemu-img", "info", uri)
        extents = json.loads(tool("nbdinfo", "--map", "--json", uri))
        assert [(part["offset"], part["type"]) for part in extents] == [(0, 0), (65536, 3)]
        written = tool(
            "qemu-io", "-f", "raw", "-c", "write -P 0x5a 1M 192k", "-c", "read -P 0x5a 1M 192k",
            "-c", "write -z 1M 4k", "-c", "read -P 0 1M 4k", "-c", "discard 2M 64k",
            "-c", "write -f -P 7 100 5", "-c", "read -P 7 100 5", "-c", "flush", uri,
        )  # fmt: skip
        assert "failed" not in written
        tool("qemu-img", "convert", "-O", "raw", uri, local)
        tool("nbdcopy", uri, again)
        assert local.read_bytes() == again.read_bytes() == (folder / "d0.img").read_bytes()
        again.write_bytes(os.urandom(4 << 20))
        tool("nbdcopy", again, uri)
        assert "identical" in tool("qemu-img", "compare", "-f", "raw", "-F", "raw", again, uri)
        tool("qemu-img", "convert", "-n", "-f", "raw", "-O", "raw", local, uri)
        assert (folder / "d0.img").read_bytes() == local.read_bytes()


@needs_tools
@pytest.mark.parametrize("export", ["target", "source"])
def test_a_target_can_be_read_while_its_backup_runs(export: str, folder: Path) -> None:
    """So fleecing works: the target of a slow backup, and what lies below the filter, read-only."""
    with serving("reference", folder, b"\x33" * (4 << 20)) as server:
        below = server.node_name("d0")
        server.start_nbd()
        server("nbd-server-add", device="d0", writable=True)
        target = str(folder / "t")
        server("drive-backup", device="d0", target=target, sync="full", format="raw", speed=65536)
        nodes = {
            node["file"]: node["node-name"]
            for node in server("query-named-block-nodes") if node["drv"] == "raw"
        }  # fmt: skip
        name = {"target": nodes[target], "source": below}[export]
        server("block-export-add", type="nbd", id="x", name="x", node_name=name)
        with NbdClient(server.nbd, "d0") as guest, NbdClient(server.nbd, "x") as reader:
            guest.write(3 << 20, b"\x44" * 65536)
            expected = {"target": b"\x33", "source": b"\x44"}[export]
            assert reader.read(3 << 20, 65536) == expected * 65536
        if export == "source":
            text = server.error(
                "block-export-add", type="nbd", id="w", name="w", node_name=name, writable=True
            )
            assert text.startswith(f"Permission conflict on node '{name}': permissions 'write'")
        server("quit")
        server.wait_for("BLOCK_JOB_CANCELLED")
        assert server.process.wait(10) == 0


def test_a_client_is_cut_off_with_requests_under_way(folder: Path) -> None:
    """Each is done wholly or not at all, and the export goes when they have ended."""
    with serving("reference", folder, bytes(8 << 20)) as server:
        server.start_nbd()
        server("nbd-server-add", device="d0", writable=True)
        for turn in range(10):
            with NbdClient(server.nbd, "d0") as client:
                data = bytes([turn + 1]) * 65536
                requests = (
                    nbd.request(nbd.WRITE, at, at << 16, 65536, 0, data) for at in range(100)
                )
                client.socket.sendall(b"".join(requests))
            server("block-export-del", id="d0", mode="hard")
            server.wait_for("BLOCK_EXPORT_DELETED", turn + 1)
            server("nbd-server-add", device="d0", writable=True)
        image = (folder / "d0.img").read_bytes()
        for at in range(0, 100 << 16, 65536):
            assert len(set(image[at : at + 65536])) == 1, "each write is done wholly or not at all"
