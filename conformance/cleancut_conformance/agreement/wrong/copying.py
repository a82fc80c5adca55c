"""Wrong with what a job copies, and when it ends."""

from typing import Any

from cleancut_conformance.agreement.wrong.table import caught_by, replace
from cleancut_reference import (
    arithmetic,
)
from cleancut_reference.jobs import backup
from cleancut_reference.jobs.job import Job
from cleancut_reference.jobs.top_layer import TopLayer
from cleancut_reference.state import State


@caught_by("point-in-time/partial-last-cluster", "DATA-TAIL-1")
def loses_the_tail() -> None:
    """The partial last cluster is not copied (bugs 15, 19)."""

    def wrong(first: int, end: int, cluster_bytes: int, size_bytes: int) -> tuple[int, int]:
        offset, length = arithmetic.byte_span(first, end, cluster_bytes, size_bytes)
        at_end = offset + length == size_bytes
        return offset, length - size_bytes % cluster_bytes if at_end else length

    replace(backup, "byte_span", wrong)


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


@caught_by("policy/report", "POLICY-REPORT-1")
def ignores_every_error() -> None:
    """The default policy is not applied (bug 6)."""
    replace(backup, "action_for", lambda policy, errno: "ignore")


@caught_by("point-in-time/sync-none", "SYNC-NONE-1")
def ends_without_being_told() -> None:
    """With sync none the job copies by itself, and ends."""
    replace(Job, "copies_by_itself", True)


@caught_by("point-in-time/sync-top", "SYNC-TOP-1")
def looks_at_the_first_of_the_top_layer() -> None:
    """With sync top what lies behind a hole of the top image is not copied (bug 17)."""
    right = TopLayer.look

    def wrong(self: TopLayer, outcome: Any) -> None:
        right(self, outcome)
        del self.runs[1:]

    replace(TopLayer, "look", wrong)
