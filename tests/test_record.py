"""The proxy recorder and the converter: bytes unchanged, traces that can be judged."""

import json
import os
import random
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cleancut_conformance.cli import main
from cleancut_conformance.libvirt import LogError, read_log
from cleancut_conformance.sockets import SocketError, listen
from cleancut_spec.trace import Record, read
from tests.test_conform import CLEANCUT, QEMU, cleancut
from tests.test_judge import TRACES, clauses_broken
from tests.test_judge import load as load_trace


class Recording:
    """A recorder that runs, and where to find it."""

    def __init__(self, folder: Path, *more: str) -> None:
        self.folder = folder
        command = [*CLEANCUT, "record", "--listen", "front", "--connect", "back", "-o", "t.jsonl"]
        self.process = subprocess.Popen(
            [*command, *more], cwd=folder, stderr=subprocess.PIPE, text=True
        )
        assert self.process.stderr is not None
        assert "listening on front" in self.process.stderr.readline()

    def connect(self) -> socket.socket:
        client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        client.settimeout(20)
        client.connect(str(self.folder / "front"))
        return client

    def end(self, number: int = signal.SIGINT) -> int:
        self.process.send_signal(number)
        return self.process.wait(10)

    def records(self, name: str = "t.jsonl") -> list[Record]:
        with (self.folder / name).open() as file:
            return list(read(file))


@pytest.fixture
def back(tmp_path: Path) -> Iterator[socket.socket]:
    with listen(tmp_path / "back") as server:
        yield server


def wait_for(path: Path, text: str = "") -> None:
    for _ in range(200):
        if path.exists() and text in path.read_text():
            return
        time.sleep(0.05)
    raise AssertionError(f"{path} never has {text!r}")


def wait_for_socket(path: Path) -> None:
    for _ in range(200):
        if path.exists():
            return
        time.sleep(0.05)
    raise AssertionError(f"nobody makes {path}")


def take(end: socket.socket, size: int) -> bytes:
    found = b""
    while len(found) < size and (data := end.recv(1 << 16)):
        found += data
    return found


def test_bytes_go_through_unchanged_both_ways_at_once(tmp_path: Path, back: socket.socket) -> None:
    recording = Recording(tmp_path)
    mode = stat.S_IMODE((tmp_path / "front").stat().st_mode)
    client = recording.connect()
    server, _ = back.accept()
    there = random.Random(1).randbytes(3_000_000)  # more than sockets hold: both sides must wait
    home = random.Random(2).randbytes(3_000_000)
    threads = [threading.Thread(target=client.sendall, args=(there,)),
               threading.Thread(target=server.sendall, args=(home,))]  # fmt: skip
    for thread in threads:
        thread.start()
    time.sleep(0.2)
    assert take(server, len(there)) == there and take(client, len(home)) == home
    for thread in threads:
        thread.join()
    client.shutdown(socket.SHUT_WR)
    assert server.recv(1) == b""
    server.sendall(b"bye")
    server.close()
    assert take(client, 99) == b"bye"
    assert mode == 0o600
    assert recording.end() == 130
    assert not (tmp_path / "front").exists()


def test_file_descriptors_go_along(tmp_path: Path, back: socket.socket) -> None:
    recording = Recording(tmp_path, "--once")
    client = recording.connect()
    server, _ = back.accept()
    reader, writer = os.pipe()
    socket.send_fds(client, [b'{"execute": "getfd"}'], [writer])
    os.close(writer)
    data, fds, _, _ = socket.recv_fds(server, 100, 4)
    assert data == b'{"execute": "getfd"}'
    os.write(fds[0], b"it is the pipe")
    assert os.read(reader, 99) == b"it is the pipe"
    for fd in (reader, *fds):
        os.close(fd)
    client.close()
    server.close()
    assert recording.process.wait(10) == 0


@pytest.mark.parametrize(("number", "how"), [(signal.SIGINT, "interrupted"), (signal.SIGKILL, "")])
def test_a_trace_is_whole_however_it_ends(
    number: signal.Signals, how: str, tmp_path: Path, back: socket.socket
) -> None:
    recording = Recording(tmp_path)
    client = recording.connect()
    server, _ = back.accept()
    server.sendall(b'{"QMP": {"version": {"qemu": {"major": 7, "minor": 2, "micro": 0},')
    server.sendall(b' "package": ""}, "capabilities": []}}\r\n')
    wait_for(tmp_path / "t.jsonl", "QMP")
    requests = b'{"execute": "qmp_capabilities", "id": 1}{"execute": "x"'
    client.sendall(requests)
    assert take(server, len(requests)) == requests
    server.sendall(b'{"return": {}, "id": 1}\r\n')
    wait_for(tmp_path / "t.jsonl", '"return"')
    time.sleep(0.2)
    recording.end(number)
    records = recording.records()
    assert [r.dir for r in records[:4]] == ["meta", "recv", "send", "recv"]
    code = cleancut("judge", "t.jsonl", cwd=tmp_path).returncode
    if how:
        assert records[-1].note == {"ended": how, "left": {"send": '{"execute": "x"'}}
        assert code == 0
    else:
        assert code == 3  # no footer


