"""The life of a job, and what an error does to it."""

from typing import Final

from z3 import BoolVal, If

from cleancut_model.backup import Backup
from cleancut_model.language import State, Term
from cleancut_model.properties import witnesses as seen
from cleancut_model.properties.registry import (
    always,
    clusters,
    dead,
    each_step,
    enabled,
    forgotten,
)
from cleancut_model.terms import And, Implies, Not, Or
from cleancut_spec import cites
from cleancut_spec.jobs import FOLLOWS, Status


@always("ends", implied=True, shown_by=[seen.a_copy_waits_for_a_write])
@cites("JOB-END-1")
def a_running_job_can_go_on(p: Backup, s: State) -> Term:
    """A running job whose drive is not drained has a step, or a guest request it waits for has."""
    return p.every(
        lambda d: Implies(
            And(s.js[d] == p.job.RUNNING, Not(s.drained[d])),
            Or(
                enabled(p, s, "finish", d),
                p.m.any(p.worker, lambda w: _copy_goes_on(p, s, d, w)),
                p.m.any(p.request, lambda r: p.guest_is(s, d, r, "CBW_READ CBW_WRITE WRITING")),
            ),
        )
    )


def _copy_goes_on(p: Backup, s: State, d: Term, w: Term) -> Term:
    return Or(
        enabled(p, s, "copy_read", d, w, s.bc[d, w]),
        enabled(p, s, "copy_write", d, w, s.bc[d, w]),
        p.m.any(p.cluster, lambda c: enabled(p, s, "copy_claim", d, w, c)),
    )


@always(implied=True, shown_by=[seen.a_job_ends_with_requests_in_flight])
@cites("JOB-END-1")
def what_is_pending_or_aborting_can_end(p: Backup, s: State) -> Term:
    """A job that has nothing left to copy ends, or waits for its group, its drain or the client."""
    group = enabled(p, s, "group_cancel")
    return p.every(
        lambda d: And(
            Implies(
                s.js[d] == p.job.PENDING,
                Or(
                    enabled(p, s, "complete", d),
                    enabled(p, s, "group_complete"),
                    group,
                    BoolVal(p.options.manual),
                ),
            ),
            Implies(
                And(s.js[d] == p.job.ABORTING, Not(s.drained[d]), p.at_rest(s, d)),
                Or(enabled(p, s, "abort", d), group, p.m.any(p.drive, lambda x: s.drained[x])),
            ),
        )
    )


@always(shown_by=[seen.both_complete, seen.a_job_fails, seen.a_job_is_cancelled])
@cites("JOB-LIST-1", "EV-FINAL-1", "EV-FINAL-2")
def one_final_event(p: Backup, s: State) -> Term:
    """A job is over exactly when it has had its one final event, which tells whether it failed."""
    return p.every(
        lambda d: And(
            s.final[d] != p.event.TWICE,
            Or(dead(p, s), (s.final[d] != p.event.NO_EVENT) == p.over(s, d)),
            Implies(p.over(s, d), (s.final[d] == p.event.FAILED) == s.error[d]),
        )
    )


@each_step(shown_by=[seen.a_drive_is_written_after_its_job])
@cites("JOB-LIST-1", "JOB-FREE-1", "EV-LAST-1")
def what_is_gone_is_gone(p: Backup, s: State, t: State) -> Term:
    """Once a job is over it stays so: no further event, and its target does not change.

    The next transaction, or the end of the process, forgets it.
    """

    def stays(d: Term) -> Term:
        return And(
            t.final[d] == s.final[d],
            Not(t.drained[d]),
            Or(t.js[d] == s.js[d], t.js[d] == p.job.GONE),
        )

    return And(
        p.every(lambda d: Implies(p.over(s, d), Or(forgotten(p, t), stays(d)))),
        clusters(p, lambda d, c: Implies(p.over(s, d), t.tgt[d, c] == s.tgt[d, c])),
    )


@each_step(
    but=("finalize", "cancel", "force_cancel", "group_cancel", "die"),
    needs=("manual",),
    shown_by=[seen.a_guest_writes_while_a_job_is_pending],
)
@cites("JOB-MANUAL-1")
def a_pending_job_waits_for_the_client(p: Backup, s: State, t: State) -> Term:
    """A job that is to be finalized by hand stays pending until it is, or is cancelled."""
    return p.every(lambda d: Implies(p.job_is(s, d, "PENDING"), p.job_is(t, d, "PENDING")))


