"""What the protocol promises, each claim with the clauses that it is the model's reading of.

A *state* claim holds in every reachable state. A *step* claim holds of every step from `s` to `t`;
if it names actions it speaks of those only. A *witness* is a state that must be reachable, so that
no claim holds for want of the interesting case.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from z3 import And, BoolVal, Implies, Not, Or

from cleancut_model.backup import Backup
from cleancut_model.language import Action, State, Term
from cleancut_spec import cites
from cleancut_spec.jobs import FOLLOWS, Status

StateClaim = Callable[[Backup, State], Term]
StepClaim = Callable[[Backup, State, State], Term]


@dataclass(frozen=True, slots=True)
class Step:
    """A claim about steps; `of` names the actions that it speaks of, none means all."""

    claim: StepClaim
    of: tuple[str, ...] = ()


STATES: Final[dict[str, StateClaim]] = {}
STEPS: Final[dict[str, Step]] = {}
WITNESSES: Final[dict[str, StateClaim]] = {}


def always(claim: StateClaim) -> StateClaim:
    """Register a state claim."""
    STATES[claim.__name__] = claim
    return claim


def each_step(*of: str) -> Callable[[StepClaim], StepClaim]:
    """Register a step claim."""

    def register(claim: StepClaim) -> StepClaim:
        STEPS[claim.__name__] = Step(claim, of)
        return claim

    return register


def sometimes(claim: StateClaim) -> StateClaim:
    """Register a witness."""
    WITNESSES[claim.__name__] = claim
    return claim


def _clusters(p: Backup, body: Callable[[Term, Term], Term]) -> Term:
    return p.m.all(p.drive, p.cluster, body)


def _tx(p: Backup, s: State, names: str) -> Term:
    return p.is_in(s.tx, p.tx, names)


# ---- the transaction


@always
@cites("TX-ATOMIC-1")
def all_or_nothing(p: Backup, s: State) -> Term:
    """After success every job has started; after failure there is none, and never was an event."""
    return p.every(
        lambda d: And(
            Implies(_tx(p, s, "DONE"), Not(p.job_is(s, d, "NONE CREATED"))),
            Implies(
                _tx(p, s, "FAILED"),
                And(s.js[d] == p.job.NONE, s.final[d] == p.event.NO_EVENT),
            ),
        )
    )


@always
@cites("TX-ATOMIC-2")
def none_runs_before_all_are_prepared(p: Backup, s: State) -> Term:
    """If any job has started, every action has been prepared."""
    return p.m.all(
        p.drive,
        p.drive,
        lambda d, x: Implies(p.started(s, d), s.js[x] != p.job.NONE),
    )


@always
@cites("TX-ORDER-1")
def prepared_in_order(p: Backup, s: State) -> Term:
    """While actions are prepared, those before a prepared one are prepared, too."""
    return p.m.all(
        p.drive,
        p.drive,
        lambda d, x: Implies(
            And(_tx(p, s, "PREPARE ROLLBACK"), s.js[d] == p.job.CREATED, p.m.less(x, d)),
            s.js[x] == p.job.CREATED,
        ),
    )


@each_step()
@cites("TX-ABORT-1")
def a_failed_action_fails_the_transaction(p: Backup, s: State, t: State) -> Term:
    """From rollback there is no way but to failure."""
    return And(
        Implies(_tx(p, s, "ROLLBACK"), _tx(p, t, "ROLLBACK FAILED")),
        Implies(_tx(p, s, "FAILED"), _tx(p, t, "FAILED")),
    )


@always
@cites("TX-FAIL-1", "TX-KEEP-1", "TX-DETACH-1")
def failure_keeps_targets(p: Backup, s: State) -> Term:
    """Until the first commit, and for ever after a failure, every target is as it was."""
    return _clusters(
        p,
        lambda d, c: Implies(_tx(p, s, "IDLE PREPARE ROLLBACK FAILED"), s.tgt[d, c] == s.old[d, c]),
    )


@always
@cites("TX-FAIL-2", "TX-FAIL-4", "TX-RELEASE-1")
def failure_leaves_nothing(p: Backup, s: State) -> Term:
    """After a failure no drive has a job, and none is drained."""
    return p.every(
        lambda d: Implies(_tx(p, s, "FAILED"), And(s.js[d] == p.job.NONE, Not(s.drained[d])))
    )


@always
@cites("TX-FAIL-3")
def no_event_without_start(p: Backup, s: State) -> Term:
    """A job has a final event only in a transaction that was committed."""
    return p.every(lambda d: Implies(s.final[d] != p.event.NO_EVENT, _tx(p, s, "COMMIT DONE")))


# ---- point in time


@always
@cites("PIT-ONE-1", "PIT-ALL-1")
def completed_backups_share_the_cut(p: Backup, s: State) -> Term:
    """Each completed target equals its drive at the one instant of the first commit.

    No action makes the cut: the drives are drained, committed and released one by one.
    """
    return _clusters(
        p,
        lambda d, c: Implies(s.final[d] == p.event.COMPLETED, s.tgt[d, c] == s.cut[d, c]),
    )


@each_step("commit")
@cites("PIT-BEFORE-1")
def the_cut_holds_what_was_written_before(p: Backup, s: State, t: State) -> Term:
    """At the first commit the cut is what each drive holds then."""
    return _clusters(p, lambda d, c: Implies(_tx(p, s, "PREPARE"), t.cut[d, c] == s.src[d, c]))


@each_step()
@cites("PIT-AFTER-1", "PIT-ALL-1")
def the_cut_does_not_move(p: Backup, s: State, t: State) -> Term:
    """After the first commit no write changes the cut."""
    return _clusters(p, lambda d, c: Implies(_tx(p, s, "COMMIT DONE"), t.cut[d, c] == s.cut[d, c]))


@always
@cites("CBW-COPY-1")
def old_data_is_somewhere(p: Backup, s: State) -> Term:
    """Where a started job's drive has left the cut, the target holds it."""
    return _clusters(
        p,
        lambda d, c: Implies(
            And(p.started(s, d), s.src[d, c] != s.cut[d, c]), s.tgt[d, c] == s.cut[d, c]
        ),
    )