def test_each_client_gets_a_trace_and_none_is_overwritten(tmp_path: Path) -> None:
    recording = Recording(tmp_path)
    with recording.connect() as client:  # no server yet
        assert client.recv(1) == b""
    with listen(tmp_path / "back") as back:
        for _ in range(2):
            with recording.connect():
                back.accept()[0].close()
    wait_for(tmp_path / "t.3.jsonl", "ended")
    assert recording.end() == 130
    assert {p.name for p in tmp_path.glob("t*")} == {"t.2.jsonl", "t.3.jsonl"}
    again = Recording(tmp_path, "--once")
    with listen(tmp_path / "back") as back, again.connect():
        back.accept()[0].close()
    assert again.process.wait(10) == 0
    third = Recording(tmp_path)
    with listen(tmp_path / "back"), third.connect():
        assert third.process.wait(10) == 2
    assert third.process.stderr is not None
    assert "t.jsonl: File exists; it is not overwritten" in third.process.stderr.read()


def test_what_cannot_be_listened_on_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("precious")
    for path, error in (
        (tmp_path / "file", "is no socket"),
        (tmp_path / "no" / "dir", "No such file"),
        (tmp_path / ("x" * 200), "too long"),
    ):
        with pytest.raises(SocketError, match=error):
            listen(path)
    assert (tmp_path / "file").read_text() == "precious"
    with listen(tmp_path / "s"), pytest.raises(SocketError, match="another server listens"):
        listen(tmp_path / "s")
    listen(tmp_path / "s").close()  # nobody listens on it any more


