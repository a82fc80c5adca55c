"""All or nothing."""

from z3 import BoolVal

from cleancut_model.backup import Backup
from cleancut_model.language import State, Term
from cleancut_model.properties import witnesses as seen
from cleancut_model.properties.registry import (
    always,
    clusters,
    each_step,
    enabled,
)
from cleancut_model.terms import And, Implies, Not, Or
from cleancut_spec import cites


@always(shown_by=[seen.a_job_runs_after_the_reply, seen.a_transaction_fails_late])
@cites("TX-ATOMIC-1")
def all_or_nothing(p: Backup, s: State) -> Term:
    """After success every job has started; after failure there is none, and never was an event."""
    return p.every(
        lambda d: And(
            Implies(p.tx_is(s, "DONE"), Not(p.job_is(s, d, "NONE CREATED"))),
            Implies(
                p.tx_is(s, "FAILED"),
                And(s.js[d] == p.job.NONE, s.final[d] == p.event.NO_EVENT),
            ),
        )
    )


@always(shown_by=[seen.one_runs_while_the_other_is_drained])
@cites("TX-ATOMIC-2")
def none_runs_before_all_are_prepared(p: Backup, s: State) -> Term:
    """If any job has started, every action has been prepared."""
    return p.m.all(
        p.drive,
        p.drive,
        lambda d, x: Implies(p.started(s, d), s.js[x] != p.job.NONE),
    )


@always(shown_by=[seen.a_transaction_fails_late])
@cites("TX-ORDER-1")
def prepared_in_order(p: Backup, s: State) -> Term:
    """While actions are prepared, those before a prepared one are prepared, too."""
    return p.m.all(
        p.drive,
        p.drive,
        lambda d, x: Implies(
            And(p.tx_is(s, "PREPARE ROLLBACK"), s.js[d] == p.job.CREATED, p.m.less(x, d)),
            s.js[x] == p.job.CREATED,
        ),
    )


@each_step(shown_by=[seen.a_transaction_fails_late])
@cites("TX-ABORT-1")
def a_failed_action_fails_the_transaction(p: Backup, s: State, t: State) -> Term:
    """From rollback there is no way but to failure, and from there to another transaction."""
    return And(
        Implies(p.tx_is(s, "ROLLBACK"), p.tx_is(t, "ROLLBACK FAILED DEAD")),
        Implies(p.tx_is(s, "FAILED"), p.tx_is(t, "FAILED IDLE DEAD")),
    )


@always(shown_by=[seen.an_earlier_backup_survives_a_failure])
@cites("TX-FAIL-1", "TX-KEEP-1", "TX-DETACH-1")
def failure_keeps_targets(p: Backup, s: State) -> Term:
    """Until the first commit, and for ever after a failure, every target is as it was."""
    return clusters(
        p,
        lambda d, c: Implies(
            p.tx_is(s, "IDLE PREPARE ROLLBACK FAILED"), s.tgt[d, c] == s.old[d, c]
        ),
    )


@always(shown_by=[seen.a_guest_writes_after_a_failure])
@cites("TX-FAIL-2", "TX-FAIL-4", "TX-RELEASE-1")
def failure_leaves_nothing(p: Backup, s: State) -> Term:
    """After a failure no drive has a job, and none is drained."""
    return p.every(
        lambda d: Implies(p.tx_is(s, "FAILED"), And(s.js[d] == p.job.NONE, Not(s.drained[d])))
    )


@always(shown_by=[seen.a_transaction_fails_late])
@cites("TX-FAIL-3")
def no_event_without_start(p: Backup, s: State) -> Term:
    """A job has a final event only in a transaction that was committed."""
    return p.every(
        lambda d: Implies(s.final[d] != p.event.NO_EVENT, p.tx_is(s, "COMMIT DONE DEAD"))
    )


@always("busy", shown_by=[seen.a_busy_drive_is_refused])
@cites("ARG-BUSY-1")
def one_job_for_each_drive(p: Backup, s: State) -> Term:
    """A drive with a job of another command gets none of the transaction."""
    return p.every(lambda d: Not(And(s.busy[d], p.active(s, d))))


@always("snapshot", shown_by=[seen.a_snapshot_differs_from_its_drive])
@cites("SNAPSHOT-TX-1")
def snapshots_share_the_cut(p: Backup, s: State) -> Term:
    """What a snapshot froze is the cut of the backups; without success there is none."""
    return And(
        clusters(p, lambda d, c: Implies(s.snapped[d], s.snap[d, c] == s.cut[d, c])),
        p.every(lambda d: Implies(s.snapped[d], p.tx_is(s, "COMMIT DONE DEAD"))),
        p.every(lambda d: Implies(p.tx_is(s, "DONE"), s.snapped[d])),
    )


