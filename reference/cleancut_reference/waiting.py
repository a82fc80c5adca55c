"""Commands that wait, with no step of their own, until something is so."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from cleancut_reference.block import gates
from cleancut_reference.block.node import Drive
from cleancut_reference.block.traffic import GuestRequest
from cleancut_reference.state import State
from cleancut_reference.step import Step


@dataclass(slots=True, eq=False)
class Wait:
    """A command that waits until `done`; then it answers `value`."""

    done: Callable[[], bool]
    value: Any

    def steps(self, state: State) -> Iterator[Step]:
        """None of its own."""
        return iter(())

    def result(self) -> Any | None:
        """What to answer; None while it waits."""
        return self.value if self.done() else None


def for_requests(requests: list[GuestRequest]) -> Wait:
    """Until these guest requests have ended."""
    return Wait(lambda: all(request.ended for request in requests), "")


def for_break(drive: Drive, tag: str) -> Wait:
    """Until a request is held under this tag, or none can be any more."""
    return Wait(
        lambda: gates.is_suspended(drive.root, tag) or not gates.is_set(drive.root, tag), ""
    )
