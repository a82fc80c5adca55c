"""A job of `blockdev-create`, which makes an image: no block job, and not dismissed by itself."""

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

from cleancut_reference.block.request import DiskRequest, Outcome
from cleancut_reference.errors import QmpError
from cleancut_reference.outputs import Event
from cleancut_spec import cites
from cleancut_spec.jobs import FOLLOWS, Status

#: Yields requests to disks, and gets what they answer.
Making = Generator[DiskRequest, Outcome, None]


@dataclass(slots=True, eq=False)
class Creation:
    """The job; `making` is what is left of its work, and `request` what it waits for."""

    id: str
    making: Making
    request: DiskRequest | None = None
    status: Status = Status.UNDEFINED
    cancelled: bool = False
    error: str = ""

    @property
    def over(self) -> bool:
        """Whether the job has ended; it is still to be dismissed."""
        return self.status is Status.CONCLUDED

    def go_on(self, outcome: Outcome = None) -> None:
        """The request has been answered."""
        self.request = None
        try:
            self.request = self.making.send(outcome)
        except StopIteration:
            pass
        except QmpError as error:
            self.error = error.desc

    @property
    def done(self) -> bool:
        """Whether the work has come to its end, good or bad."""
        return self.request is None

    @cites("JOB-STATUS-1")
    def move(self, status: Status) -> Event:
        """Change the status, as the table allows, and say so."""
        assert status in FOLLOWS[self.status], f"{self.id}: {self.status} to {status}"
        self.status = status
        return Event("JOB_STATUS_CHANGE", {"status": str(status), "id": self.id})

    def info(self) -> dict[str, Any]:
        """One entry of `query-jobs`."""
        told = {"id": self.id, "type": "create", "status": str(self.status)}
        progress = {"current-progress": int(self.done), "total-progress": 1}
        return told | progress | ({"error": self.error} if self.over and self.error else {})
