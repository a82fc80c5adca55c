"""Wrong with what guests write."""

from typing import Any

from cleancut_conformance.agreement.wrong.copying import counts_anew
from cleancut_conformance.agreement.wrong.table import caught_by, mutates, no_case, replace
from cleancut_reference.actions import snapshot
from cleancut_reference.block import guest
from cleancut_reference.block.traffic import Phase
from cleancut_reference.jobs.job import Job
from cleancut_reference.state import State
from cleancut_spec.schedule import Label


@mutates("filter-late")
@caught_by("point-in-time/burst-of-two-drives", "CBW-COPY-1")
def copies_nothing_before_a_write() -> None:
    """The filter lets every guest write through (bugs 3, 4, 12)."""
    replace(guest, "cluster_to_copy", lambda job, request: None)


@mutates("lost-write")
@caught_by("policy/guest-write-meets-error", "CBW-ERROR-1")
def writes_where_the_copy_failed() -> None:
    """A guest write goes on although its cluster could not be copied (bug 23)."""

    def wrong(state: State, traffic: Any, request: Any, name: str, failed: Any) -> Any:
        cluster = request.claim.cluster
        request.claim, request.phase = None, Phase.IN_FLIGHT
        return Label(name, traffic.index, cluster, failed.errno)

    replace(guest, "_refuse", wrong)


@caught_by("transaction/snapshot-shares-the-cut", "SNAPSHOT-TX-1")
def writes_below_the_snapshot() -> None:
    """The overlay is made, and guests go on writing to its base (bug 11)."""
    replace(snapshot, "put_above", lambda graph, base, overlay: None)


# ---- bugs of the model


@mutates("past-the-end", instance={"sync": "full", "again": 0})
@caught_by("point-in-time/partial-last-cluster", "DATA-TAIL-1")
def copies_past_the_end() -> None:
    """Copy-before-write of the last cluster copies a whole one."""
    right = guest._cbw_read

    def wrong(state: State, traffic: Any, request: Any) -> Any:
        step = right(state, traffic, request)
        whole = request.claim.job.cluster_bytes

        def run(outcome: Any) -> Any:
            return step.run(outcome.ljust(whole, b"\0") if isinstance(outcome, bytes) else outcome)

        return step._replace(run=run)

    replace(guest, "_cbw_read", wrong)


@mutates("no-wait", "PIT-ONE-1", why="what overlaps is seen only by what it spoils")
@no_case("a client cannot hold both copies of a cluster on their way")
def writes_wait_for_no_copy() -> None:
    """A guest's write does not wait for the background copy of its cluster."""
    replace(Job, "mark_copied", counts_anew)
    replace(guest, "waits_for_copy", lambda request: False)


@mutates(
    "write-passes-copy",
    "PIT-AFTER-1",
    why="what overlaps is seen only by what it spoils",
    instance={"workers": 1},
)
@no_case("a client cannot hold both copies of a cluster on their way")
def writes_pass_each_other() -> None:
    """A guest's write does not wait for another one's copy of the same cluster."""
    replace(Job, "mark_copied", counts_anew)

    def wrong(state: State, traffic: Any, request: Any) -> bool:
        return not traffic.drained and not guest.waits_for_copy(request)

    replace(guest, "may_start", wrong)


@mutates("write-before-copy")
@caught_by("point-in-time/burst-of-two-drives", "CBW-COPY-1")
def writes_when_the_old_is_read() -> None:
    """A guest's write goes on when the old data has been read, not when it is safe."""
    right = guest._cbw_read

    def wrong(state: State, traffic: Any, request: Any) -> Any:
        step = right(state, traffic, request)

        def run(outcome: Any) -> Any:
            label = step.run(outcome)
            if request.phase is Phase.CBW_WRITE:
                request.claim, request.old_content, request.phase = None, b"", Phase.IN_FLIGHT
            return label

        return step._replace(run=run)

    replace(guest, "_cbw_read", wrong)
