"""The reference server as a process: real clients, bad starts, endings."""

import asyncio
import os
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from qemu.qmp import QMPClient
from qemu.qmp.events import EventListener

SERVE = [sys.executable, "-m", "cleancut_reference"]


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("s")  # short: a socket's path has 107 bytes at most


@contextmanager
def server(folder: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    command = [*SERVE, "--qmp", "unix:qmp.sock", *arguments]
    process = subprocess.Popen(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    assert "listening on qmp.sock" in process.stderr.readline()
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*SERVE, *arguments], cwd=folder, capture_output=True, text=True, timeout=20
    )


def test_the_client_library_of_qemu_takes_a_backup(folder: Path) -> None:
    (folder / "disk.img").write_bytes(os.urandom(3 << 16))

    async def talk() -> list[str]:
        client = QMPClient("test")
        await client.connect(str(folder / "qmp.sock"))
        names = []
        events = EventListener(("BLOCK_JOB_COMPLETED",))
        with client.listen(events):
            write = 'qemu-io d0 "write -P 0x5a 64k 64k"'
            await client.execute("human-monitor-command", {"command-line": write})
            actions = [
                {"type": "drive-backup", "data": {"device": d, "target": f"{d}.t", "sync": "full"}}
                for d in ("d0", "d1")
            ]
            await client.execute("transaction", {"actions": actions})
            async for event in events:
                names.append(event["data"]["device"])
                if len(names) == 2:
                    break
        assert await client.execute("query-block-jobs") == []
        await client.execute("quit")
        with suppress(EOFError):  # the server may hang up first, as QEMU does
            await client.disconnect()
        return names

    with server(folder, "--drive", "d0=192k", "--drive", "d1=file:disk.img") as process:
        assert stat.S_IMODE((folder / "qmp.sock").stat().st_mode) == 0o600
        assert sorted(asyncio.run(talk())) == ["d0", "d1"]
        assert process.wait(10) == 0
    assert (folder / "d1.t").read_bytes() == (folder / "disk.img").read_bytes()
    assert (folder / "d0.t").read_bytes() == bytes(1 << 16) + b"\x5a" * (1 << 16) + bytes(1 << 16)
    assert not (folder / "qmp.sock").exists()


def test_the_shell_of_qemu_talks_to_it(folder: Path) -> None:
    shell = [str(Path(sys.executable).parent / "qmp-shell"), "qmp.sock"]
    lines = "query-status\ndrive-backup device=d0 target=t.img sync=full\nquit\n"
    with server(folder, "--drive", "d0=64k") as process:
        talk = subprocess.run(
            shell, cwd=folder, input=lines, capture_output=True, text=True, timeout=20
        )
        assert process.wait(10) == 0
    assert '"running"' in talk.stdout and "error" not in talk.stdout
    assert (folder / "t.img").stat().st_size == 65536


def test_one_client_after_the_other(folder: Path) -> None:
    with server(folder):
        first, second = (socket.socket(socket.AF_UNIX) for _ in range(2))
        for client in (first, second):
            client.settimeout(5)
            client.connect(str(folder / "qmp.sock"))
        assert b'"QMP"' in first.recv(4096)
        second.settimeout(0.2)
        with pytest.raises(TimeoutError):
            second.recv(4096)
        first.close()
        second.settimeout(5)
        assert b'"QMP"' in second.recv(4096)
        second.close()


