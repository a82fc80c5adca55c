"""A command that asks disks on its way."""

from collections.abc import Generator, Iterator
from typing import Any

from cleancut_reference.block.request import DiskRequest, Failed, Outcome
from cleancut_reference.errors import QmpError, generic, strerror
from cleancut_reference.state import State
from cleancut_reference.step import Step

#: Yields requests to disks, gets what they answer, and returns what the command returns.
Work = Generator[DiskRequest, Outcome, Any]


class Procedure:
    """Goes through a command's work, one disk request a step."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self._request: DiskRequest | None = None
        self._answer: Any = None
        self._go_on(None)

    def _go_on(self, outcome: Outcome) -> None:
        self._request = None
        try:
            self._request = self._work.send(outcome)
        except StopIteration as end:
            self._answer = end.value
        except QmpError as error:
            self._answer = error

    def steps(self, state: State) -> Iterator[Step]:
        """The next request to a disk."""
        if self._request is not None:
            yield Step(None, self._go_on, self._request)

    def result(self) -> Any | None:
        """What to answer; None while the work goes on."""
        return self._answer


def refuse_failed(outcome: Outcome) -> None:
    """Refuse where a disk has failed; raises QmpError."""
    if isinstance(outcome, Failed):
        raise generic(outcome.desc or strerror(outcome.errno))
