"""The jobs of a grouped transaction: they complete together, or not at all."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cleancut_reference.jobs.job import Job


@dataclass(slots=True, eq=False)
class Group:
    """The jobs of one transaction, in the order of their actions."""

    jobs: list[Job] = field(default_factory=list)

    def others(self, job: Job) -> list[Job]:
        """All but this one."""
        return [other for other in self.jobs if other is not job]

    @property
    def failed(self) -> bool:
        """Whether one of them has failed or was cancelled."""
        return any(job.ending for job in self.jobs)