def test_quit_and_hang_up_at_once_ends_well(folder: Path) -> None:
    """Found in CI: the client had gone while its last reply was being sent."""
    for _ in range(5):
        with server(folder) as process:
            client = socket.socket(socket.AF_UNIX)
            client.connect(str(folder / "qmp.sock"))
            client.sendall(b'{"execute": "qmp_capabilities"}{"execute": "quit"}')
            text = b""
            while b"SHUTDOWN" not in text:
                text += client.recv(4096)
            client.close()
            _, errors = process.communicate(timeout=10)
            assert (process.returncode, errors) == (0, "")


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--qmp", "tcp:1"], "--qmp 'tcp:1' is not of the form unix:PATH"),
        (["--qmp", "unix:no/such/dir/s"], "cannot listen on no/such/dir/s"),
        (["--qmp", "unix:file"], "file exists and is no socket"),
        (["--qmp", "unix:" + "x" * 200], "cannot listen on"),
        (["--qmp", "unix:s", "--drive", "d0"], "--drive 'd0' is not of the form"),
        (["--qmp", "unix:s", "--drive", "d0=file:none"], "Could not open 'none': No such file"),
        (["--qmp", "unix:s", "--drive", "d0=file:."], "Could not open '.'"),
        (["--qmp", "unix:s", "--drive", "d0=4Q"], "'4Q' is no size"),
        (
            ["--qmp", "unix:s", "--drive", "d0=1M", "--drive", "d0=1M"],
            "Duplicate ID 'd0' for drive",
        ),
        (["--qmp", "unix:s", "--drive", "if=bogus,id=x"], "unsupported bus type 'bogus'"),
        (["--qmp", "unix:s", "--drive", "if=none,id=x,driver=bogus"], "Unknown driver 'bogus'"),
        (["--qmp", "unix:s", "--blockdev", "driver=null-co"], "'node-name' must be specified"),
        (["--qmp", "unix:s", "--blockdev", "{bad"], "invalid keyword 'bad'"),
        (["--qmp", "unix:s", "--object", "iothread"], "--object iothread: Parameter 'id'"),
        (["--qmp", "unix:s", "--fault", "d9 write 1 EIO"], "no drive is called 'd9'"),
        (["--qmp", "unix:s", "--image-root", "file"], "--image-root 'file' is no directory"),
    ],
)
def test_a_wrong_command_line_is_named_in_one_line(
    folder: Path, arguments: list[str], text: str
) -> None:
    (folder / "file").write_text("precious")
    done = run(folder, *arguments)
    assert done.returncode == 2
    assert text in done.stderr and len(done.stderr.splitlines()) == 1
    assert (folder / "file").read_text() == "precious"


def test_a_socket_in_use_is_left_alone_and_a_dead_one_replaced(folder: Path) -> None:
    with server(folder) as process:
        done = run(folder, "--qmp", "unix:qmp.sock")
        assert done.returncode == 2 and "another server listens on qmp.sock" in done.stderr
        process.kill()
        process.wait()
    assert (folder / "qmp.sock").exists()
    with server(folder):
        pass


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_it_and_leaves_no_socket(
    folder: Path, number: signal.Signals, code: int
) -> None:
    with server(folder, "--drive", "d0=64k") as process:
        process.send_signal(number)
        _, errors = process.communicate(timeout=10)
        assert process.returncode == code and errors == ""
    assert not (folder / "qmp.sock").exists()


def test_targets_lie_under_the_image_root(folder: Path) -> None:
    root = folder / "root"
    root.mkdir()
    (folder / "outside").write_bytes(b"precious")
    (root / "link").symlink_to(folder / "outside")
    with server(folder, "--drive", "d0=64k", "--image-root", "root"):
        client = socket.socket(socket.AF_UNIX)
        client.settimeout(5)
        client.connect(str(folder / "qmp.sock"))
        client.sendall(b'{"execute": "qmp_capabilities"}')
        text = b""
        for target in ("../outside", "link", "/etc/hostname", "a\\u0000b", ".", ""):
            client.sendall(
                b'{"execute": "drive-backup", "arguments": {"device": "d0", "sync": "full", '
                b'"target": "%s"}}' % target.encode()
            )
        while text.count(b"\n") < 8:
            text += client.recv(4096)
        client.close()
    assert text.count(b"GenericError") == 6 and text.count(b"outside the image root") == 3
    assert (folder / "outside").read_bytes() == b"precious"
