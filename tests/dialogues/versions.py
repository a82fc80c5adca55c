"""One set of dialogues for every version: held with real programs, recorded, held with the server.

python -m tests.dialogues.versions PROGRAM...    # record those of these QEMUs anew

What is compared: all replies; of each command that starts jobs everything up to its reply, in
order; at the end each job's events, but for pauses that nobody asked for.
"""

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from cleancut_conformance.targets import forks
from cleancut_conformance.targets.base import Process
from cleancut_reference.commands import COMMANDS
from cleancut_spec.profiles import PROFILES, profile_for
from tests.pair import BARE, Client, request

from .recording import DATA, is_pause, last_words, masked, order

PRELOAD = "cleancut_reference.qemu.main"
RECORDED = DATA / "versions.json"
OURS = [sys.executable, "-m", "cleancut_reference.qemu"]

#: Lines of `tests.pair.request`; `wait EVENT` waits for one more of these.
SCENARIOS: dict[str, list[str]] = {
    "refusals": [
        'drive-backup {"device": "nope", "target": "x", "sync": "full"}',
        'drive-backup {"device": "drive0", "target": "x", "sync": "bogus"}',
        'drive-backup {"device": "drive0", "target": "x"}',
        'drive-backup {"device": "drive0", "target": "x", "sync": "full", "foo": 1}',
        'drive-backup {"device": "drive0", "target": "no/x", "sync": "full"}',
        'drive-backup {"device": "drive0", "target": "x", "sync": "full", "speed": -1}',
        'drive-backup {"device": "drive0", "target": "x", "sync": "full", "job-id": "!"}',
        'drive-backup {"device": "drive0", "target": "x", "sync": "full", "format": "bogus"}',
        'drive-backup {"device": "drive0", "target": "x", "sync": "incremental"}',
        'drive-backup {"device": "drive0", "target": "x", "sync": "full", "job-id": "!",'
        ' "x-perf": {}}',
        'drive-backup {"device": "drive0", "target": "x", "sync": "full",'
        ' "x-perf": {"min-cluster-size": 3}}',
        'drive-backup {"device": "drive0", "target": "x", "sync": "full", "on-cbw-error": "bogus"}',
        'drive-backup {"device": "drive0", "target": "b.img", "sync": "full", "mode": "existing"}',
        'blockdev-add {"driver": "file", "node-name": "ro", "filename": "t.img",'
        ' "read-only": true}',
        'blockdev-backup {"device": "drive0", "target": "ro", "sync": "full"}',
        'transaction {"actions": [{"type": "bogus", "data": {}}]}',
        'transaction {"actions": [{"type": "drive-backup", "data": {"device": "drive0"}}]}',
        'block-job-cancel {"device": "nope"}',
        'block-job-pause {"device": "nope"}',
        'job-cancel {"id": "nope"}',
        "hmp drive_del nope",
        "blockdev-reopen",
        "query-status",
    ],
    "transaction": [
        'transaction {"actions": ['
        '{"type": "drive-backup", "data": {"device": "drive0", "target": "0", "sync": "full"}},'
        '{"type": "drive-backup", "data": {"device": "drive1", "target": "1", "sync": "full"}}],'
        ' "properties": {"completion-mode": "grouped"}}',
        "wait BLOCK_JOB_COMPLETED",
        "wait BLOCK_JOB_COMPLETED",
    ],
    "taken back": [
        'transaction {"actions": ['
        '{"type": "drive-backup", "data": {"device": "drive0", "target": "0", "sync": "full"}},'
        '{"type": "drive-backup", "data": {"device": "drive1", "target": "1", "sync": "full"}},'
        '{"type": "drive-backup", "data": {"device": "nope", "target": "2", "sync": "full"}}]}',
        'transaction {"actions": ['
        '{"type": "drive-backup", "data": {"device": "drive0", "target": "0", "sync": "full"}},'
        '{"type": "abort", "data": {}}]}',
        "query-block-jobs",
    ],
    "what cannot be grouped": [
        'transaction {"actions": ['
        '{"type": "drive-backup", "data": {"device": "drive0", "target": "0", "sync": "full"}},'
        '{"type": "abort", "data": {}}], "properties": {"completion-mode": "grouped"}}',
        'transaction {"actions": ['
        '{"type": "drive-backup", "data": {"device": "drive0", "target": "0", "sync": "full"}},'
        '{"type": "block-dirty-bitmap-add", "data": {"node": "drive1", "name": "b"}}],'
        ' "properties": {"completion-mode": "grouped"}}',
    ],
    "a slow job": [
        'drive-backup {"device": "drive0", "target": "0", "sync": "full", "speed": 1024}',
        'block_resize {"device": "drive0", "size": 1048576}',
        'drive-backup {"device": "drive0", "target": "1", "sync": "full"}',
        'block-job-complete {"device": "drive0"}',
        'block-job-pause {"device": "drive0"}',
        'block-job-pause {"device": "drive0"}',
        'block-job-cancel {"device": "drive0"}',
        'block-job-resume {"device": "drive0"}',
        'block-job-resume {"device": "drive0"}',
        "quit",
    ],
    "queries": [
        'block-dirty-bitmap-add {"node": "drive0", "name": "b0"}',
        'block-dirty-bitmap-add {"node": "drive0", "name": "b1", "disabled": true}',
        "query-block",
        'drive-backup {"device": "drive0", "target": "0", "sync": "full", "auto-finalize": false}',
        "wait BLOCK_JOB_PENDING",
        "query-block",
        "query-named-block-nodes",
        "query-block-jobs",
        "query-jobs",
        'block-job-finalize {"id": "drive0"}',
    ],
}