@always
@cites("CBW-PAUSE-1")
def a_paused_job_keeps_the_cut(p: Backup, s: State) -> Term:
    """The same of a job that is paused or pending: its filter does not rest."""
    return _clusters(
        p,
        lambda d, c: Implies(
            And(p.job_is(s, d, "PAUSED PENDING"), Not(s.copied[d, c])),
            s.src[d, c] == s.cut[d, c],
        ),
    )


@each_step()
@cites("CBW-ONCE-1")
def a_copied_cluster_is_left_alone(p: Backup, s: State, t: State) -> Term:
    """No step changes a cluster of the target that has been copied."""
    return _clusters(p, lambda d, c: Implies(s.copied[d, c], t.tgt[d, c] == s.tgt[d, c]))


@always
@cites("CBW-OVERLAP-1")
def requests_take_turns(p: Backup, s: State) -> Term:
    """No guest write and background copy hold one cluster at once."""
    return p.every(
        lambda d: Not(
            And(
                s.b[d] != p.copy.B_IDLE,
                p.guest_is(s, d, "CBW_READ CBW_WRITE WRITING"),
                s.bc[d] == s.gc[d],
            )
        )
    )


@each_step("fail_cbw_read", "fail_cbw_write")
@cites("CBW-ERROR-1")
def a_refused_write_changes_nothing(p: Backup, s: State, t: State) -> Term:
    """When copy-before-write fails, drive, target and job are as before."""
    return And(
        _clusters(
            p,
            lambda d, c: And(
                t.src[d, c] == s.src[d, c],
                t.tgt[d, c] == s.tgt[d, c],
                t.copied[d, c] == s.copied[d, c],
            ),
        ),
        p.every(lambda d: t.js[d] == s.js[d]),
    )


