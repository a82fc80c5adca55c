"""Deliberately wrong engines, each a small patch of the right one.

`python -m tests.wrong_engines NAME ARGUMENTS…` serves one; a test demands that the named case
catches it, by the named clause.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from cleancut_reference import (
    arithmetic,
    backup_arguments,
    cli,
    commands,
    engine,
    errors,
    transaction,
)
from cleancut_reference.actions import backup as backup_action
from cleancut_reference.actions import snapshot
from cleancut_reference.actions.bitmap import BitmapAction
from cleancut_reference.block import guest
from cleancut_reference.block.dirty_bitmap import abdicate
from cleancut_reference.block.graph import Graph
from cleancut_reference.block.request import DiskRequest, Failed
from cleancut_reference.disk import Disk
from cleancut_reference.errors import no_job
from cleancut_reference.jobs import backup, ending, verbs
from cleancut_reference.jobs.job import Job, Settings
from cleancut_reference.outputs import Event
from cleancut_reference.state import State
from cleancut_spec.jobs import Status, Verb


@dataclass(frozen=True, slots=True)
class Wrong:
    """What is patched, and which case must see it as a breach of which clause."""

    patch: Callable[[], None]
    case: str
    clause: str


def copies_nothing_before_a_write() -> None:
    """The filter lets every guest write through (bugs 3, 4, 12)."""
    guest.cluster_to_copy = lambda job, request: None


def forgets_the_drain() -> None:
    """A failed transaction leaves its drives drained (bug 5)."""
    transaction.Transaction._undrain_next = lambda self, state: None  # type: ignore[method-assign]


def leaves_jobs_behind() -> None:
    """A failed transaction is answered with its jobs still there (bug 6)."""
    right = backup_action._roll_back

    def wrong(state: State, action: backup_action.Backup) -> Any:
        action.job = None
        return right(state, action)

    backup_action._roll_back = wrong


def starts_jobs_in_prepare() -> None:
    """A job runs before all actions are prepared (bug 1)."""
    right = backup_action._make_job

    def wrong(state: State, action: Any, drive: Any, outcome: Any) -> None:
        right(state, action, drive, outcome)
        state.outbox.append(Event("JOB_STATUS_CHANGE", {"status": "running", "id": action.job.id}))

    backup_action._make_job = wrong


def ends_twice() -> None:
    """Each completed job says so twice (bug 24)."""
    right = ending.conclude

    def wrong(state: State, job: Job) -> None:
        if job.status is Status.PENDING:
            state.outbox.append(job.block_job_event("BLOCK_JOB_COMPLETED"))
        right(state, job)

    ending.conclude = wrong


def loses_the_tail() -> None:
    """The partial last cluster is not copied (bugs 15, 19)."""

    def wrong(first: int, end: int, cluster_bytes: int, size_bytes: int) -> tuple[int, int]:
        offset, length = arithmetic.byte_span(first, end, cluster_bytes, size_bytes)
        at_end = offset + length == size_bytes
        return offset, length - size_bytes % cluster_bytes if at_end else length

    backup.byte_span = wrong


def leaves_a_hole() -> None:
    """An ignored error leaves its clusters out of the backup (bug 16)."""
    right = backup._fail

    def wrong(state: State, job: Job, copy: Any, operation: str, errno: str) -> Any:
        label = right(state, job, copy, operation, errno)
        if not job.error and not job.user_paused:
            job.mark_copied(copy.first, copy.end)
        return label

    backup._fail = wrong


def ignores_every_error() -> None:
    """The default policy is not applied (bug 6)."""
    backup.action_for = lambda policy, errno: "ignore"


def writes_where_the_copy_failed() -> None:
    """A guest write goes on although its cluster could not be copied (bug 23)."""

    def wrong(state: State, traffic: Any, request: Any, name: str, errno: str) -> Any:
        request.claim, request.phase = None, guest.Phase.IN_FLIGHT
        return None

    guest._refuse = wrong


def empties_targets_in_prepare() -> None:
    """A target is made anew before it is known that the transaction succeeds (as QEMU does)."""
    right = Disk.perform

    def wrong(self: Disk, request: DiskRequest) -> Any:
        outcome = right(self, request)
        if request.create and request.blueprint and not isinstance(outcome, Failed):
            self.nodes[request.blueprint.name].image.resize(0)
        return outcome

    Disk.perform = wrong  # type: ignore[method-assign]


def writes_below_the_snapshot() -> None:
    """The overlay is made, and guests go on writing to its base (bug 11)."""
    snapshot.put_above = lambda graph, base, overlay: None


def forgets_what_it_has_frozen() -> None:
    """An incremental backup that fails takes its bits with it."""

    def wrong(job: Job, well: bool, taken_back: bool = False) -> None:
        bitmap, job.bitmap = job.bitmap, None
        if bitmap is not None:
            abdicate(job.source, bitmap)

    ending.release_bitmap = wrong


def copies_too_much() -> None:
    """A backup by bitmap copies the whole drive."""
    Job.copy_only = lambda self, runs: None  # type: ignore[method-assign]


def keeps_what_a_bitmap_action_did() -> None:
    """A failed transaction leaves bitmaps cleared."""
    BitmapAction.roll_back = lambda self, state: None  # type: ignore[method-assign]


def records_nothing() -> None:
    """No write reaches a bitmap."""
    guest.record = lambda node, offset_bytes, length_bytes: None


def ends_without_being_told() -> None:
    """With sync none the job copies by itself, and ends."""
    Job.copies_by_itself = True  # type: ignore[assignment, method-assign]


def takes_a_second_job() -> None:
    """A busy drive is not refused (bug 21)."""
    right = Graph.find

    def wrong(self: Graph, name: str) -> Any:
        return right(self, name).performer

    Graph.find = wrong  # type: ignore[method-assign]
    Graph.check_not_blocked = lambda self, node, for_backup=False: None  # type: ignore[method-assign]


def stops_at_pause_only_in_words() -> None:
    """A job says that it is paused, and goes on copying."""

    def blind(right: Callable[[State, Job], Any]) -> Callable[[State, Job], Any]:
        def wrong(state: State, job: Job) -> Any:
            paused, job.user_paused = job.user_paused, False
            try:
                return right(state, job)
            finally:
                job.user_paused = paused

        return wrong

    def pause(state: State, arguments: dict[str, Any]) -> Any:
        verbs.find_block_job(state, arguments["device"]).user_paused = True
        return {}

    backup.may_claim = blind(backup.may_claim)
    backup.may_park = lambda job: False
    right = ending.may_finish

    def finish(job: Job) -> bool:
        paused, job.user_paused = job.user_paused, False
        try:
            return right(job)
        finally:
            job.user_paused = paused

    ending.may_finish = finish
    commands.COMMANDS["block-job-pause"] = pause


def loses_ids() -> None:
    """A reply does not carry its request's id."""
    right = engine.Engine._reply

    def wrong(self: engine.Engine, result: Any) -> None:
        self._request = {}
        right(self, result)

    engine.Engine._reply = wrong  # type: ignore[method-assign]


