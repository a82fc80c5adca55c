"""`cleancut-qemu` beside the real qemu-system-x86_64: the same command lines, alike."""

import asyncio
import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from qemu.qmp import QMPClient

from cleancut_reference.qemu.command_line import CommandLineError
from cleancut_reference.qemu.plan import read_plan

QEMU = shutil.which("qemu-system-x86_64")
OURS = str(Path(sys.executable).with_name("cleancut-qemu"))
BARE = ["-machine", "none", "-nodefaults", "-display", "none"]
LISTEN = ["-qmp", "unix:s,server=on,wait=off"]
DRIVE = ["-drive", "if=none,id=d0,file=a.img,format=raw"]

needs_qemu = pytest.mark.skipif(QEMU is None, reason="no qemu-system-x86_64")
both = pytest.mark.parametrize(
    "program",
    [OURS, pytest.param(QEMU, marks=[pytest.mark.qemu, needs_qemu])],
    ids=["ours", "qemu"],
)

WRONG = [
    ["-foo"],
    ["-drive"],
    ["-machine"],
    ["-drive", "if=none,id=d0,file=nope.img,format=raw"],
    [*DRIVE, *DRIVE],
    ["-drive", "if=bogus,id=d0"],
    ["-drive", "if=none,id=d,bogus=1,file=a.img,format=raw"],
    ["-drive", "if=none,id=d,format=zzz,file=a.img"],
    ["-blockdev", "driver=file,filename=a.img"],
    ["-blockdev", "driver=zzz,node-name=a"],
    ["-blockdev", "driver=file,node-name=a,filename=nope"],
    ["-blockdev", '{"driver": "file", "node-name": "a", "filename": "nope"}'],
    ["-blockdev", '{"driver":'],
    ["-object", "bogus,id=x"],
    ["-object", "throttle-group"],
    ["-object", "iothread,id=a", "-object", "iothread,id=a"],
    ["-device", "virtio-blk-pci"],
    ["-device", '{"driver": "scsi-hd", "drive": "d0"}'],
    ["-accel", "zzz"],
    ["-chardev", "socket,id=m"],
    ["-chardev", "zzz,id=m"],
    ["-chardev", "socket,path=x"],
    ["-chardev", "socket,id=m,path=none/s", "-mon", "chardev=m,mode=control"],
    ["-chardev", "socket,id=m,fd=99", "-mon", "chardev=m,mode=control"],
    ["-mon", "mode=control"],
    ["-mon", "chardev=zz,mode=control"],
    ["-mon", "chardev=zz,mode=bogus"],
    ["-qmp", "unix:none/s"],
    ["-qmp", "unix:none/s,server=on,wait=off"],
    ["-pidfile", "none/pid"],
]


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("q")  # short: a socket's path has 107 bytes at most
    (folder / "a.img").write_bytes(b"\x11" * (4 << 20))
    return folder


