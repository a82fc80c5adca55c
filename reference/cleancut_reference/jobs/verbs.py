"""What a client asks of jobs: `job-*` by id, `block-job-*` by the name of the block job.

A verb is refused where the job-status table does not allow it. The two families differ in how a job
that does not exist is named, and in that only `block-job-cancel` spares a paused job.
"""

from collections.abc import Callable
from functools import wraps
from typing import Any, Final

from cleancut_reference import creating, errors
from cleancut_reference.jobs import ending
from cleancut_reference.jobs.job import Job
from cleancut_reference.jobs.waiting import Finalize, WaitForEnd, WaitForPause
from cleancut_reference.state import State
from cleancut_spec import cites
from cleancut_spec.jobs import ALLOWED, Status, Verb

Arguments = dict[str, Any]


@cites("JOB-NONE-1")
def find_block_job(state: State, name: str) -> Job:
    """The job of a `block-job-*` command; raises QmpError."""
    job = state.job(name)
    if job is None:
        raise errors.no_job(name)
    return job


@cites("JOB-NONE-1")
def find_job(state: State, job_id: str) -> Job:
    """The job of a `job-*` command; raises QmpError."""
    job = state.job(job_id)
    if job is None:
        raise errors.generic("Job not found")
    return job


@cites("JOB-VERB-1")
def apply(job: Job, verb: Verb) -> None:
    """Refuse a verb that the job's status does not allow; raises QmpError."""
    if job.status not in ALLOWED[verb]:
        raise errors.wrong_status(job.id, job.status, verb)


@cites("JOB-CANCEL-1", "JOB-CANCEL-2")
def block_job_cancel(state: State, arguments: Arguments) -> Any:
    """End a job early; a paused one only with `force`."""
    job = find_block_job(state, arguments["device"])
    if job.user_paused and not arguments.get("force", False):
        raise errors.generic(f"The block job for device '{job.id}' is currently paused")
    return cancel(state, job)


@cites("JOB-CANCEL-1")
def cancel(state: State, job: Job) -> Any:
    """End a job early, paused or not; answered when one that copies no more is over."""
    apply(job, Verb.CANCEL)
    ending.cancel(job)
    at_rest = job.status in (Status.WAITING, Status.PENDING)
    return WaitForEnd({}, job) if at_rest else {}


@cites("JOB-PAUSE-1")
def pause(state: State, job: Job) -> Any:
    """Stop copying; answered when the job stands still."""
    apply(job, Verb.PAUSE)
    if job.user_paused and state.profile.pauses_once:
        raise errors.generic("Job is already paused")
    job.user_paused = True
    return WaitForPause({}, job) if state.profile.pause_waits else {}


@cites("JOB-RESUME-1", "POLICY-STOP-1")
def resume(state: State, job: Job) -> Any:
    """Go on copying, after a pause or an error under policy `stop`."""
    if not job.user_paused and state.profile.pauses_once:
        raise errors.generic("Can't resume a job that was not paused")
    apply(job, Verb.RESUME)
    job.user_paused = False
    job.io_status = "ok"
    if job.status is Status.PAUSED and not job.source.traffic.drained:
        state.outbox.append(job.move(Status.RUNNING))
    return {}


@cites("JOB-SPEED-2", "ARG-SPEED-1")
def block_job_set_speed(state: State, arguments: Arguments) -> Any:
    """Change the speed; a delay that the old one imposed ends."""
    job = find_block_job(state, arguments["device"])
    apply(job, Verb.SET_SPEED)
    if arguments["speed"] < 0:
        raise errors.generic("Parameter 'speed' expects a non-negative value")
    job.speed_bytes_per_s = arguments["speed"]
    job.not_before_ns = state.now_ns
    return {}


def complete(state: State, job: Job) -> Any:
    """Always refused: a backup is never `ready` and completes by itself."""
    apply(job, Verb.COMPLETE)
    raise errors.generic(f"The active block job '{job.id}' cannot be completed")


@cites("JOB-MANUAL-1")
def finalize(state: State, job: Job) -> Finalize:
    """Let a pending job complete."""
    apply(job, Verb.FINALIZE)
    return Finalize({}, job)


@cites("JOB-MANUAL-2")
def dismiss(state: State, job: Job) -> Any:
    """Forget a concluded job."""
    apply(job, Verb.DISMISS)
    ending.dismiss(state, job)
    return {}


def _block_job(key: str, verb: Callable[[State, Job], Any]) -> Callable[[State, Arguments], Any]:
    """The command that finds a block job by this argument and asks this of it."""

    @wraps(verb)
    def command(state: State, arguments: Arguments) -> Any:
        return verb(state, find_block_job(state, arguments[key]))

    return command


def _job(word: Verb, verb: Callable[[State, Job], Any]) -> Callable[[State, Arguments], Any]:
    """The command that finds a job of any kind by its id and asks this of it."""

    @wraps(verb)
    def command(state: State, arguments: Arguments) -> Any:
        creation = state.creation(arguments["id"])
        if creation is not None:
            return creating.ask(state, creation, word)
        return verb(state, find_job(state, arguments["id"]))

    return command


COMMANDS: Final[dict[str, Callable[[State, Arguments], Any]]] = {
    "block-job-cancel": block_job_cancel,
    "block-job-pause": _block_job("device", pause),
    "block-job-resume": _block_job("device", resume),
    "block-job-set-speed": block_job_set_speed,
    "block-job-complete": _block_job("device", complete),
    "block-job-finalize": _block_job("id", finalize),
    "block-job-dismiss": _block_job("id", dismiss),
    "job-cancel": _job(Verb.CANCEL, cancel),
    "job-pause": _job(Verb.PAUSE, pause),
    "job-resume": _job(Verb.RESUME, resume),
    "job-complete": _job(Verb.COMPLETE, complete),
    "job-finalize": _job(Verb.FINALIZE, finalize),
    "job-dismiss": _job(Verb.DISMISS, dismiss),
}