@each_step(needs=("manual",), shown_by=[seen.a_result_waits_for_the_client])
@cites("JOB-MANUAL-2", "JOB-LIST-1")
def a_concluded_job_waits_for_the_client(p: Backup, s: State, t: State) -> Term:
    """A job that is to be dismissed by hand is concluded before it is gone."""
    return p.every(
        lambda d: Implies(
            And(t.js[d] == p.job.GONE, s.js[d] != p.job.GONE), p.job_is(s, d, "CONCLUDED")
        )
    )


@always("grouped", shown_by=[seen.one_waits_for_its_group, seen.one_takes_the_others_with_it])
@cites("TX-GROUP-1")
def a_group_ends_as_one(p: Backup, s: State) -> Term:
    """If one job of a group completes, all do."""
    return p.m.all(
        p.drive,
        p.drive,
        lambda d, x: Implies(s.final[d] == p.event.COMPLETED, s.final[x] == p.event.COMPLETED),
    )


@always("grouped", shown_by=[seen.one_takes_the_others_with_it])
@cites("TX-GROUP-2")
def one_of_a_group_is_to_blame(p: Backup, s: State) -> Term:
    """At most one job of a group ends with an error: the others are cancelled."""
    return p.m.all(p.drive, p.drive, lambda d, x: Not(And(d != x, s.error[d], s.error[x])))


