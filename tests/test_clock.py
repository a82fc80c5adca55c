"""Clocks that do not run: waits that cost nothing, and time that the client moves."""

from typing import Any

import pytest

from cleancut_reference.assembly import Wanted, assemble
from cleancut_reference.clock import pass_time
from cleancut_reference.machine import Machine
from cleancut_reference.outputs import Event, Output, Reply
from cleancut_reference.state import Clock

MIB = 1 << 20
BACKUP = {
    "device": "d0", "target": "json:{'driver': 'null-co', 'size': 4194304}", "sync": "full",
    "mode": "existing", "speed": MIB,
}  # fmt: skip


def machine(clock: Clock, **more: Any) -> Machine:
    return assemble(Wanted(drives=["d0=4M"], clock=clock, **more))


def say(served: Machine, command: str, **arguments: Any) -> list[Output]:
    """Send a command; what is said until all is at rest."""
    served.engine.receive({"execute": command, "arguments": arguments})
    while served.step() or pass_time(served.engine):
        pass
    return served.engine.drain_outbox()


def progress(served: Machine) -> list[int]:
    [reply] = say(served, "query-block-jobs")
    assert isinstance(reply, Reply)
    return [job["offset"] // MIB for job in reply.body["return"]]


def step(served: Machine, rest: str) -> Any:
    said = say(served, "human-monitor-command", **{"command-line": f"clock_step {rest}"})
    [reply] = [each for each in said if isinstance(each, Reply)]
    assert said[-1] is reply, "all that was due is said before"
    return reply.body["return"]


def test_an_instant_clock_ends_every_wait() -> None:
    served = machine(Clock.INSTANT)
    said = say(served, "drive-backup", **BACKUP)
    names = [each.name for each in said if isinstance(each, Event)]
    assert "BLOCK_JOB_COMPLETED" in names
    assert served.engine.state.now_ns == 3_000_000_000  # the fourth MiB is not waited for


def test_a_manual_clock_moves_on_demand_only() -> None:
    served = machine(Clock.MANUAL)
    say(served, "drive-backup", **BACKUP)
    assert progress(served) == [1] and progress(served) == [1]
    assert step(served, "999999999") == "" and progress(served) == [1]
    assert step(served, "1") == "" and progress(served) == [2]
    assert step(served, "") == "" and progress(served) == [3]
    assert step(served, "60000000000") == "" and progress(served) == []
    assert served.engine.state.now_ns == 62_000_000_000
    assert step(served, "") == "", "nothing is due, so nothing moves"
    assert served.engine.state.now_ns == 62_000_000_000


@pytest.mark.parametrize(
    ("clock", "rest", "words"),
    [(Clock.REAL, "1", "start the server with"), (Clock.MANUAL, "-1s", "'-1s' is no number")],
)
def test_a_clock_that_cannot_be_moved_says_so(clock: Clock, rest: str, words: str) -> None:
    assert words in step(machine(clock), rest)


@pytest.mark.parametrize("seed", range(3))
def test_equal_seeds_give_equal_runs(seed: int) -> None:
    runs = [
        [say(served, name, **arguments) for name, arguments in COMMANDS]
        for served in (machine(Clock.INSTANT, seed=seed) for _ in range(2))
    ]
    assert runs[0] == runs[1]


COMMANDS: list[tuple[str, dict[str, Any]]] = [
    ("drive-backup", BACKUP),
    ("human-monitor-command", {"command-line": 'qemu-io d0 "aio_write 0 3M"'}),
    ("query-block", {}),
    ("quit", {}),
]
