"""Commands to jobs that wait until the job has come to where they want it."""

from collections.abc import Iterator
from dataclasses import dataclass

from cleancut_reference.jobs.ending import completing
from cleancut_reference.jobs.job import Job
from cleancut_reference.state import State
from cleancut_reference.step import Step
from cleancut_reference.waiting import Wait
from cleancut_spec.jobs import Status
from cleancut_spec.schedule import Label


@dataclass(slots=True, eq=False)
class WaitForPause(Wait):
    """Until the job stands still."""

    job: Job

    def done(self) -> bool:
        """A job that ends will not be paused any more."""
        return self.job.status is not Status.RUNNING or self.job.ending


@dataclass(slots=True, eq=False)
class WaitForEnd(Wait):
    """Until the job is over."""

    job: Job

    def done(self) -> bool:
        """It is, even if it is still to be dismissed."""
        return self.job.over


@dataclass(slots=True, eq=False)
class Finalize(WaitForEnd):
    """Until a pending job, and with it its group, has been completed by a step of this command."""

    def steps(self, state: State) -> Iterator[Step]:
        """The one step."""
        jobs = [self.job] if self.job.group is None else self.job.group.jobs
        yield completing(state, Label("finalize", self.job.index), jobs)
