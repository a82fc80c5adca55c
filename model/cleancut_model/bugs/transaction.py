"""Bugs of the transaction: drains, order, rollback."""

from typing import Final

from cleancut_model.backup import Backup
from cleancut_model.bugs.bug import ALL, CUT, Bug
from cleancut_model.language import Mutation, State, Term


def _releases(p: Backup, s: State, d: Term) -> None:
    s.drained[d] = False


def _goes_on(p: Backup, s: State, d: Term) -> None:
    s.js[d] = p.job.CREATED


def _says_cancelled(p: Backup, s: State, d: Term) -> None:
    s.final[d] = p.event.CANCELLED


def _wipes_the_target(p: Backup, s: State, d: Term) -> None:
    s.tgt[d, ALL] = 0


def _waits_for_the_oldest(p: Backup, s: State, d: Term) -> None:
    s.when(oldest=p.earlier(d, lambda x: s.js[x] != p.job.CREATED))


def _waits_for_all(p: Backup, s: State, d: Term) -> None:
    s.when(idle=p.each_request(lambda r: s.g[d, r] == p.guest.G_IDLE))


BUGS: Final = (
    Bug(
        "drain-waits-for-the-waiting",
        "a drain waits for guest requests, too, that wait for its own end",
        ("a_preparing_transaction_can_go_on", "no_deadlock"),
        (Mutation("prepare", extra=_waits_for_all),),
    ),
    Bug(
        "drained-for-ever",
        "what was taken for a transaction outlives the process that took it",
        ("a_drain_ends",),
        (Mutation("die", (), ("drained",)),),
        "death",
    ),
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
        "leaked-drain",
        "a failed transaction is answered with a drive still drained",
        ("failure_leaves_nothing", "a_drain_ends"),
        (Mutation("refuse", ("released",)),),
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
)
