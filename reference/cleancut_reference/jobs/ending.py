"""How a job ends: it finishes, is completed or aborted, and is dismissed; alone or with its group.

    running -> waiting -> pending -> concluded -> null     all was copied
    any     -> aborting -> concluded -> null               it failed or was cancelled

The jobs of a group wait for each other in `waiting`. If one fails or is cancelled, all end.
"""

from collections.abc import Iterator

from cleancut_reference.block.request import DiskRequest, Failed, Op, Outcome
from cleancut_reference.errors import strerror
from cleancut_reference.jobs.filter import close_request, detach
from cleancut_reference.jobs.group import Group
from cleancut_reference.jobs.job import Job
from cleancut_reference.jobs.scope import release_bitmap
from cleancut_reference.outputs import Event
from cleancut_reference.state import State
from cleancut_reference.step import Step
from cleancut_spec import cites
from cleancut_spec.jobs import Status
from cleancut_spec.schedule import Label


def steps(state: State, job: Job) -> Iterator[Step]:
    """What the job can do next towards its end."""
    if job.ending:
        if state.quitting and not _is_next_to_quit(state, job):
            yield from _stand_still(state, job)
        elif may_abort(job):
            yield _abort(state, job)
    elif may_finish(state, job):
        yield _finish(state, job)
    elif job.status is Status.PENDING and job.group is None and job.settings.auto_finalize:
        yield completing(state, Label("complete", job.index), [job])


def group_steps(state: State, group: Group) -> Iterator[Step]:
    """What the jobs of a group can do next together."""
    jobs = group.jobs
    if group.failed:
        if not all(job.ending or job.over for job in jobs):
            yield Step(Label("group_cancel"), lambda _: _cancel_others(group))
    elif all(job.status is Status.WAITING for job in jobs):
        yield Step(Label("group_pending"), lambda _: _all_pending(state, group))
    elif all(job.status is Status.PENDING and job.settings.auto_finalize for job in jobs):
        yield completing(state, Label("group_complete"), jobs)


@cites("TX-GROUP-2", "EV-FINAL-2")
def fail(job: Job, errno: str) -> None:
    """The job is to end because of an error; if its group ends already it counts as cancelled."""
    if job.ending:
        return
    if job.group is not None and job.group.failed:
        job.cancelled = True
    else:
        job.error = errno


@cites("JOB-CANCEL-1")
def cancel(job: Job) -> None:
    """The job is to end early; that it was paused does not matter any more."""
    job.cancelled = True
    job.user_paused = False
    job.io_status = "ok"


def may_finish(state: State, job: Job) -> bool:
    """Whether all is copied and nothing is in flight; a job that sleeps finishes when it wakes."""
    if state.now_ns < job.not_before_ns:
        return False
    traffic = job.source.traffic
    at_rest = not (job.in_flight or traffic.cbw_in_flight or traffic.drained)
    running = job.status is Status.RUNNING and not job.user_paused
    return running and at_rest and job.copies_by_itself and job.remaining == 0


def may_abort(job: Job) -> bool:
    """Whether nothing of an ending job is in flight any more, and its group ends with it."""
    traffic = job.source.traffic
    if job.over or job.in_flight or traffic.cbw_in_flight or traffic.drained:
        return False
    return job.group is None or all(other.ending or other.over for other in job.group.jobs)


def _is_next_to_quit(state: State, job: Job) -> bool:
    """When the server ends all jobs stand still before one is ended, newest first as in QEMU."""
    left = [each for each in state.jobs if not each.over]
    return left[-1] is job and all(each.status is not Status.RUNNING for each in left)


def _stand_still(state: State, job: Job) -> Iterator[Step]:
    """The job is paused when nothing of it is in flight any more."""
    if job.status is Status.RUNNING and not job.in_flight:
        yield Step(None, lambda _: state.outbox.append(job.move(Status.PAUSED)))


