"""Profile 2013: the patch that brought backups into `transaction`, from end to end."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from cleancut_conformance.judge.judge import Judge
from cleancut_spec.trace import Record
from tests.pair import Client

SIZE_BYTES = 3 * 65536 + 512  # with a partial last cluster


@contextmanager
def served(folder: Path, *arguments: str) -> Iterator[Client]:
    for name, byte in (("d0", b"\x11"), ("d1", b"\x22")):
        (folder / f"{name}.img").write_bytes(byte * SIZE_BYTES)
    command = [sys.executable, "-m", "cleancut_reference", "--qmp", "unix:s", "--profile", "2013"]
    command += ["--drive", "d0=file:d0.img", "--drive", "d1=file:d1.img", *arguments]
    with (folder / "out").open("wb") as out:
        process = subprocess.Popen(command, cwd=folder, stdout=out, stderr=out)
        try:
            yield Client(folder / "s")
        finally:
            process.kill()
            process.wait()


def ask(client: Client, name: str, **arguments: Any) -> Any:
    named = {key.replace("_", "-"): value for key, value in arguments.items()}
    return client.send({"execute": name, "arguments": named})


def action(device: str, **more: Any) -> dict[str, Any]:
    data = {"device": device, "target": f"{device}.backup"} | more
    return {"type": "drive-backup", "data": data}


def test_a_failed_transaction_cancels_what_it_had_started(tmp_path: Path) -> None:
    with served(tmp_path) as client:
        actions = [action("d0"), action("d1"), action("nope")]
        reply = ask(client, "transaction", actions=actions)
        desc = "Device 'nope' not found"
        assert reply == {"error": {"class": "DeviceNotFound", "desc": desc}}
        told = [(event["event"], event["data"]["device"]) for event in client.events]
        assert told == [("BLOCK_JOB_CANCELLED", "d0"), ("BLOCK_JOB_CANCELLED", "d1")]
        assert ask(client, "query-block-jobs") == {"return": []}
        assert ask(client, "transaction", actions=actions[:2]) == {"return": {}}


def test_without_sync_all_is_copied_as_it_was_at_the_cut(tmp_path: Path) -> None:
    with served(tmp_path) as client:
        actions = [action("d0", speed=65536), action("d1", speed=65536)]
        assert ask(client, "transaction", actions=actions) == {"return": {}}
        write = 'qemu-io d1 "write -P 0x5a 128k 66048"'
        ask(client, "human-monitor-command", command_line=write)
        listed = ask(client, "query-block-jobs")["return"]
        assert [job["device"] for job in listed] == ["d1", "d0"]
        assert {"status", "auto-finalize", "ready"}.isdisjoint(listed[0])
        for device in ("d0", "d1"):
            assert ask(client, "block-job-set-speed", device=device, speed=0) == {"return": {}}
        client.wait("BLOCK_JOB_COMPLETED", 2)
        assert {event["event"] for event in client.events} == {"BLOCK_JOB_COMPLETED"}
        ends = {event["data"]["device"]: event["data"] for event in client.events}
        assert all(end["len"] == end["offset"] == SIZE_BYTES for end in ends.values())
    assert (tmp_path / "d0.backup").read_bytes() == b"\x11" * SIZE_BYTES
    assert (tmp_path / "d1.backup").read_bytes() == b"\x22" * SIZE_BYTES
    assert (tmp_path / "d1.img").read_bytes()[2 * 65536 :] == b"\x5a" * (65536 + 512)


@pytest.mark.parametrize("policy", ["stop", "enospc"])
def test_what_stops_needs_an_io_status(tmp_path: Path, policy: str) -> None:
    backup = {"device": "d0", "target": "t", "on_source_error": policy}
    with served(tmp_path) as client:
        desc = "Invalid parameter 'on-source-error'"
        assert ask(client, "drive-backup", **backup)["error"]["desc"] == desc
    with served(tmp_path, "--device", "virtio-blk-pci,drive=d0") as client:
        assert ask(client, "drive-backup", **backup) == {"return": {}}


def test_there_is_nothing_that_came_later(tmp_path: Path) -> None:
    with served(tmp_path) as client:
        for name in ("blockdev-backup", "query-jobs", "block-dirty-bitmap-add", "job-cancel"):
            error = {"class": "CommandNotFound", "desc": f"The command {name} has not been found"}
            assert ask(client, name) == {"error": error}
        reply = ask(client, "drive-backup", device="d0", target="t", job_id="j")
        assert reply["error"]["desc"] == "Invalid parameter 'job-id'"
        reply = ask(client, "transaction", actions=[], properties={"completion-mode": "grouped"})
        assert reply["error"]["desc"] == "Invalid parameter 'properties'"
        reply = ask(client, "block-job-cancel", device="d0")
        desc = "No active block job on device 'd0'"
        assert reply == {"error": {"class": "DeviceNotActive", "desc": desc}}
        ask(client, "drive-backup", device="d0", target="t", speed=1)
        reply = ask(client, "drive-backup", device="d0", target="u")
        assert reply["error"]["desc"] == "Device 'd0' is in use"
        for verb in ("pause", "pause", "resume", "resume"):
            assert ask(client, f"block-job-{verb}", device="d0") == {"return": {}}
        assert ask(client, "quit") == {"return": {}}
        assert client.events == []
        client.read_to_end()
    assert [event["event"] for event in client.events] == ["SHUTDOWN", "BLOCK_JOB_CANCELLED"]
    assert "data" not in client.events[0]


CANCELLED = {"device": "d0", "len": 1024, "offset": 0, "speed": 0, "type": "backup"}


@pytest.mark.parametrize(
    ("events", "clause"),
    [(1, ""), (2, "EV-LAST-1"), (0, "JOB-QUIT-1")],
)
def test_the_judge_counts_final_events_without_statuses(events: int, clause: str) -> None:
    judge = Judge("2013")
    backup = {"execute": "drive-backup", "arguments": {"device": "d0", "target": "t"}}
    stamp = {"seconds": 1, "microseconds": 1}
    ended = {"event": "BLOCK_JOB_CANCELLED", "data": CANCELLED, "timestamp": stamp}
    qemu = {"major": 1, "minor": 5, "micro": 50}
    records = [Record("meta", 0, note={"drives": {}})]
    for direction, message in [
        ("recv", {"QMP": {"version": {"qemu": qemu, "package": ""}, "capabilities": []}}),
        ("send", {"execute": "qmp_capabilities"}),
        ("recv", {"return": {}}),
        ("send", backup),
        ("recv", {"return": {}}),
        ("send", {"execute": "quit"}),
        ("recv", {"return": {}}),
        ("recv", {"event": "SHUTDOWN", "timestamp": stamp}),
        *([("recv", ended)] * events),
    ]:
        records.append(Record(direction, 0, msg=json.loads(json.dumps(message))))  # type: ignore[arg-type]
    records.append(Record("meta", 0, note={"exit": 0}))
    findings = [finding for record in records for finding in judge.feed(record)] + judge.close()
    assert {finding.clause for finding in findings} == ({clause} if clause else set())