def refusal(program: str, folder: Path, arguments: list[str]) -> tuple[int, str]:
    """The exit status and what is said, without the program's name."""
    done = subprocess.run(
        [program, *arguments],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stderr.startswith(Path(program).name + ": "), done.stderr
    return done.returncode, done.stderr.removeprefix(Path(program).name + ": ")


@pytest.mark.qemu
@needs_qemu
@pytest.mark.parametrize("arguments", WRONG, ids=" ".join)
def test_a_wrong_command_line_is_refused_in_the_words_of_qemu(
    folder: Path, arguments: list[str]
) -> None:
    assert QEMU is not None
    said = refusal(OURS, folder, [*BARE, *arguments])
    assert said == refusal(QEMU, folder, [*BARE, *arguments])
    assert said[0] == 1 and len(said[1].splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["disk.img"], "disk.img: there is no guest with a disk of its own"),
        (["-M", "zzz"], "unsupported machine type"),
        (["-qmp", "tcp:localhost:1"], "only unix sockets are served"),
        (["-chardev", "socket,id=m,host=h,port=1"], "only unix sockets are served"),
        (["-chardev", "socket,id=m,path=x,server=maybe"], "expects 'on' or 'off'"),
        (["-chardev", "null,id=m", "-chardev", "null,id=m"], "Duplicate ID 'm' for chardev"),
        (["-chardev", "stdio,id=m", "-mon", "m"], "the human monitor is not served"),
        (["-qmp", "stdio", "-qmp", "unix:s,server=on"], "this server has one monitor"),
        (["-qmp", "chardev:m"], 'chardev "m" not found'),
        (["-qmp", "zzz"], "'zzz' is not a valid char driver"),
        (["-qmp", "stdio"], "stdio: standard input is no pipe, socket or terminal"),
        (["-display", "gtk"], "use -display none"),
        (["-monitor", "stdio"], "use -monitor none"),
        (["-seed", "x"], "expects a number"),
        (["-image-root", "nowhere"], "is no directory"),
        (["-fault", "d9 write 1 EIO"], "no drive is called 'd9'"),
        (["-drive", "if=none,id=1d"], "Parameter 'id' expects an identifier"),
        (["-M", "pc", "-device", "zzz"], "'zzz' is not a valid device model name"),
    ],
)
def test_what_is_not_there_is_refused_in_one_line(
    folder: Path, arguments: list[str], text: str
) -> None:
    status, said = refusal(OURS, folder, arguments)
    assert status == 1 and text in said and len(said.splitlines()) == 1


