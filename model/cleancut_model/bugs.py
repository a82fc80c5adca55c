"""Deliberate bugs: each a small change of the protocol, and the claims that it breaks.

They are modelled on real ones of this area.
"""

from dataclasses import dataclass, replace
from typing import Final

from z3 import If

from cleancut_model.backup import Backup
from cleancut_model.language import Mutation, State, Term
from cleancut_model.options import PRESETS, Options


@dataclass(frozen=True, slots=True)
class Bug:
    """A change of the protocol, what went wrong with it in the field, and what it breaks."""

    name: str
    what: str
    breaks: tuple[str, ...]
    mutations: tuple[Mutation, ...]
    preset: str = "core"  # an instance that has what it needs


ALL: Final = slice(None)


def _loses_the_data(p: Backup, s: State, d: Term, c: Term, **_: Term) -> None:
    s.copied[d, c] = True


def _skips_the_copy(p: Backup, s: State, d: Term, r: Term, **_: Term) -> None:
    s.g[d, r] = p.guest.WRITING


def _ends_at_once(p: Backup, s: State, d: Term) -> None:
    p.succeed(s, d)


def _clears_the_bitmap(p: Backup, s: State, d: Term) -> None:
    s.dirty[d, ALL] = False


def _freezes_the_bitmap(p: Backup, s: State, d: Term) -> None:
    s.todo[d, ALL] = lambda x, c: s.dirty[x, c]
    if p.options.bitmaps:
        s.dirty[d, ALL] = False


def _releases(p: Backup, s: State, d: Term) -> None:
    s.drained[d] = False


def _goes_on(p: Backup, s: State, d: Term) -> None:
    s.js[d] = p.job.CREATED


def _says_cancelled(p: Backup, s: State, d: Term) -> None:
    s.final[d] = p.event.CANCELLED


def _wipes_the_target(p: Backup, s: State, d: Term) -> None:
    s.tgt[d, ALL] = 0


def _writes_first(p: Backup, s: State, d: Term, r: Term, c: Term) -> None:
    s.g[d, r] = p.guest.WRITING


def _is_gone(p: Backup, s: State, d: Term) -> None:
    s.js[d] = p.job.GONE


def _counts_as_error(p: Backup, s: State, d: Term) -> None:
    s.error[d] = True


def _begins_anew(p: Backup, s: State, d: Term) -> None:
    s.copied[d, ALL] = False


def _ends_the_job(p: Backup, s: State, d: Term, **_: Term) -> None:
    s.js[d] = p.job.ABORTING


def _pauses(p: Backup, s: State, d: Term, **_: Term) -> None:
    s.js[d] = If(p.job_is(s, d, "RUNNING"), p.job.PAUSED, s.js[d])


def _asks_the_source(p: Backup, s: State, d: Term, w: Term, c: Term, e: Term) -> None:
    s.when(writing=s.b[d, w] == p.copy.WRITE, cluster=s.bc[d, w] == c)
    p.fail_copy(s, d, w, e, p.options.on_source_error)


def _takes_the_others_along(p: Backup, s: State) -> None:
    s.when(some=p.m.any(p.drive, lambda d: s.js[d] == p.job.WAITING))
    both = "RUNNING WAITING"
    s.js[ALL] = lambda d: If(p.job_is(s, d, both), p.job.PENDING, s.js[d])


def _runs_or_pauses(p: Backup, s: State, d: Term, **_: Term) -> None:
    s.when(live=p.job_is(s, d, "RUNNING PAUSED"))


def _waits_for_the_oldest(p: Backup, s: State, d: Term) -> None:
    s.when(oldest=p.earlier(d, lambda x: s.js[x] != p.job.CREATED))


def _ends_all_jobs(p: Backup, s: State) -> None:
    s.js[ALL] = lambda d: If(p.started(s, d), p.job.ABORTING, s.js[d])


CUT: Final = (
    "completed_backups_share_the_cut",
    "old_data_is_somewhere",
    "a_reader_sees_the_cut",
)