#: Commands up to whose reply the order of everything is the version's.
_ORDERED = ("transaction", "quit")
#: Of an image, and not the reference's business.
_HIDDEN = frozenset({"format-specific", "limits", "actual-size"})


@dataclass
class Heard:
    """What a scenario's server said, as it is compared."""

    replies: list[Any]
    orders: list[str]
    events: dict[str, Any]

    def plain(self) -> dict[str, Any]:
        return {"replies": self.replies, "orders": self.orders, "events": self.events}


def _start(command: list[str], folder: Path, out: IO[bytes]) -> Process:
    if command[1:2] == ["-m"]:  # ours: a fork costs a tenth of a fresh process
        return forks.start(PRELOAD, command, folder, out.fileno(), out.fileno())
    return subprocess.Popen(command, cwd=folder, stdout=out, stderr=out)


@contextmanager
def _server(command: list[str], folder: Path) -> Iterator[Client]:
    for name in ("a.img", "b.img", "t.img"):
        with (folder / name).open("wb") as file:
            file.truncate((4 if name != "b.img" else 5) << 20)
    drives = [f"if=none,id=drive{n},file={name}.img,format=raw" for n, name in enumerate("ab")]
    words = [*BARE, "-qmp", "unix:s,server,nowait", *(w for d in drives for w in ("-drive", d))]
    with (folder / "out").open("wb") as out:
        process = _start([*command, *words], folder, out)
        try:
            yield Client(folder / "s")
        finally:
            with suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)
            process.wait()


def hold(command: list[str], lines: list[str]) -> Heard:
    """Hold a scenario with a server that this command starts."""
    replies, orders, waited = [], [], dict[str, int]()
    with tempfile.TemporaryDirectory() as folder, _server(command, Path(folder)) as client:
        for line in lines:
            name, _, rest = line.partition(" ")
            if name == "wait":
                waited[rest] = waited.get(rest, 0) + 1
                client.wait(rest, waited[rest])
                continue
            before = len(client.events)
            reply = client.send(request(line))
            replies.append(_shown(reply, folder))
            if name == "quit":
                client.read_to_end()
            if name in _ORDERED:
                said = [*client.events[before:], reply]
                shown = [each for each in said if name != "quit" or not is_pause(each)]
                orders.append(order(shown))
        if lines[-1] != "quit":
            client.send({"execute": "quit"})
            client.read_to_end()
        events = [masked(event, folder) for event in client.events]
    return Heard(replies, orders, last_words(events))


def arguments(command: list[str]) -> dict[str, list[str]]:
    """The arguments of each of our commands that a server has; `?` marks one that is optional."""
    with tempfile.TemporaryDirectory() as folder, _server(command, Path(folder)) as client:
        reply = client.send({"execute": "query-qmp-schema"})
    entities = {entity["name"]: entity for entity in reply["return"]}
    found = {}
    for name in COMMANDS:
        if name in entities:
            members = entities[entities[name]["arg-type"]]["members"]
            found[name] = sorted(m["name"] + ("?" if "default" in m else "") for m in members)
    return found


def _shown(value: Any, folder: str) -> Any:
    return _without(masked(value, folder))


def _without(value: Any) -> Any:
    if isinstance(value, list):
        return [_without(part) for part in value]
    if isinstance(value, dict):
        return {key: _without(part) for key, part in value.items() if key not in _HIDDEN}
    return value


def ours(profile: str) -> list[str]:
    """The command that starts the reference server."""
    return [*OURS, "-profile", profile]


def version_of(program: str) -> str:
    """The profile of a real QEMU."""
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=True)
    match = re.search(r"version (\d+)\.(\d+)", said.stdout)
    assert match, said.stdout
    return profile_for(int(match[1]), int(match[2])).name


def recorded() -> dict[str, dict[str, Any]]:
    """What was recorded, by profile and scenario."""
    found: dict[str, dict[str, Any]] = json.loads(RECORDED.read_text()) if RECORDED.exists() else {}
    return found


def main(programs: list[str]) -> int:
    if not programs:
        print(__doc__, file=sys.stderr)
        return 2
    known = recorded()
    for program in programs:
        name = version_of(program)
        held = {each: hold([program], lines).plain() for each, lines in SCENARIOS.items()}
        known[name] = {"arguments": arguments([program]), **held}
        print(f"{name}: {len(known[name])} dialogues of {program}")
    names = [name for name in PROFILES if name in known]
    text = json.dumps({name: known[name] for name in names}, indent=1)
    RECORDED.write_text(text + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
