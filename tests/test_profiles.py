"""The profiles against the versions of QEMU that they are like."""

import os
from typing import Any

import pytest

from cleancut_reference.state import Options
from cleancut_spec.profiles import PROFILES
from cleancut_spec.schedule import Label
from tests.dialogues.versions import SCENARIOS, arguments, hold, ours, recorded, version_of
from tests.engine_harness import Harness

RECORDED = recorded()
#: Real programs of several versions, for `CLEANCUT_QEMUS=/a/qemu-system-x86_64:/b/qemu-…`.
PROGRAMS = {
    version_of(path): path for path in os.environ.get("CLEANCUT_QEMUS", "").split(":") if path
}


@pytest.mark.parametrize("scenario", SCENARIOS)
@pytest.mark.parametrize("profile", RECORDED)
def test_the_server_is_like_the_version(profile: str, scenario: str) -> None:
    heard = hold(ours(profile), SCENARIOS[scenario]).plain()
    assert differences(RECORDED[profile][scenario], heard) == []


#: Arguments that the server refuses by name, whatever the profile.
NOT_HERE = {
    "active?", "allow-inactive?", "discard-source?", "handshake-max-seconds?", "props?",
}  # fmt: skip


@pytest.mark.parametrize("profile", RECORDED)
def test_commands_take_what_the_version_takes(profile: str) -> None:
    theirs, mine = RECORDED[profile]["arguments"], arguments(ours(profile))
    assert mine.keys() >= theirs.keys()
    for command, names in theirs.items():
        assert sorted(set(names) - NOT_HERE) == mine[command], command


@pytest.mark.qemu
@pytest.mark.parametrize("profile", RECORDED)
def test_what_was_recorded_is_what_the_version_says(profile: str) -> None:
    if profile not in PROGRAMS:
        pytest.skip(f"CLEANCUT_QEMUS names no QEMU {profile}")
    assert arguments([PROGRAMS[profile]]) == RECORDED[profile]["arguments"]
    for scenario, lines in SCENARIOS.items():
        heard = hold([PROGRAMS[profile]], lines).plain()
        assert differences(RECORDED[profile][scenario], heard) == [], scenario


def differences(theirs: Any, ours: Any, path: str = "") -> list[str]:
    """Each place at which two values part."""
    if isinstance(theirs, dict) and isinstance(ours, dict):
        keys = sorted(theirs.keys() | ours.keys())
        return [d for k in keys for d in differences(theirs.get(k), ours.get(k), f"{path}.{k}")]
    if isinstance(theirs, list) and isinstance(ours, list) and len(theirs) == len(ours):
        pairs = enumerate(zip(theirs, ours, strict=True))
        return [d for at, (a, b) in pairs for d in differences(a, b, f"{path}[{at}]")]
    return [] if theirs == ours else [f"{path}: QEMU {theirs!r}, here {ours!r}"]


@pytest.mark.parametrize("choice", ["break-guest-write", "break-snapshot", None])
def test_a_copy_that_fails_breaks_what_the_client_wants(choice: str | None) -> None:
    harness = Harness([8], Options(cluster_bytes=4, max_chunk_bytes=4))
    harness.state.profile = PROFILES["11"]
    more = {} if choice is None else {"on-cbw-error": choice}
    harness.execute("drive-backup", device="d0", target="t", sync="full", speed=1, **more)
    while not harness.replies():
        harness.take(next(harness.engine.steps()))
    number = harness.write(0, 4, b"new!")
    while number not in harness.guest_results():
        [step] = [each for each in harness.steps() if each.label and each.label.name in GUEST]
        harness.take(step, "EIO" if step.label == Label("cbw_write", 0, 1) else "")
    harness.run()
    broken = choice == "break-snapshot"
    assert harness.guest_results()[number] == ("" if broken else "EIO")
    assert harness.images["d0"].read(4, 4) == (b"new!" if broken else bytes(4))
    assert bool(harness.events("BLOCK_JOB_ERROR")) == broken
    [end] = harness.events("BLOCK_JOB_COMPLETED")
    assert end.data.get("error") == ("Input/output error" if broken else None)
    assert not harness.state.jobs and not harness.leaked()


GUEST = {"cbw_claim", "cbw_read", "cbw_write", "guest_start", "guest_done"}