BUGS: Final[dict[str, Bug]] = {
    bug.name: bug
    for bug in (
        Bug(
            "start-early",
            "a job starts when the first action is prepared, not when all are",
            (
                "none_runs_before_all_are_prepared",
                "a_failed_action_fails_the_transaction",
            ),
            (Mutation("commit", ("ready",)),),
        ),
        Bug(
            "no-drain",
            "a drive is prepared although its guest's write is still in flight",
            CUT,
            (Mutation("prepare", ("quiet",)),),
        ),
        Bug(
            "undrain-early",
            "guests go on as soon as their own drive is committed: no common instant",
            CUT,
            (Mutation("undrain", ("settled", "turn")),),
        ),
        Bug(
            "filter-late",
            "a write does not copy first, as if the filter were not there yet",
            CUT,
            (Mutation("guest_start", ("no_copy",)),),
        ),
        Bug(
            "no-wait",
            "a write does not wait for the copy of its cluster that is under way",
            ("requests_take_turns",),
            (
                Mutation("guest_start", ("no_overlap",)),
                Mutation("cbw_claim", ("no_overlap",)),
            ),
        ),
        Bug(
            "copy-over-write",
            "the background copy takes a cluster that copy-before-write holds",
            ("requests_take_turns",),
            (Mutation("copy_claim", ("no_overlap",)),),
        ),
        Bug(
            "copy-twice",
            "the background copies again what a guest write has copied, now with new data",
            ("a_copied_cluster_is_left_alone",),
            (Mutation("copy_claim", ("needed",)),),
        ),
        Bug(
            "leaked-drain",
            "a failed transaction is answered with a drive still drained",
            ("failure_leaves_nothing", "a_drain_ends"),
            (Mutation("refuse", ("released",)),),
        ),
        Bug(
            "late-finish",
            "a job finishes with clusters that are not copied",
            ("completed_backups_share_the_cut",),
            (Mutation("finish", ("all",)),),
        ),
        Bug(
            "hole",
            "a cluster whose write failed is marked as copied",
            ("ignore_leaves_no_hole",),
            (Mutation("fail_copy_write", extra=_loses_the_data),),
        ),
        Bug(
            "lost-write",
            "a guest write whose copy failed is written all the same",
            CUT,
            (Mutation("fail_cbw_write", (), ("g", "gc", "gv", "gbuf"), _skips_the_copy),),
        ),
        Bug(
            "early-event",
            "a job that is cancelled says so while its requests are still in flight",
            ("what_is_gone_is_gone",),
            (Mutation("abort", ("at_rest",)),),
        ),
        Bug(
            "leaked-job",
            "a failed transaction is answered with a job still on its drive",
            ("failure_leaves_nothing", "all_or_nothing"),
            (
                Mutation("rollback", (), ("js",)),
                Mutation("undrain", ("settled",)),
                Mutation("refuse", ("all",)),
            ),
        ),
        Bug(
            "second-event",
            "a job that has completed is cancelled, too",
            ("one_final_event", "what_is_gone_is_gone"),
            (Mutation("force_cancel", ("live",)),),
        ),
        Bug(
            "drain-for-an-instant",
            "a drive is drained while it is prepared, but not until the commit",
            CUT,
            (Mutation("prepare", extra=_releases),),
        ),
        Bug(
            "error-dropped",
            "a failed action is taken for a prepared one",
            (*CUT, "prepared_in_order"),
            (Mutation("fail_prepare", (), ("tx",), _goes_on),),
        ),
        Bug(
            "event-on-rollback",
            "a job that never started is said to be cancelled",
            ("no_event_without_start", "one_final_event", "all_or_nothing"),
            (Mutation("rollback", extra=_says_cancelled),),
        ),
        Bug(
            "no-event",
            "a job that fails or is cancelled ends without a word",
            ("one_final_event", "a_cancelled_job_ends_cancelled"),
            (Mutation("abort", (), ("final",)),),
        ),
        Bug(
            "write-before-copy",
            "the guest's write goes on when the old data has been read, not when it is safe",
            CUT,
            (Mutation("cbw_read", extra=_writes_first),),
        ),
        Bug(
            "unwritten",
            "a cluster is marked as copied though nothing reached the target",
            (*CUT, "completed_backups_share_the_cut"),
            (Mutation("copy_write", (), ("tgt",)),),
        ),
        Bug(
            "paused-copies",
            "a paused job goes on taking clusters",
            ("a_paused_job_takes_nothing_new",),
            (Mutation("copy_claim", ("running",), extra=_runs_or_pauses),),
        ),
        Bug(
            "resume-from-start",
            "a resumed job begins anew and copies what guests have changed since",
            ("resume_goes_on_where_it_stood",),
            (Mutation("resume", extra=_begins_anew),),
        ),
        Bug(
            "cancel-is-an-error",
            "a job that is cancelled is reported as failed",
            ("a_cancel_is_no_error",),
            (Mutation("cancel", extra=_counts_as_error),),
        ),
        Bug(
            "stop-ends",
            "an error ends a job whose policy is to pause it",
            ("stop_pauses_the_job",),
            (Mutation("fail_copy_write", extra=_ends_the_job),),
            "stop",
        ),
        Bug(
            "enospc-for-all",
            "an error that is no want of space pauses a job that it should end",
            ("enospc_stops_or_reports",),
            (Mutation("fail_copy_write", (), ("js", "error"), _pauses),),
            "enospc",
        ),
        Bug(
            "policies-swapped",
            "what is done about an error of the target is what was asked for the source",
            ("stop_pauses_the_job",),
            (Mutation("fail_copy_write", extra=_asks_the_source, replace=True),),
            "policies",
        ),
        Bug(
            "two-copies",
            "two background copies take the same cluster",
            ("requests_take_turns",),
            (Mutation("copy_claim", ("not_twice",)),),
            "requests",
        ),
        Bug(
            "write-passes-copy",
            "a write does not wait for another one's copy of the same cluster",
            ("writes_wait_for_copies",),
            (
                Mutation("guest_start", ("no_copy_ahead",)),
                Mutation("cbw_claim", ("no_copy_ahead",)),
            ),
            "requests",
        ),
        Bug(
            "group-of-one",
            "a job of a group completes as soon as it has copied all",
            ("a_group_ends_as_one",),
            (Mutation("finish", extra=_ends_at_once),),
            "grouped",
        ),
        Bug(
            "group-too-early",
            "the first job of a group that has copied all makes the others pending, too",
            ("completed_backups_share_the_cut", "what_is_gone_is_gone"),
            (Mutation("group_pending", extra=_takes_the_others_along, replace=True),),
            "grouped",
        ),
        Bug(
            "dismissed-by-itself",
            "a job that waits to be dismissed is gone at once",
            ("a_concluded_job_waits_for_the_client",),
            (Mutation("finalize", extra=_is_gone),),
            "manual",
        ),
        Bug(
            "bits-thrown-away",
            "a backup that fails takes the bits of its bitmap with it",
            ("no_bit_is_lost", "a_failed_backup_keeps_its_bits"),
            (Mutation("abort", (), ("dirty",)),),
            "incremental",
        ),
        Bug(
            "bitmap-cleared-late",
            "the bitmap is cleared when the backup completes: writes since the cut are forgotten",
            ("no_bit_is_lost",),
            (Mutation("complete", extra=_clears_the_bitmap),),
            "incremental",
        ),
        Bug(
            "bitmap-before-drain",
            "the bitmap is frozen before the drive is quiet",
            ("no_bit_is_lost", "completed_backups_share_the_cut", "a_chain_restores_the_cut"),
            (
                Mutation("drain", extra=_freezes_the_bitmap),
                Mutation("commit", (), ("todo", "dirty")),
            ),
            "incremental",
        ),
        Bug(
            "top-too-early",
            "which clusters the top layer has is asked before the drive is quiet",
            ("completed_backups_share_the_cut",),
            (Mutation("drain", extra=_freezes_the_bitmap), Mutation("commit", (), ("todo",))),
            "top",
        ),
        Bug(
            "bitmap-trusted",
            "after a crash the bitmap of an unfinished backup is taken as it is on disk",
            ("no_bit_is_lost",),
            (Mutation("restart", (), ("dirty",)),),
            "death",
        ),
        Bug(
            "busy-not-seen",
            "a drive that has a job gets a second one",
            ("one_job_for_each_drive",),
            (Mutation("prepare", ("free",)),),
            "busy",
        ),
        Bug(
            "snapshot-late",
            "guests go on before the snapshots of all drives are taken",
            ("snapshots_share_the_cut",),
            (Mutation("undrain", ("snapshots",)), Mutation("reply", ("snapshots",))),
            "snapshot",
        ),
        Bug(
            "cleared-late",
            "guests go on before the bitmaps that begin at the cut are cleared",
            ("a_cleared_bitmap_begins_at_the_cut",),
            (Mutation("undrain", ("bitmaps",)), Mutation("reply", ("bitmaps",))),
            "clear",
        ),
        Bug(
            "rollback-stuck",
            "the newest job is taken back only after the oldest, and the oldest after the newest",
            ("a_settling_transaction_can_go_on", "no_deadlock"),
            (Mutation("rollback", extra=_waits_for_the_oldest),),
            "snapshot",
        ),
        Bug(
            "wiped-target",
            "a target that exists is emptied while its action is prepared",
            ("failure_keeps_targets",),
            (Mutation("prepare", extra=_wipes_the_target),),
            "again",
        ),
        Bug(
            "broken-but-kept",
            "a guest's write goes on though its copy failed, and the backup still completes",
            (*CUT, "a_broken_snapshot_ends_the_job"),
            (Mutation("fail_cbw_write", (), ("broken", "js", "error")),),
            "break-snapshot",
        ),
        Bug(
            "disconnect-cancels",
            "jobs end when the client that started them goes",
            ("a_client_that_goes_changes_nothing",),
            (Mutation("disconnect", extra=_ends_all_jobs),),
            "client",
        ),
    )
}


def instance_of(name: str) -> Options:
    """A small instance in which the bug shows, with the bug in it."""
    return replace(PRESETS[BUGS[name].preset], bug=name)


def mutations(name: str) -> tuple[Mutation, ...]:
    """The changes of a bug; none for the empty name."""
    return BUGS[name].mutations if name else ()
