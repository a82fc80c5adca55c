"""Wrong with what a job copies, and when it ends."""

from collections.abc import Iterator
from dataclasses import replace as changed
from typing import Any

from cleancut_conformance.agreement.wrong.table import (
    caught_by,
    mutates,
    no_case,
    replace,
    without_asserts,
)
from cleancut_reference import arithmetic
from cleancut_reference.bitmap import clear_run
from cleancut_reference.block import guest
from cleancut_reference.jobs import backup, ending
from cleancut_reference.jobs import job as job_module
from cleancut_reference.jobs.job import COPIED, Job, Policy
from cleancut_reference.jobs.top_layer import TopLayer
from cleancut_reference.state import State


@mutates("short-copy", instance={"sync": "full", "again": 0})
@caught_by("point-in-time/partial-last-cluster", "DATA-TAIL-1")
def loses_the_tail() -> None:
    """The partial last cluster is not copied (bugs 15, 19)."""

    def wrong(first: int, end: int, cluster_bytes: int, size_bytes: int) -> tuple[int, int]:
        offset, length = arithmetic.byte_span(first, end, cluster_bytes, size_bytes)
        at_end = offset + length == size_bytes
        return offset, length - size_bytes % cluster_bytes if at_end else length

    replace(backup, "byte_span", wrong)


@mutates(
    "hole",
    "PIT-ONE-1",
    why="a hole is a cluster that does not hold the cut",
    instance={"policy": "ignore"},
)
@caught_by("policy/ignore", "POLICY-IGNORE-1")
def leaves_a_hole() -> None:
    """An ignored error leaves its clusters out of the backup (bug 16)."""
    right = backup._fail

    def wrong(state: State, job: Job, copy: Any, operation: str, errno: str) -> Any:
        label = right(state, job, copy, operation, errno)
        if not job.error and not job.user_paused:
            job.mark_copied(copy.first, copy.end)
        return label

    replace(backup, "_fail", wrong)


@caught_by("policy/copy-first/break-snapshot-write-once", "PIT-AFTER-1")
def completes_a_broken_backup() -> None:
    """A backup that lost its cut to a guest's write, by on-cbw-error, completes all the same."""
    right = guest._refuse

    def wrong(state: State, traffic: Any, request: Any, name: str, failed: Any) -> Any:
        job = request.claim.job
        label = right(state, traffic, request, name, failed)
        if job.broken:
            state.outbox.pop()
            job.error = ""
        return label

    replace(guest, "_refuse", wrong)


@caught_by("policy/report", "POLICY-REPORT-1")
def ignores_every_error() -> None:
    """The default policy is not applied (bug 6)."""
    replace(backup, "action_for", lambda policy, errno: "ignore")


@caught_by("point-in-time/sync-none", "SYNC-NONE-1")
def ends_without_being_told() -> None:
    """With sync none the job copies by itself, and ends."""
    replace(Job, "copies_by_itself", True)


@mutates("top-by-the-first", no_replay="a trace does not tell what a target lies upon")
@caught_by("point-in-time/sync-top", "SYNC-TOP-1")
def looks_at_the_first_of_the_top_layer() -> None:
    """With sync top what lies behind a hole of the top image is not copied (bug 17)."""
    right = TopLayer.look

    def wrong(self: TopLayer, outcome: Any) -> None:
        right(self, outcome)
        self.runs = [run for run in self.runs[:1] if run[0] == 0]

    replace(TopLayer, "look", wrong)


# ---- bugs of the model


def counts_anew(self: Job, first: int, end: int) -> None:
    """Clusters are on the target, be it once more."""
    self.copied[first:end] = bytes([COPIED]) * (end - first)
    self.remaining = self.copied.count(0)


@mutates("copy-over-write", "PIT-ONE-1", why="what overlaps is seen only by what it spoils")
@no_case("a client cannot hold both copies of a cluster on their way")
def copies_what_a_guest_copies() -> None:
    """The background copy takes a cluster that copy-before-write holds."""
    replace(Job, "mark_copied", counts_anew)
    replace(backup, "is_claimed", lambda job, cluster: job.copy_overlaps(cluster, cluster + 1))