#: The statuses that each state of the model's job stands for, first and last.
STATUS: Final[dict[str, Status]] = {
    "NONE": Status.UNDEFINED,
    "CREATED": Status.CREATED,
    "RUNNING": Status.RUNNING,
    "PAUSED": Status.PAUSED,
    "WAITING": Status.WAITING,
    "PENDING": Status.PENDING,
    "ABORTING": Status.ABORTING,
    "CONCLUDED": Status.CONCLUDED,
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


@each_step(shown_by=[seen.both_complete, seen.a_job_is_cancelled])
@cites("JOB-STATUS-1")
def status_follows_the_table(p: Backup, s: State, t: State) -> Term:
    """Each change of a job is a way through the job-status table, as long as the process lives."""
    ways = {a: [b for b in p.job.names if a == b or follows(a, b)] for a in p.job.names}
    return p.every(
        lambda d: Or(
            t.js[d] == s.js[d],
            forgotten(p, t),
            *[And(p.job_is(s, d, a), p.job_is(t, d, " ".join(b))) for a, b in ways.items()],
        )
    )


@each_step(shown_by=[seen.a_paused_job_has_more_to_copy])
@cites("JOB-PAUSE-1")
def a_paused_job_takes_nothing_new(p: Backup, s: State, t: State) -> Term:
    """A paused job with nothing in flight starts no copy."""
    return p.every(
        lambda d: Implies(
            s.js[d] == p.job.PAUSED,
            p.each_worker(
                lambda w: Implies(s.b[d, w] == p.copy.B_IDLE, t.b[d, w] == p.copy.B_IDLE)
            ),
        )
    )


#: What a client asks of a job.
COMMANDS: Final = ("pause", "resume", "cancel", "force_cancel", "set_speed", "finalize", "dismiss")


@each_step("resume", shown_by=[seen.a_paused_job_has_copied])
@cites("JOB-RESUME-1", "POLICY-STOP-1")
def resume_goes_on_where_it_stood(p: Backup, s: State, t: State) -> Term:
    """Resume makes a paused job run, and keeps what was copied."""
    return And(
        p.every(lambda d: Or(t.js[d] == s.js[d], t.js[d] == p.job.RUNNING)),
        clusters(p, lambda d, c: t.copied[d, c] == s.copied[d, c]),
    )


@each_step(shown_by=[seen.a_job_is_cancelled, seen.a_job_ends_with_requests_in_flight])
@cites("JOB-CANCEL-1")
def a_cancelled_job_ends_cancelled(p: Backup, s: State, t: State) -> Term:
    """A job that ends without an error of its own, once told to, has been cancelled."""
    return p.every(
        lambda d: Implies(
            And(s.js[d] == p.job.ABORTING, Not(s.error[d])),
            Or(
                And(t.js[d] == p.job.ABORTING, Not(t.error[d])),
                And(p.over(t, d), t.final[d] == p.event.CANCELLED),
                dead(p, t),
            ),
        )
    )


@each_step(*COMMANDS, shown_by=[seen.a_job_is_cancelled, seen.a_paused_job_has_more_to_copy])
@cites("JOB-CANCEL-1", "JOB-PAUSE-1", "JOB-RESUME-1")
def a_command_is_no_error(p: Backup, s: State, t: State) -> Term:
    """A job has not failed by what its client asks of it."""
    return p.every(lambda d: t.error[d] == s.error[d])


@each_step("cancel", shown_by=[seen.a_paused_job_has_more_to_copy])
@cites("JOB-CANCEL-2")
def a_paused_job_needs_force(p: Backup, s: State, t: State) -> Term:
    """Plain cancel leaves a paused job as it is."""
    return p.every(lambda d: Implies(s.js[d] == p.job.PAUSED, t.js[d] == p.job.PAUSED))


# ---- errors of the background copy

_FAILS: Final = ("fail_copy_read", "fail_copy_write")


def _fails_under(p: Backup, s: State, t: State, d: Term, policy: str) -> Term:
    """A copy of a job that has not ended fails, and this is the policy of its side."""
    sides = zip((p.copy.READ, p.copy.WRITE), p.options.policies, strict=True)
    phases = [phase for phase, of_side in sides if of_side == policy]

    def failed(w: Term) -> Term:
        return And(s.b[d, w] != t.b[d, w], Or([s.b[d, w] == phase for phase in phases]))

    return And(p.job_is(s, d, "RUNNING PAUSED"), p.m.any(p.worker, failed))


def _pauses(p: Backup, t: State, d: Term) -> Term:
    return And(p.job_is(t, d, "PAUSED"), Not(t.error[d]))


def _ends(p: Backup, s: State, t: State, d: Term) -> Term:
    """The job ends with that error, or as one of a group that ends already."""
    return And(p.job_is(t, d, "ABORTING"), t.error[d] == p.to_blame(s))


@each_step(*_FAILS, needs=("policies=report",), shown_by=[seen.a_job_fails])
@cites("POLICY-REPORT-1")
def report_ends_the_job(p: Backup, s: State, t: State) -> Term:
    """Under report an error ends the job with that error."""
    return p.every(lambda d: Implies(_fails_under(p, s, t, d, "report"), _ends(p, s, t, d)))


@each_step(*_FAILS, shown_by=[seen.an_error_is_ignored])
@cites("POLICY-IGNORE-1")
def ignore_leaves_no_hole(p: Backup, s: State, t: State) -> Term:
    """Under every policy the cluster stays to be copied; under ignore the job goes on."""

    def goes_on(d: Term) -> Term:
        same = And(t.js[d] == s.js[d], t.error[d] == s.error[d])
        return Implies(_fails_under(p, s, t, d, "ignore"), same)

    kept = clusters(p, lambda d, c: t.copied[d, c] == s.copied[d, c])
    return And(kept, p.every(goes_on))


@each_step(*_FAILS, needs=("policies=stop",), shown_by=[seen.an_error_pauses_a_job])
@cites("POLICY-STOP-1")
def stop_pauses_the_job(p: Backup, s: State, t: State) -> Term:
    """Under stop an error pauses the job."""
    return p.every(lambda d: Implies(_fails_under(p, s, t, d, "stop"), _pauses(p, t, d)))


@each_step(
    *_FAILS, needs=("policies=enospc",), shown_by=[seen.an_error_pauses_a_job, seen.a_job_fails]
)
@cites("POLICY-ENOSPC-1")
def enospc_stops_or_reports(p: Backup, s: State, t: State, e: Term) -> Term:
    """Under enospc, ENOSPC pauses the job, and any other error ends it with that error."""
    return p.every(
        lambda d: Implies(
            _fails_under(p, s, t, d, "enospc"),
            If(p.no_space(e), _pauses(p, t, d), _ends(p, s, t, d)),
        )
    )
