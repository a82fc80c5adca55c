"""Wrong with a job's verbs and its end."""

from collections.abc import Callable
from typing import Any

from cleancut_conformance.agreement.wrong.table import caught_by, replace
from cleancut_reference import (
    backup_arguments,
    commands,
)
from cleancut_reference.jobs import backup, ending, verbs
from cleancut_reference.jobs.job import Job, Settings
from cleancut_reference.state import State
from cleancut_spec.jobs import Status, Verb


@caught_by("events/completed", "EV-FINAL-1")
def ends_twice() -> None:
    """Each completed job says so twice (bug 24)."""
    right = ending.conclude

    def wrong(state: State, job: Job) -> None:
        if job.status is Status.PENDING:
            state.outbox.append(job.block_job_event("BLOCK_JOB_COMPLETED"))
        right(state, job)

    replace(ending, "conclude", wrong)


@caught_by("jobs/pause-resume", "JOB-PAUSE-1")
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

    replace(backup, "may_claim", blind(backup.may_claim))
    replace(backup, "may_park", lambda job: False)
    right = ending.may_finish

    def finish(state: State, job: Job) -> bool:
        paused, job.user_paused = job.user_paused, False
        try:
            return right(state, job)
        finally:
            job.user_paused = paused

    replace(ending, "may_finish", finish)
    commands.COMMANDS["block-job-pause"] = pause


def _asks_nobody(setting: str) -> None:
    def wrong(**settings: Any) -> Settings:
        return Settings(**settings | {setting: True})

    replace(backup_arguments, "Settings", wrong)


@caught_by("jobs/finalize", "JOB-MANUAL-1")
def finalizes_unasked() -> None:
    """A job that the client wants to finalize itself is finalized for it."""
    _asks_nobody("auto_finalize")


@caught_by("jobs/dismiss", "JOB-MANUAL-2")
def dismisses_unasked() -> None:
    """A job that the client wants to dismiss itself is dismissed for it."""
    _asks_nobody("auto_dismiss")


@caught_by("jobs/wrong-status", "JOB-VERB-1")
def pauses_at_any_time() -> None:
    """Any job can be paused, even one that is pending."""
    right = verbs.apply

    def wrong(job: Job, verb: Verb) -> None:
        if verb is not Verb.PAUSE:
            right(job, verb)

    replace(verbs, "apply", wrong)