@mutates(
    "two-copies",
    "JOB-PROGRESS-1",
    why="what is copied twice counts twice",
    instance={"requests": 1},
)
@no_case("from outside two copies of a cluster at once cannot be asked for")
def copies_a_cluster_twice_at_once() -> None:
    """Two background copies take the same cluster."""
    without_asserts(job_module, Job, "mark_copied")
    replace(
        backup, "is_claimed", lambda job, cluster: cluster in job.source.traffic.cbw_claims(job)
    )


_BY_GUEST = 3  # what a job knows of a cluster that copy-before-write has copied


@mutates("copy-twice", "PIT-ONE-1", why="what is copied again holds what was written since")
@caught_by("point-in-time/burst-of-two-drives", "PIT-AFTER-1")
def copies_again_what_a_guest_has_copied() -> None:
    """The background copy goes over what copy-before-write has saved."""
    right = clear_run

    def marked(self: Job, first: int, end: int) -> None:
        by_guest = first in self.source.traffic.cbw_claims(self)
        self.copied[first:end] = bytes([_BY_GUEST if by_guest else COPIED]) * (end - first)
        self.remaining = self.copied.count(0) + self.copied.count(_BY_GUEST)

    def remaining(self: Job) -> Iterator[int]:
        return (at for at, how in enumerate(self.copied) if how in (0, _BY_GUEST))

    replace(Job, "mark_copied", marked)
    replace(Job, "remaining_clusters", remaining)
    replace(backup, "clear_run", lambda bits, first, end: max(first + 1, right(bits, first, end)))


@mutates("unwritten")
@caught_by("point-in-time/one-drive", "PIT-ONE-1")
def writes_nothing() -> None:
    """A cluster counts as copied though nothing was written to the target."""
    right = backup._write

    def wrong(state: State, job: Job, copy: Any) -> Any:
        return right(state, job, copy)._replace(io=None)

    replace(backup, "_write", wrong)


@mutates("late-finish")
@caught_by("point-in-time/live-drive", "JOB-PROGRESS-1")
def finishes_at_any_time() -> None:
    """A job finishes with clusters that are not copied."""
    right = ending.may_finish

    def wrong(state: State, job: Job) -> bool:
        kept, job.remaining, job.not_before_ns = (job.remaining, job.not_before_ns), 0, 0
        try:
            return right(state, job)
        finally:
            job.remaining, job.not_before_ns = kept

    replace(ending, "may_finish", wrong)


@mutates("stop-ends")
@caught_by("policy/stop", "POLICY-STOP-1")
def ends_where_it_should_stop() -> None:
    """An error ends a job whose policy is to pause it."""
    right = backup.action_for

    def wrong(policy: Any, errno: str) -> str:
        action = right(policy, errno)
        return "report" if action == "stop" else action

    replace(backup, "action_for", wrong)


@mutates("enospc-for-all")
@caught_by("policy/enospc-reports", "POLICY-ENOSPC-1")
def stops_for_any_errno() -> None:
    """Policy enospc pauses a job for any error."""
    _whatever_the_errno("stop")


@caught_by("policy/enospc-stops", "POLICY-ENOSPC-1")
def reports_want_of_space() -> None:
    """Policy enospc ends a job for any error."""
    _whatever_the_errno("report")


def _whatever_the_errno(action: str) -> None:
    """Policy enospc does the same about each errno."""
    right = backup.action_for

    def wrong(policy: Any, errno: str) -> str:
        return action if policy in (Policy.ENOSPC, Policy.AUTO) else right(policy, errno)

    replace(backup, "action_for", wrong)


@mutates("policies-swapped")
@caught_by("policy/stop", "POLICY-STOP-1")
def asks_the_other_policy() -> None:
    """What is done about an error of the target is what was asked for the source."""
    right = backup._fail

    def wrong(state: State, job: Job, copy: Any, operation: str, errno: str) -> Any:
        kept = job.settings
        job.settings = changed(kept, on_target_error=kept.on_source_error)
        try:
            return right(state, job, copy, operation, errno)
        finally:
            job.settings = kept

    replace(backup, "_fail", wrong)