def knows_no_class_of_errors() -> None:
    """Every refusal has class GenericError."""

    def wrong(job_id: str) -> Any:
        return errors.generic(no_job(job_id).desc)

    verbs.errors.no_job = wrong  # type: ignore[attr-defined]


def groups_nothing() -> None:
    """Completion mode `grouped` is accepted and forgotten."""
    right = Job.__post_init__

    def wrong(self: Job) -> None:
        right(self)
        self.group = None

    Job.__post_init__ = wrong  # type: ignore[method-assign]


def leaves_its_group_by_failing() -> None:
    """A job that fails does not take its group along."""
    right = ending.fail

    def wrong(job: Job, errno: str) -> None:
        right(job, errno)
        if job.group is not None:
            job.group.jobs.remove(job)
            job.group = None

    ending.fail = wrong


def asks_nobody(setting: str) -> Callable[[], None]:
    """A step that the client wants to do itself is done for it."""

    def patch() -> None:
        def wrong(**settings: Any) -> Settings:
            return Settings(**settings | {setting: True})

        backup_arguments.Settings = wrong  # type: ignore[assignment, misc]

    patch.__name__ = f"asks_nobody_{setting}"
    return patch


def pauses_at_any_time() -> None:
    """Any job can be paused, even one that is pending."""
    right = verbs.apply

    def wrong(job: Job, verb: Verb) -> None:
        if verb is not Verb.PAUSE:
            right(job, verb)

    verbs.apply = wrong


WRONG: Final[dict[str, Wrong]] = {
    patch.__name__: Wrong(patch, case, clause)
    for patch, case, clause in (
        (copies_nothing_before_a_write, "point-in-time/burst-of-two-drives", "CBW-COPY-1"),
        (forgets_the_drain, "transaction/releases-drives", "GUEST-LIVE-1"),
        (leaves_jobs_behind, "transaction/fails-at-second", "TX-FAIL-2"),
        (starts_jobs_in_prepare, "transaction/abort-last", "TX-ATOMIC-2"),
        (ends_twice, "events/completed", "EV-FINAL-1"),
        (loses_the_tail, "point-in-time/partial-last-cluster", "DATA-TAIL-1"),
        (leaves_a_hole, "policy/ignore", "POLICY-IGNORE-1"),
        (ignores_every_error, "policy/report", "POLICY-REPORT-1"),
        (writes_where_the_copy_failed, "policy/guest-write-meets-error", "CBW-ERROR-1"),
        (empties_targets_in_prepare, "transaction/keeps-existing-targets", "TX-KEEP-1"),
        (writes_below_the_snapshot, "transaction/snapshot-shares-the-cut", "SNAPSHOT-TX-1"),
        (takes_a_second_job, "arguments/busy-drive", "ARG-BUSY-1"),
        (stops_at_pause_only_in_words, "jobs/pause-resume", "JOB-PAUSE-1"),
        (loses_ids, "protocol/ids", "QMP-ID-1"),
        (forgets_what_it_has_frozen, "bitmaps/cancelled", "BITMAP-KEEP-1"),
        (copies_too_much, "bitmaps/chain", "BITMAP-CHAIN-1"),
        (keeps_what_a_bitmap_action_did, "bitmaps/undone", "BITMAP-TX-1"),
        (records_nothing, "bitmaps/disabled", "BITMAP-OFF-1"),
        (ends_without_being_told, "point-in-time/sync-none", "SYNC-NONE-1"),
        (groups_nothing, "transaction/grouped-completes", "TX-GROUP-1"),
        (leaves_its_group_by_failing, "transaction/grouped-fails", "TX-GROUP-2"),
        (asks_nobody("auto_finalize"), "jobs/finalize", "JOB-MANUAL-1"),
        (asks_nobody("auto_dismiss"), "jobs/dismiss", "JOB-MANUAL-2"),
        (pauses_at_any_time, "jobs/wrong-status", "JOB-VERB-1"),
        (knows_no_class_of_errors, "jobs/no-such-job", "JOB-NONE-1"),
    )
}


if __name__ == "__main__":
    WRONG[sys.argv[1]].patch()
    sys.exit(cli.main(sys.argv[2:]))