@both
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["-machine", "help"], ["Supported machines are:", "none ", "q35 "]),
        (["-device", "help"], ['name "virtio-blk-pci", bus PCI', 'name "scsi-hd", bus SCSI']),
        (["-drive", "format=help"], ["Supported formats:", "blkdebug", "qcow2", "throttle"]),
        (["-accel", "help"], ["Accelerators supported", "tcg"]),
        (["-chardev", "help"], ["Available chardev backend types:", "  socket", "  stdio"]),
        (["--version"], ["QEMU emulator version 7.2"]),
    ],
)
def test_help_tells_what_there_is(program: str, arguments: list[str], words: list[str]) -> None:
    done = subprocess.run([program, *arguments], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and all(word in done.stdout for word in words), done.stdout


WORDS = st.text("abdefiopqstx-:=,{}\"'01./ ", max_size=12)
OPTIONS = st.sampled_from(
    ["-drive", "-device", "-chardev", "-mon", "-qmp", "-qtest", "-machine", "-accel", "-object",
     "-seed", "-S", "--blockdev", "-display", "-M"]
)  # fmt: skip
VALUES = st.sampled_from(
    ["if=none,id=d0", "socket,id=m,path=s", "chardev=m,mode=control", "unix:s,server=on", "stdio",
     '{"driver": "x"}', "none", "fd=3", "iothread,id=a", "help", "pc,accel=tcg"]
)  # fmt: skip


@given(st.lists(OPTIONS | VALUES | WORDS, max_size=8))
def test_any_words_are_understood_or_refused(words: list[str]) -> None:
    try:
        plan = read_plan(words)
    except CommandLineError as error:
        assert str(error)
    else:
        assert len(plan.wanted.drives) <= sum("drive" in word for word in words)


def test_nobody_need_read_what_it_prints(folder: Path) -> None:
    with started(OURS, folder, *LISTEN, *DRIVE) as process:
        process.stdout.close()
        client = connect(process, folder / "s")
        with client, client.makefile("rb") as lines:
            line = 'qemu-io d0 \\"read 0 64k\\"'
            monitor = '{"execute": "human-monitor-command", "arguments": {"command-line": "%s"}}'
            client.sendall(b'{"execute": "qmp_capabilities"}' + (monitor % line).encode() * 2)
            assert [json.loads(lines.readline()) for _ in range(4)][2:] == [{"return": ""}] * 2
            client.sendall(b'{"execute": "quit"}')
            assert len(lines.readlines()) == 2
        assert process.wait(30) == 0
        assert process.stderr.read() == b""
        process.stdout = None


@contextmanager
def started(program: str, folder: Path, *arguments: str, **how: Any) -> Iterator[Any]:
    command = [program, *BARE, *arguments]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    process = subprocess.Popen(command, cwd=folder, **pipes, **how)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def connect(process: Any, path: Path) -> socket.socket:
    """A connection to a server that is about to listen."""
    for _ in range(600):
        client = socket.socket(socket.AF_UNIX)
        client.settimeout(30)
        try:
            client.connect(str(path))
        except OSError:
            client.close()
            assert process.poll() is None, process.communicate()
            time.sleep(0.05)
            continue
        return client
    raise AssertionError(f"nobody listens on {path}")


def converse(lines: Any, send: Any) -> list[dict[str, Any]]:
    """Negotiate and quit, without a newline; all messages until the end of file."""
    said = [json.loads(lines.readline())]
    for command in ("qmp_capabilities", "quit"):
        send(b'{"execute": "%s"}' % command.encode())
        if command == "qmp_capabilities":
            said.append(json.loads(lines.readline()))
    return [*said, *(json.loads(line) for line in lines)]


def check_dialogue(said: list[dict[str, Any]]) -> None:
    greeting, negotiated, shutdown, reply = said
    version = greeting["QMP"]["version"]["qemu"]
    assert (version["major"], version["minor"]) == (7, 2)
    assert negotiated == reply == {"return": {}}
    assert shutdown["event"] == "SHUTDOWN"
    assert shutdown["data"] == {"guest": False, "reason": "host-qmp-quit"}


@both
@pytest.mark.parametrize(
    "arguments",
    [
        LISTEN,
        ["-qmp", "unix:s,server,nowait"],
        ["-chardev", "socket,id=m,path=s,server=on,wait=off", "-mon", "chardev=m,mode=control"],
        ["-chardev", "socket,id=m,path=s,server=on,wait=off", "-qmp", "chardev:m"],
    ],
    ids=["qmp", "old-qmp", "chardev-mon", "chardev-qmp"],
)
def test_a_harness_connects_and_quits(program: str, folder: Path, arguments: list[str]) -> None:
    quiet = ["-nographic", "-vga", "none", "-serial", "none", "-monitor", "none", "-S"]
    with started(program, folder, *arguments, *quiet, *DRIVE, "-pidfile", "pid") as process:
        client = connect(process, folder / "s")
        assert (folder / "pid").read_text() == f"{process.pid}\n"
        assert stat.S_IMODE((folder / "pid").stat().st_mode) == 0o600
        with client, client.makefile("rb") as lines:
            check_dialogue(converse(lines, client.sendall))
        assert process.wait(30) == 0
    assert not (folder / "s").exists() and not (folder / "pid").exists()


@both
def test_a_harness_that_listens_is_called(program: str, folder: Path) -> None:
    """As QEMU's own Python machine does it: both sockets are the parent's."""
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as qtest:
        for each, name in ((listener, "s"), (qtest, "t")):
            each.bind(str(folder / name))
            each.listen()
            each.settimeout(30)
        arguments = ["-chardev", "socket,id=m,path=s", "-mon", "chardev=m,mode=control"]
        silent = ["-qtest", "unix:t"] if program == OURS else []
        with started(program, folder, *arguments, *silent) as process:
            client, _ = listener.accept()
            with client, client.makefile("rb") as lines:
                if silent:
                    quiet, _ = qtest.accept()
                    quiet.sendall(b"clock_step\n")
                    quiet.settimeout(0.2)
                    with pytest.raises(TimeoutError):
                        quiet.recv(1)
                check_dialogue(converse(lines, client.sendall))
            assert process.wait(30) == 0


@both
def test_a_socket_is_inherited(program: str, folder: Path) -> None:
    ours, theirs = socket.socketpair()
    ours.settimeout(30)
    number = theirs.fileno()
    arguments = ["-chardev", f"socket,id=m,fd={number}", "-mon", "chardev=m,mode=control"]
    with ours, started(program, folder, *arguments, pass_fds=[number]) as process:
        theirs.close()
        with ours.makefile("rb") as lines:
            check_dialogue(converse(lines, ours.sendall))
        assert process.wait(30) == 0


@both
def test_standard_streams_are_a_monitor(program: str, folder: Path) -> None:
    def send(data: bytes) -> None:
        process.stdin.write(data)
        process.stdin.flush()

    with started(program, folder, "-qmp", "stdio", *DRIVE) as process:
        check_dialogue(converse(process.stdout, send))
        assert process.wait(30) == 0


@both
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_jobs_and_then_the_server(
    program: str, folder: Path, number: signal.Signals
) -> None:
    with started(program, folder, *LISTEN, *DRIVE) as process:
        client = connect(process, folder / "s")
        with client, client.makefile("rb") as lines:
            lines.readline()
            client.sendall(b'{"execute": "qmp_capabilities"}')
            backup = {"device": "d0", "target": str(folder / "t"), "sync": "full", "speed": 1}
            client.sendall(json.dumps({"execute": "drive-backup", "arguments": backup}).encode())
            said = [json.loads(lines.readline()) for _ in range(6)]
            assert said[-1] == {"return": {}}, said
            process.send_signal(number)
            names = [json.loads(line)["event"] for line in lines]
        assert names[0] == "SHUTDOWN" and "BLOCK_JOB_CANCELLED" in names
        assert process.wait(30) == 0
        assert f"terminating on signal {number.value}" in process.stderr.read().decode()
    assert not (folder / "s").exists()


def test_the_socket_is_private_and_the_client_library_of_qemu_works(folder: Path) -> None:
    async def talk() -> None:
        client = QMPClient("test")
        await client.connect(str(folder / "s"))
        drives = await client.execute("query-block")
        assert [drive["device"] for drive in drives] == ["d0"]
        assert (await client.execute("query-status"))["status"] == "prelaunch"
        await client.execute("quit")
        with suppress(EOFError):
            await client.disconnect()

    with started(OURS, folder, *LISTEN, *DRIVE, "-S") as process:
        connect(process, folder / "s").close()
        assert stat.S_IMODE((folder / "s").stat().st_mode) == 0o600
        asyncio.run(talk())
        assert process.wait(30) == 0


def test_qmp_shell_works(folder: Path) -> None:
    shell = Path(sys.executable).with_name("qmp-shell")
    with started(OURS, folder, *LISTEN, *DRIVE) as process:
        connect(process, folder / "s").close()
        commands = f"drive-backup device=d0 target={folder / 't'} sync=full\nquery-name\n"
        done = subprocess.run(
            [shell, "s"], cwd=folder, input=commands, capture_output=True, text=True, timeout=60
        )
        assert "error" not in done.stdout and done.returncode == 0, done
        assert '"return": {}' in done.stdout
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    assert (folder / "t").read_bytes() == (folder / "a.img").read_bytes()


def test_qmp_reaches_the_files_beside_those_of_the_command_line_and_no_others(
    folder: Path, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "b.img"
    elsewhere.write_bytes(bytes(1 << 16))
    outside = tmp_path.parent / "outside.img"
    drive = ["-drive", f"if=none,id=d1,file={elsewhere},format=raw"]

    def attempt(*extra: str) -> list[bool]:
        """Whether each place is refused because it lies outside."""
        with started(OURS, folder, *LISTEN, *DRIVE, *drive, *extra) as process:
            client = connect(process, folder / "s")
            with client, client.makefile("rb") as lines:
                client.sendall(b'{"execute": "qmp_capabilities"}')
                for place in (folder / "x", tmp_path / "x", outside):
                    add = {"driver": "file", "node-name": "n", "filename": str(place)}
                    request = {"execute": "blockdev-add", "arguments": add}
                    client.sendall(json.dumps(request).encode())
                replies = [json.loads(lines.readline()) for _ in range(5)][2:]
            return ["outside the image root" in reply["error"]["desc"] for reply in replies]

    assert attempt() == [False, False, True]
    os.mkdir(folder / "root")
    assert attempt("-image-root", "root") == [True, True, True]
    assert attempt("-image-root", str(tmp_path)) == [True, False, True]
