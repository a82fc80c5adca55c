"""Bugs of jobs: policies, the client's commands, how jobs end."""

from typing import Final

from z3 import If

from cleancut_model.backup import Backup
from cleancut_model.bugs.bug import ALL, Bug
from cleancut_model.language import Mutation, State, Term
from cleancut_model.terms import Not, Or


def _ends_at_once(p: Backup, s: State, d: Term) -> None:
    p.succeed(s, d)


def _is_gone(p: Backup, s: State, d: Term) -> None:
    s.js[d] = p.job.GONE


def _counts_as_error(p: Backup, s: State, d: Term) -> None:
    s.error[d] = True


def _fails_for_itself(p: Backup, s: State, d: Term, **_: Term) -> None:
    s.error[d] = Or(s.error[d], p.job_is(s, d, "RUNNING PAUSED"))


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


def _ends_all_jobs(p: Backup, s: State) -> None:
    s.js[ALL] = lambda d: If(p.started(s, d), p.job.ABORTING, s.js[d])


def _fails_if_it_copies(p: Backup, s: State, d: Term) -> None:
    busy = Not(p.at_rest(s, d))
    s.js[d], s.error[d] = If(busy, p.job.ABORTING, p.job.PAUSED), busy


def _waits_until_it_is_idle(p: Backup, s: State, d: Term) -> None:
    s.when(idle=Not(p.active(s, d)))


BUGS: Final = (
    Bug(
        "pause-is-a-failure",
        "a pause cancels the copy under way, and that is taken for a failure",
        ("a_command_is_no_error",),
        (Mutation("pause", extra=_fails_if_it_copies),),
    ),
    Bug(
        "waits-for-itself",
        "the end of a job waits until no job is busy, and the job itself counts as busy",
        ("what_is_pending_or_aborting_can_end", "no_deadlock"),
        (Mutation("complete", extra=_waits_until_it_is_idle),),
    ),
    Bug(
        "late-finish",
        "a job finishes with clusters that are not copied",
        ("completed_backups_share_the_cut",),
        (Mutation("finish", ("all",)),),
    ),
    Bug(
        "early-event",
        "a job that is cancelled says so while its requests are still in flight",
        ("what_is_gone_is_gone",),
        (Mutation("abort", ("at_rest",)),),
    ),
    Bug(
        "second-event",
        "a job that has completed is cancelled, too",
        ("one_final_event", "what_is_gone_is_gone"),
        (Mutation("force_cancel", ("live",)),),
    ),
    Bug(
        "no-event",
        "a job that fails or is cancelled ends without a word",
        ("one_final_event", "a_cancelled_job_ends_cancelled"),
        (Mutation("abort", (), ("final",)),),
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
        ("a_command_is_no_error",),
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
        "fails-in-a-group",
        "a job of a group that ends already reports an error of its own",
        ("one_of_a_group_is_to_blame", "report_ends_the_job"),
        (Mutation("fail_copy_write", extra=_fails_for_itself),),
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
        "disconnect-cancels",
        "jobs end when the client that started them goes",
        ("a_client_that_goes_changes_nothing",),
        (Mutation("disconnect", extra=_ends_all_jobs),),
        "client",
    ),
)
