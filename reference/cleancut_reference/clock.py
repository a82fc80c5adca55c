"""The clocks of the server, as far as they are no business of the edge: time that does not run.

With `instant` a wait is over as soon as nothing else can happen; with `manual` time stands still
until the client moves it by `clock_step`. Both make a run with equal inputs the same each time.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cleancut_reference.block.gates import throttled_until_ns
from cleancut_reference.state import Clock, State
from cleancut_reference.waiting import Wait

if TYPE_CHECKING:
    from cleancut_reference.engine import Engine
    from cleancut_reference.step import Step


@dataclass(slots=True, eq=False)
class WaitForClock(Wait):
    """A `clock_step`: until the clock shows `until_ns` and nothing more happens at that instant."""

    until_ns: int
    arrived: bool = False

    def done(self) -> bool:
        """Time has come so far."""
        return self.arrived

    def steps(self, state: State) -> Iterator[Step]:
        """None: time is no step."""
        return iter(())


def wake_ns(state: State) -> int | None:
    """The next instant at which time alone enables a step; None if there is none."""
    waits = [job.not_before_ns for job in state.jobs] + throttled_until_ns(state)
    return min((ns for ns in waits if ns > state.now_ns), default=None)


def pass_time(engine: Engine) -> bool:
    """No step is enabled: go on to the next instant at which one may be; false if time stands."""
    state = engine.state
    due_ns = wake_ns(state)
    match state.clock:
        case Clock.INSTANT if due_ns is not None:
            engine.advance(due_ns)
            return True
        case Clock.MANUAL if isinstance(engine.current, WaitForClock):
            until_ns = engine.current.until_ns
            if state.now_ns < until_ns:
                engine.advance(until_ns if due_ns is None else min(due_ns, until_ns))
            else:
                engine.current.arrived = True
                engine.settle()
            return True
    return False