@each_step()
@cites("GUEST-WRITE-1", "EV-SOURCE-1")
def only_guest_writes_change_a_drive(p: Backup, s: State, t: State) -> Term:
    """A drive changes only where its guest's own write ends, and to what that wrote."""
    return _clusters(
        p,
        lambda d, c: Or(
            t.src[d, c] == s.src[d, c],
            And(
                s.g[d] == p.guest.WRITING,
                t.g[d] == p.guest.G_IDLE,
                s.gc[d] == c,
                t.src[d, c] == s.gv[d],
            ),
        ),
    )


@each_step("guest_done")
@cites("GUEST-WRITE-1")
def an_ended_write_is_on_the_drive(p: Backup, s: State, t: State) -> Term:
    """A guest write that ends well is what the drive holds."""
    return p.every(
        lambda d: Implies(
            And(s.g[d] == p.guest.WRITING, t.g[d] == p.guest.G_IDLE),
            t.src[d, s.gc[d]] == s.gv[d],
        )
    )


@always
@cites("GUEST-LIVE-1")
def a_guest_request_can_go_on(p: Backup, s: State) -> Term:
    """Unless its drive is drained, a guest's request has a step, or the copy it waits for has."""
    return p.every(
        lambda d: Implies(
            And(s.g[d] != p.guest.G_IDLE, Or(Not(s.drained[d]), Not(p.quiet(s, d)))),
            Or(
                *[enabled(p, s, name, d) for name in ("guest_start", "cbw_claim", "guest_done")],
                *[enabled(p, s, name, d, s.gc[d]) for name in ("cbw_read", "cbw_write")],
                *[enabled(p, s, name, d, s.bc[d]) for name in ("copy_read", "copy_write")],
            ),
        )
    )


@always
@cites("TX-RELEASE-1", "GUEST-LIVE-1")
def a_drain_ends(p: Backup, s: State) -> Term:
    """A drive is drained only while its transaction is under way."""
    return p.every(lambda d: Implies(s.drained[d], _tx(p, s, "PREPARE ROLLBACK COMMIT")))


# ---- jobs


@always
@cites("JOB-END-1")
def a_running_job_can_go_on(p: Backup, s: State) -> Term:
    """A running job whose drive is not drained has a step, or a guest request it waits for has."""
    return p.every(
        lambda d: Implies(
            And(s.js[d] == p.job.RUNNING, Not(s.drained[d])),
            Or(
                p.in_cbw(s, d),
                enabled(p, s, "copy_read", d, s.bc[d]),
                enabled(p, s, "copy_write", d, s.bc[d]),
                enabled(p, s, "finish", d),
                p.m.any(p.cluster, lambda c: enabled(p, s, "copy_claim", d, c)),
                s.g[d] == p.guest.WRITING,
            ),
        )
    )


@always
@cites("JOB-LIST-1", "EV-FINAL-1", "EV-FINAL-2")
def one_final_event(p: Backup, s: State) -> Term:
    """A job is gone exactly when it has had its one final event, which tells whether it failed."""
    return p.every(
        lambda d: And(
            s.final[d] != p.event.TWICE,
            (s.final[d] != p.event.NO_EVENT) == (s.js[d] == p.job.GONE),
            Implies(s.js[d] == p.job.GONE, (s.final[d] == p.event.FAILED) == s.error[d]),
        )
    )


@each_step()
@cites("JOB-LIST-1", "JOB-FREE-1", "EV-LAST-1")
def what_is_gone_is_gone(p: Backup, s: State, t: State) -> Term:
    """Once a job is gone it stays so: no further event, and its target does not change."""
    return And(
        p.every(
            lambda d: Implies(
                s.js[d] == p.job.GONE,
                And(t.js[d] == p.job.GONE, t.final[d] == s.final[d], Not(t.drained[d])),
            )
        ),
        _clusters(p, lambda d, c: Implies(s.js[d] == p.job.GONE, t.tgt[d, c] == s.tgt[d, c])),
    )