@cites("JOB-END-1", "TX-GROUP-1")
def _finish(state: State, job: Job) -> Step:
    """All is copied, and on the disk: what could fail has not."""
    label = Label("finish", job.index)

    def run(outcome: Outcome) -> Label | None:
        if isinstance(outcome, Failed):  # what was written may not be on the disk
            fail(job, outcome.errno)
            return None
        state.outbox.append(job.move(Status.WAITING))
        if job.group is None:
            _become_pending(state, job)
        return label

    return Step(label, run, DiskRequest(Op.FLUSH, job.target.name))


@cites("JOB-MANUAL-1")
def _become_pending(state: State, job: Job) -> None:
    state.outbox.append(job.move(Status.PENDING))
    if not job.settings.auto_finalize:
        state.outbox.append(Event("BLOCK_JOB_PENDING", {"type": "backup", "id": job.id}))


@cites("TX-GROUP-1")
def _all_pending(state: State, group: Group) -> Label:
    """The last of the group has copied all: none can fail from here on."""
    for job in reversed(group.jobs):
        _become_pending(state, job)
    return Label("group_pending")


@cites("EV-FINAL-1", "EV-FINAL-2", "TX-GROUP-1")
def completing(state: State, label: Label, jobs: list[Job]) -> Step:
    """The step in which these jobs complete, newest first as QEMU does."""

    def run(_: Outcome) -> Label:
        for job in reversed(jobs):
            release_bitmap(job, well=True)
            state.outbox.append(job.block_job_event("BLOCK_JOB_COMPLETED"))
            conclude(state, job)
        return label

    return Step(label, run, close_request(state.graph, jobs))


@cites("TX-GROUP-2")
def _cancel_others(group: Group) -> Label:
    """One of the group has failed or was cancelled: so are the others."""
    for job in group.jobs:
        if not job.ending:
            cancel(job)
    return Label("group_cancel")


@cites("JOB-CANCEL-1", "EV-FINAL-1", "EV-FINAL-2", "EV-SOURCE-1")
def _abort(state: State, job: Job) -> Step:
    """The job ends, failed or cancelled, when nothing of it is in flight any more."""
    label = Label("abort", job.index)

    def run(_: Outcome) -> Label:
        if job.status is Status.PAUSED:  # the table knows no way from paused to aborting
            state.outbox.append(job.move(Status.RUNNING))
        state.outbox.append(job.move(Status.ABORTING))
        release_bitmap(job, well=False)
        state.outbox.append(_bad_end(job))
        conclude(state, job)
        return label

    return Step(label, run, close_request(state.graph, [job]))


def _bad_end(job: Job) -> Event:
    if not job.error:
        return job.block_job_event("BLOCK_JOB_CANCELLED")
    final = job.block_job_event("BLOCK_JOB_COMPLETED")
    final.data["error"] = strerror(job.error)
    return final


@cites("JOB-FREE-1", "JOB-MANUAL-2")
def conclude(state: State, job: Job) -> None:
    """The job is over: its drive is free. It is dismissed unless the client wants to do that."""
    state.outbox.append(job.move(Status.CONCLUDED))
    detach(state.graph, job)
    if job.settings.auto_dismiss:
        dismiss(state, job)


@cites("EV-LAST-1", "JOB-MANUAL-2", "TX-FAIL-2", "TX-FAIL-3", "TX-FAIL-4")
def dismiss(state: State, job: Job) -> None:
    """Nothing of the job is left."""
    state.outbox.append(job.move(Status.NULL))
    state.jobs.remove(job)


@cites("TX-FAIL-2", "TX-FAIL-3")
def take_back(state: State, job: Job, whole: bool) -> None:
    """A job that never ran leaves without a final event, and without waiting for a dismissal.

    In a profile that starts jobs early it did run, and tells that it was cancelled. One that is not
    `whole` was refused while it was being made.
    """
    if whole:
        started = job.status is Status.PAUSED
        if started:
            state.outbox.append(job.move(Status.RUNNING))
        state.outbox.append(job.move(Status.ABORTING))
        if started:
            state.outbox.append(job.block_job_event("BLOCK_JOB_CANCELLED"))
        state.outbox.append(job.move(Status.CONCLUDED))
    release_bitmap(job, well=False, taken_back=True)
    detach(state.graph, job)
    if job.group is not None:
        job.group.jobs.remove(job)
    dismiss(state, job)
