"""The life of a job, and what an error does to it."""

from typing import Final

from z3 import And, BoolVal, Implies, Not, Or

from cleancut_model.backup import Backup
from cleancut_model.language import State, Term
from cleancut_model.properties.registry import (
    always,
    clusters,
    each_step,
    enabled,
)
from cleancut_spec import cites
from cleancut_spec.jobs import FOLLOWS, Status


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
        clusters(p, lambda d, c: Implies(s.js[d] == p.job.GONE, t.tgt[d, c] == s.tgt[d, c])),
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
    ways = {a: [b for b in p.job.names if a == b or follows(a, b)] for a in p.job.names}
    return p.every(
        lambda d: Or(
            t.js[d] == s.js[d],
            *[And(p.job_is(s, d, a), p.job_is(t, d, " ".join(b))) for a, b in ways.items()],
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
        clusters(p, lambda d, c: t.copied[d, c] == s.copied[d, c]),
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
    kept = clusters(p, lambda d, c: t.copied[d, c] == s.copied[d, c])
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
