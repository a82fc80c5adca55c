"""Wrong as transactions and groups go."""

from typing import Any

from cleancut_conformance.agreement.wrong.table import caught_by, replace
from cleancut_reference import (
    transaction,
)
from cleancut_reference.actions import backup as backup_action
from cleancut_reference.block.graph import Graph
from cleancut_reference.block.request import DiskRequest, Failed
from cleancut_reference.disk import Disk
from cleancut_reference.jobs import ending
from cleancut_reference.jobs.job import Job
from cleancut_reference.outputs import Event
from cleancut_reference.state import State


@caught_by("transaction/releases-drives", "GUEST-LIVE-1")
def forgets_the_drain() -> None:
    """A failed transaction leaves its drives drained (bug 5)."""
    replace(transaction.Transaction, "_undrain_next", lambda self, state: None)


@caught_by("transaction/fails-at-second", "TX-FAIL-2")
def leaves_jobs_behind() -> None:
    """A failed transaction is answered with its jobs still there (bug 6)."""
    right = backup_action._roll_back

    def wrong(state: State, action: backup_action.Backup) -> Any:
        action.job = None
        return right(state, action)

    replace(backup_action, "_roll_back", wrong)


@caught_by("transaction/abort-last", "TX-ATOMIC-2")
def starts_jobs_in_prepare() -> None:
    """A job runs before all actions are prepared (bug 1)."""
    right = backup_action._make_job

    def wrong(state: State, action: Any, drive: Any, outcome: Any) -> None:
        right(state, action, drive, outcome)
        state.outbox.append(Event("JOB_STATUS_CHANGE", {"status": "running", "id": action.job.id}))

    replace(backup_action, "_make_job", wrong)


@caught_by("transaction/keeps-existing-targets", "TX-KEEP-1")
def empties_targets_in_prepare() -> None:
    """A target is made anew before it is known that the transaction succeeds (as QEMU does)."""
    right = Disk.perform

    def wrong(self: Disk, request: DiskRequest) -> Any:
        outcome = right(self, request)
        if request.create and request.blueprint and not isinstance(outcome, Failed):
            self.nodes[request.blueprint.name].image.resize(0)
        return outcome

    replace(Disk, "perform", wrong)


@caught_by("arguments/busy-drive", "ARG-BUSY-1")
def takes_a_second_job() -> None:
    """A busy drive is not refused (bug 21)."""
    right = Graph.find

    def wrong(self: Graph, name: str) -> Any:
        return right(self, name).performer

    replace(Graph, "find", wrong)
    replace(Graph, "check_not_blocked", lambda self, node, for_backup=False: None)


@caught_by("transaction/grouped-completes", "TX-GROUP-1")
def groups_nothing() -> None:
    """Completion mode `grouped` is accepted and forgotten."""
    right = Job.__post_init__

    def wrong(self: Job) -> None:
        right(self)
        self.group = None

    replace(Job, "__post_init__", wrong)


@caught_by("transaction/grouped-fails", "TX-GROUP-2")
def leaves_its_group_by_failing() -> None:
    """A job that fails does not take its group along."""
    right = ending.fail

    def wrong(job: Job, errno: str) -> None:
        right(job, errno)
        if job.group is not None:
            job.group.jobs.remove(job)
            job.group = None

    replace(ending, "fail", wrong)