#: The statuses that each state of the model's job stands for, first and last.
STATUS: Final[dict[str, Status]] = {
    "NONE": Status.UNDEFINED,
    "CREATED": Status.CREATED,
    "RUNNING": Status.RUNNING,
    "PAUSED": Status.PAUSED,
    "PENDING": Status.PENDING,
    "ABORTING": Status.ABORTING,
    "GONE": Status.NULL,
}

#: Statuses that a job passes through within one step of the model.
PASSING: Final = frozenset(
    {Status.RUNNING, Status.WAITING, Status.ABORTING, Status.CONCLUDED, Status.PAUSED}
)


def follows(before: str, after: str) -> bool:
    """Whether the status table has a way from one state of the model's job to another."""
    start, goal = STATUS[before], STATUS[after]
    if before == "CREATED" and after == "NONE":  # taken back: the name is free again
        goal = Status.NULL
    found, todo = set(), [start]
    while todo:
        for status in FOLLOWS[todo.pop()]:
            if status == goal:
                return True
            if status in PASSING and status not in found:
                found.add(status)
                todo.append(status)
    return False


@each_step()
@cites("JOB-STATUS-1")
def status_follows_the_table(p: Backup, s: State, t: State) -> Term:
    """Each change of a job is a way through the job-status table."""
    pairs = [(a, b) for a in p.job.names for b in p.job.names if a == b or follows(a, b)]
    return p.every(
        lambda d: Or(
            [And(s.js[d] == getattr(p.job, a), t.js[d] == getattr(p.job, b)) for a, b in pairs]
        )
    )


@each_step()
@cites("JOB-PAUSE-1")
def a_paused_job_takes_nothing_new(p: Backup, s: State, t: State) -> Term:
    """A paused job with nothing in flight starts no copy."""
    return p.every(
        lambda d: Implies(
            And(s.js[d] == p.job.PAUSED, s.b[d] == p.copy.B_IDLE), t.b[d] == p.copy.B_IDLE
        )
    )


@each_step("resume")
@cites("JOB-RESUME-1", "POLICY-STOP-1")
def resume_goes_on_where_it_stood(p: Backup, s: State, t: State) -> Term:
    """Resume makes a paused job run, and keeps what was copied."""
    return And(
        p.every(lambda d: Or(t.js[d] == s.js[d], t.js[d] == p.job.RUNNING)),
        _clusters(p, lambda d, c: t.copied[d, c] == s.copied[d, c]),
    )


@each_step()
@cites("JOB-CANCEL-1")
def a_cancelled_job_ends_cancelled(p: Backup, s: State, t: State) -> Term:
    """A job that ends without an error of its own, once told to, has been cancelled."""
    return p.every(
        lambda d: Implies(
            And(s.js[d] == p.job.ABORTING, Not(s.error[d])),
            Or(
                And(t.js[d] == p.job.ABORTING, Not(t.error[d])),
                And(t.js[d] == p.job.GONE, t.final[d] == p.event.CANCELLED),
            ),
        )
    )


@each_step("cancel")
@cites("JOB-CANCEL-2")
def a_paused_job_needs_force(p: Backup, s: State, t: State) -> Term:
    """Plain cancel leaves a paused job as it is."""
    return p.every(lambda d: Implies(s.js[d] == p.job.PAUSED, t.js[d] == p.job.PAUSED))


# ---- errors of the background copy

_FAILS: Final = ("fail_copy_read", "fail_copy_write")


def _on_failure(p: Backup, s: State, t: State, d: Term, states: str, error: bool) -> Term:
    """What a failed copy does to a job that has not ended or been told to."""
    hit = And(p.job_is(s, d, "RUNNING PAUSED"), s.b[d] != t.b[d])
    return Implies(hit, And(p.job_is(t, d, states), t.error[d] == BoolVal(error)))