@each_step(
    "disconnect", "reconnect", "set_speed", shown_by=[seen.a_job_runs_while_its_client_is_away]
)
@cites("JOB-END-1")
def a_client_that_goes_changes_nothing(p: Backup, s: State, t: State) -> Term:
    """Transaction, jobs and targets do not depend on the connection, nor on a job's rate."""
    return And(
        t.tx == s.tx,
        p.every(lambda d: And(t.js[d] == s.js[d], t.final[d] == s.final[d])),
        clusters(p, lambda d, c: t.tgt[d, c] == s.tgt[d, c]),
    )


@each_step("die", "restart", needs=("dies",), shown_by=[seen.a_backup_survives_the_process])
@cites("EV-SOURCE-1", "JOB-FREE-1")
def a_death_changes_no_disk(p: Backup, s: State, t: State) -> Term:
    """When the process ends, and when a new one begins, drives and targets are as they were."""
    return clusters(p, lambda d, c: And(t.src[d, c] == s.src[d, c], t.tgt[d, c] == s.tgt[d, c]))


@always(implied=True, shown_by=[seen.a_drain_waits_for_a_write])
@cites("TX-RELEASE-1")
def a_preparing_transaction_can_go_on(p: Backup, s: State) -> Term:
    """The first drive without a job has a step, or a guest's write that is in flight and ends.

    That there is a first one, of finitely many drives, is beyond first-order logic, and taken so.
    """

    def goes_on(d: Term) -> Term:
        steps = [enabled(p, s, name, d) for name in ("drain", "prepare", "find_busy")]
        return Or(*steps, And(s.drained[d], Not(p.quiet(s, d))))

    def turn(d: Term) -> Term:
        return And(s.js[d] == p.job.NONE, p.earlier(d, lambda x: s.js[x] != p.job.NONE))

    return p.every(lambda d: Implies(And(p.tx_is(s, "PREPARE"), turn(d)), goes_on(d)))


@always(
    implied=True, shown_by=[seen.a_transaction_fails_late, seen.one_runs_while_the_other_is_drained]
)
@cites("TX-RELEASE-1")
def a_settling_transaction_can_go_on(p: Backup, s: State) -> Term:
    """The first created job is committed, or the last one taken back; then drives are released."""
    created, none_created = p.job.CREATED, p.none_created(s)
    prepared = And(p.tx_is(s, "PREPARE"), p.every(lambda x: s.js[x] != p.job.NONE))

    def case(d: Term) -> Term:
        first = And(s.js[d] == created, p.earlier(d, lambda x: s.js[x] != created))
        last = p.every(lambda x: Implies(p.m.less(d, x), s.js[x] != created))
        drained = And(s.drained[d], p.earlier(d, lambda x: Not(s.drained[x])))
        return And(
            Implies(And(Or(prepared, p.tx_is(s, "COMMIT")), first), enabled(p, s, "commit", d)),
            Implies(
                And(p.tx_is(s, "ROLLBACK"), s.js[d] == created, last), enabled(p, s, "rollback", d)
            ),
            Implies(
                And(p.tx_is(s, "COMMIT ROLLBACK"), none_created, drained),
                Or(enabled(p, s, "undrain", d), _more_is_due(p, s)),
            ),
            _bitmap_goes_back(p, s, d),
        )

    released = And(none_created, p.every(lambda d: Not(s.drained[d])))
    answered = Or(enabled(p, s, "reply"), enabled(p, s, "refuse"))
    answer = Implies(And(p.tx_is(s, "COMMIT ROLLBACK"), released), answered)
    return And(p.every(case), answer)


def _more_is_due(p: Backup, s: State) -> Term:
    """A snapshot is still to be taken, a bitmap to be cleared or taken back; the first may be."""
    more = Not(And(list(p.extras(s).values())))
    if not p.options.changes:
        return more
    changed = p.m.any(p.drive, lambda d: Not(p.unchanged(s, d)))
    return Or(more, And(p.tx_is(s, "ROLLBACK"), changed))


def _bitmap_goes_back(p: Backup, s: State, d: Term) -> Term:
    """The last bitmap that was changed is taken back in a rollback."""
    if not p.options.changes:
        return BoolVal(True)
    last = p.every(lambda x: Implies(p.m.less(d, x), p.unchanged(s, x)))
    due = And(p.tx_is(s, "ROLLBACK"), Not(p.unchanged(s, d)), last)
    return Implies(due, enabled(p, s, "rollback_bitmap", d))
