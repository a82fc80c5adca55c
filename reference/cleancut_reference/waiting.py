"""Commands that wait, with no step of their own, until something is so: plain data."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from cleancut_reference.block import gates
from cleancut_reference.block.node import Drive
from cleancut_reference.block.traffic import GuestRequest
from cleancut_reference.state import State
from cleancut_reference.step import Step
from cleancut_spec import cites


@dataclass(slots=True, eq=False)
class Wait:
    """A command that waits until `done`; then it answers `value`."""

    value: Any

    def done(self) -> bool:
        """Whether it need not wait any more."""
        raise NotImplementedError

    def steps(self, state: State) -> Iterator[Step]:
        """None of its own."""
        return iter(())

    def result(self) -> Any | None:
        """What to answer; None while it waits."""
        return self.value if self.done() else None


@dataclass(slots=True, eq=False)
class WaitForRequests(Wait):
    """Until these guest requests have ended."""

    requests: list[GuestRequest]

    def done(self) -> bool:
        """None is on its way."""
        return all(request.ended for request in self.requests)


@dataclass(slots=True, eq=False)
class WaitForBreak(Wait):
    """Until a request is held under this tag, or none can be any more."""

    drive: Drive
    tag: str

    def done(self) -> bool:
        """One is, or nothing is to be held."""
        root = self.drive.root
        return gates.is_suspended(root, self.tag) or not gates.is_set(root, self.tag)


@dataclass(slots=True, eq=False)
class WaitForShutdown(Wait):
    """Until every job is over and no export is left; then the engine ends."""

    state: State

    @cites("JOB-QUIT-1")
    def done(self) -> bool:
        """A job that nobody has dismissed holds nothing up."""
        jobs_over = all(job.over for job in self.state.jobs)
        made = all(creation.over for creation in self.state.creations)
        self.state.shut_down = jobs_over and made and not self.state.exports
        return self.state.shut_down


@dataclass(slots=True, eq=False)
class WaitForExports(Wait):
    """Until no export is left."""

    state: State

    def done(self) -> bool:
        """The last one is gone."""
        return not self.state.exports