@each_step(*_FAILS)
@cites("POLICY-REPORT-1")
def report_ends_the_job(p: Backup, s: State, t: State) -> Term:
    """Under report an error ends the job with that error."""
    if p.options.policy != "report":
        return BoolVal(True)
    return p.every(lambda d: _on_failure(p, s, t, d, "ABORTING", True))


@each_step(*_FAILS)
@cites("POLICY-IGNORE-1")
def ignore_leaves_no_hole(p: Backup, s: State, t: State) -> Term:
    """Under every policy the cluster stays to be copied; under ignore the job goes on."""
    kept = _clusters(p, lambda d, c: t.copied[d, c] == s.copied[d, c])
    if p.options.policy != "ignore":
        return kept
    return And(kept, p.every(lambda d: t.js[d] == s.js[d]))


@each_step(*_FAILS)
@cites("POLICY-STOP-1")
def stop_pauses_the_job(p: Backup, s: State, t: State) -> Term:
    """Under stop an error pauses the job."""
    if p.options.policy != "stop":
        return BoolVal(True)
    return p.every(lambda d: _on_failure(p, s, t, d, "PAUSED", False))


@each_step(*_FAILS)
@cites("POLICY-ENOSPC-1")
def enospc_stops_or_reports(p: Backup, s: State, t: State) -> Term:
    """Under enospc an error pauses the job or ends it, and ends it only as failed."""
    if p.options.policy != "enospc":
        return BoolVal(True)
    return p.every(
        lambda d: Or(
            _on_failure(p, s, t, d, "PAUSED", False), _on_failure(p, s, t, d, "ABORTING", True)
        )
    )


# ---- how runs end, and what must be reachable


def ended(p: Backup, s: State) -> Term:
    """Where a run may stop: the transaction is over, no job is left, no guest waits."""
    jobs = p.every(lambda d: p.job_is(s, d, "NONE GONE"))
    guests = p.every(lambda d: s.g[d] == p.guest.G_IDLE)
    return And(_tx(p, s, "DONE FAILED"), jobs, guests)


@sometimes
def both_complete(p: Backup, s: State) -> Term:
    """Every backup completes."""
    return p.every(lambda d: s.final[d] == p.event.COMPLETED)


@sometimes
def a_transaction_fails_late(p: Backup, s: State) -> Term:
    """A transaction fails when some action has been prepared."""
    created = p.m.any(p.drive, lambda d: s.js[d] == p.job.CREATED)
    return And(_tx(p, s, "ROLLBACK"), created)


@sometimes
def a_guest_waits_for_a_drain(p: Backup, s: State) -> Term:
    """A guest's write waits for the end of the drain."""
    return p.m.any(
        p.drive, lambda d: And(s.drained[d], s.g[d] == p.guest.ARRIVED, _tx(p, s, "COMMIT"))
    )


@sometimes
def a_drive_leaves_the_cut(p: Backup, s: State) -> Term:
    """A guest changes a drive while its job still copies."""
    return p.m.any(
        p.drive,
        p.cluster,
        lambda d, c: And(s.js[d] == p.job.RUNNING, s.src[d, c] != s.cut[d, c]),
    )


@sometimes
def one_runs_while_the_other_is_drained(p: Backup, s: State) -> Term:
    """A job copies while another drive of its transaction is still drained."""
    return p.m.any(p.drive, p.drive, lambda d, x: And(s.b[d] == p.copy.READ, s.drained[x]))


def enabled(p: Backup, s: State, name: str, *arguments: Term) -> Term:
    """Whether an action is possible, errors left aside."""
    found = next(action for action in p.m.actions if action.name == name)
    return _guard(found, s, arguments)


def _guard(action: Action, s: State, arguments: tuple[Term, ...]) -> Term:
    probe = State(s.fields, s.read)
    action.body(probe, **dict(zip(action.parameters, arguments, strict=True)))
    return And(list(probe.guards.values()))