@pytest.mark.parametrize("program", ["reference", "qemu"])
def test_a_recorded_backup_is_judged(program: str, tmp_path: Path) -> None:
    if program == "qemu" and QEMU is None:
        pytest.skip("no qemu-system-x86_64")
    (tmp_path / "d0.img").write_bytes(bytes(1 << 20))
    command = {
        "reference": [sys.executable, "-m", "cleancut_reference", "--qmp", "unix:back",
                      "--image-root", str(tmp_path), "--drive", f"d0=file:{tmp_path}/d0.img"],
        "qemu": [str(QEMU), "-machine", "none", "-nodefaults", "-display", "none",
                 "-drive", "if=none,id=d0,file=d0.img,format=raw",
                 "-qmp", "unix:back,server=on,wait=off"],
    }[program]  # fmt: skip
    server = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.DEVNULL)
    try:
        wait_for_socket(tmp_path / "back")
        recording = Recording(tmp_path, "--once")
        with recording.connect() as client, client.makefile("rw") as file:
            target = str(tmp_path / "d0.target")
            backup = {"device": "d0", "target": target, "sync": "full"}
            for request in ({"execute": "qmp_capabilities"},
                            {"execute": "drive-backup", "arguments": backup}):  # fmt: skip
                file.write(json.dumps(request) + "\n")
            file.flush()
            while "BLOCK_JOB_COMPLETED" not in file.readline():
                pass
            file.write('{"execute": "quit"}\n')
            file.flush()
            file.read()
        assert recording.process.wait(10) == 0
        assert server.wait(10) == 0
    finally:
        server.kill()
        server.wait()
    done = cleancut("judge", "t.jsonl", cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    broken = [r for r in recording.records() if "BLOCK_JOB_COMPLETED" not in str(r.msg)]
    assert clauses_broken(broken) == {"EV-FINAL-1"}


# ---- libvirt's log


def as_libvirt_logs(records: list[Record], mon: str) -> list[str]:
    """Lines as libvirtd writes them, among others that it writes at the same level."""
    lines = []
    for number, record in enumerate(records):
        if not isinstance(record.msg, dict) or "QMP" in record.msg:
            continue
        stamp = f"2026-11-25 10:00:{record.t:09.6f}"[:-3] + "+0000: 4242"
        if record.dir == "send":
            message = {**record.msg, "id": f"libvirt-{number}"}
            lines += [
                f"{stamp}: info : qemuMonitorSend:864 : QEMU_MONITOR_SEND_MSG: "
                f"mon={mon} msg={json.dumps(message)}\r",
                " fd=-1",
                f"{stamp}: info : qemuMonitorIOWrite:366 : QEMU_MONITOR_IO_WRITE: "
                f"mon={mon} buf={json.dumps(message)}\r",
                "  len=99 ret=99 errno=0",
            ]
        elif record.dir == "recv":
            event = "event" in record.msg
            kind, word = ("RECV_EVENT", "event") if event else ("RECV_REPLY", "reply")
            text = json.dumps(record.msg)
            lines += [
                f"{stamp}: debug : qemuMonitorJSONIOProcessLine:191 : Line [{text}]",
                f"{stamp}: info : qemuMonitorJSONIOProcessLine:{205 if event else 210} : "
                f"QEMU_MONITOR_{kind}: mon={mon} {word}={text}",
            ]
    return lines


def numbered(records: list[Record]) -> list[Record]:
    """Requests and replies with the ids that libvirt would use."""
    found, waiting = [], []
    for number, record in enumerate(records):
        message = record.msg
        if record.dir == "send" and isinstance(message, dict):
            waiting.append(f"libvirt-{number}")
            found.append(record)
        elif record.dir == "recv" and isinstance(message, dict) and message.keys() & {
            "return", "error"
        }:  # fmt: skip
            found.append(Record("recv", record.t, {**message, "id": waiting.pop(0)}))
        else:
            found.append(record)
    return found


@pytest.mark.slow
@pytest.mark.parametrize("path", [p for p in TRACES if p.stem.startswith("ev_")],
                         ids=lambda p: f"{p.parent.name}/{p.stem}")  # fmt: skip
def test_what_libvirt_logs_is_judged_as_what_was_said(
    path: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The commands are called here; the next test starts them."""
    records = numbered(load_trace(path))
    lines = as_libvirt_logs(records, "0x7f1a9c0082f0")
    other = as_libvirt_logs(records, "0x7f1a9c0099a0")
    mixed = [line for pair in zip(lines, other, strict=True) for line in pair]
    (tmp_path / "libvirtd.log").write_text("\n".join(mixed) + "\n", newline="")
    monkeypatch.chdir(tmp_path)
    assert main(["convert", "libvirtd.log", "-o", "traces"]) == 0, capsys.readouterr().err
    profile = path.parent.name.removeprefix("qemu-")
    traces = sorted(str(p) for p in (tmp_path / "traces").iterdir())
    assert len(traces) == 2
    assert main(["judge", "--profile", profile, *traces]) == 0, capsys.readouterr().out
    kept = [r.msg for r in load_trace(Path(traces[0])) if r.dir == "recv"]
    said = [r.msg for r in records if r.dir == "recv" and "QMP" not in r.msg]
    assert kept == said


def test_a_log_that_begins_in_the_middle(tmp_path: Path) -> None:
    path = next(p for p in TRACES if p.stem == "ev_tx2_success")
    lines = as_libvirt_logs(numbered(load_trace(path)), "0x1")
    start = next(n for n, line in enumerate(lines) if '"status": "running"' in line)
    (tmp_path / "tail.log").write_text("\n".join(lines[start:]) + "\n", newline="")
    assert cleancut("convert", "tail.log", "-o", "t", cwd=tmp_path).returncode == 0
    done = cleancut("judge", "t/tail-1.jsonl", cwd=tmp_path)
    assert done.returncode == 0, done.stdout


def test_logs_without_messages_and_broken_ones(tmp_path: Path) -> None:
    (tmp_path / "empty.log").write_text("2026-11-25 10:00:00.000+0000: 1: info : libvirt 11\n")
    done = cleancut("convert", "empty.log", "-o", "t", cwd=tmp_path)
    assert done.returncode == 4 and "no message of a QEMU monitor" in done.stdout
    line = ("2026-11-25 10:00:00.000+0000: 1: info : qemuMonitorSend:1 : "
            'QEMU_MONITOR_SEND_MSG: mon=0x1 msg={"execute": ')  # fmt: skip
    with pytest.raises(LogError, match="line 1: the message is no JSON"):
        read_log([line])
    (tmp_path / "broken.log").write_text(line + "\n")
    done = cleancut("convert", "broken.log", "-o", "t", cwd=tmp_path)
    assert done.returncode == 2 and "broken.log: line 1" in done.stderr
    done = cleancut("convert", "none.log", "-o", "t", cwd=tmp_path)
    assert done.returncode == 2 and "Traceback" not in done.stderr
