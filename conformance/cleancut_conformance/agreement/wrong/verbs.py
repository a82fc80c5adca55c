"""Wrong with a job's verbs and its end."""

from collections.abc import Callable
from typing import Any

from cleancut_conformance.agreement.wrong.table import caught_by, mutates, no_case, replace
from cleancut_reference import backup_arguments, commands
from cleancut_reference.jobs import backup, ending, verbs
from cleancut_reference.jobs.filter import close_request, detach
from cleancut_reference.jobs.job import Job, Settings
from cleancut_reference.outputs import Event
from cleancut_reference.state import State
from cleancut_reference.step import Step
from cleancut_spec.jobs import Status, Verb
from cleancut_spec.profiles import DEFAULT
from cleancut_spec.schedule import Label


@caught_by("events/completed", "EV-FINAL-1")
def ends_twice() -> None:
    """Each completed job says so twice (bug 24)."""
    right = ending.conclude

    def wrong(state: State, job: Job) -> None:
        if job.status is Status.PENDING:
            state.outbox.append(job.block_job_event("BLOCK_JOB_COMPLETED"))
        right(state, job)

    replace(ending, "conclude", wrong)


@mutates("paused-copies")
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
    replace(ending, "may_finish", blind(ending.may_finish))
    commands.COMMANDS["block-job-pause"] = pause


def _asks_nobody(setting: str) -> None:
    def wrong(**settings: Any) -> Settings:
        return Settings(**settings | {setting: True})

    replace(backup_arguments, "Settings", wrong)


@caught_by("jobs/finalize", "JOB-MANUAL-1")
def finalizes_unasked() -> None:
    """A job that the client wants to finalize itself is finalized for it."""
    _asks_nobody("auto_finalize")


@mutates("dismissed-by-itself")
@caught_by("jobs/dismiss", "JOB-MANUAL-2")
def dismisses_unasked() -> None:
    """A job that the client wants to dismiss itself is dismissed for it."""
    _asks_nobody("auto_dismiss")


@caught_by("jobs/wrong-status", "QMP-ALIVE-1")
def takes_any_verb() -> None:
    """What a verb does is done in whatever status the job is."""
    replace(verbs, "apply", lambda job, verb: None)


@caught_by("jobs/verb/paused-job-pause", "JOB-VERB-1")
def pauses_twice() -> None:
    """A paused job can be paused, and one that runs can be resumed."""
    object.__setattr__(DEFAULT, "pauses_once", False)


@caught_by("jobs/verb/paused-block-job-cancel", "JOB-VERB-1")
def cancels_without_force() -> None:
    """A paused job is cancelled though nobody insists."""
    right = verbs.block_job_cancel

    def wrong(state: State, arguments: dict[str, Any]) -> Any:
        return right(state, {**arguments, "force": True})

    commands.COMMANDS["block-job-cancel"] = wrong


@caught_by("jobs/wrong-status", "JOB-VERB-1")
def pauses_at_any_time() -> None:
    """Any job can be paused, even one that is pending."""
    right = verbs.apply

    def wrong(job: Job, verb: Verb) -> None:
        if verb is not Verb.PAUSE:
            right(job, verb)

    replace(verbs, "apply", wrong)


# ---- bugs of the model


def _command(name: str, by: Callable[[State, Job], Any]) -> None:
    def wrong(state: State, arguments: dict[str, Any]) -> Any:
        return by(state, verbs.find_block_job(state, arguments["device"]))

    commands.COMMANDS[name] = wrong


@mutates("pause-is-a-failure")
@no_case("a client cannot hold a copy on its way while it pauses the job")
def fails_when_it_is_paused() -> None:
    """A pause cancels the copy under way, and that is taken for a failure."""

    def pause(state: State, job: Job) -> Any:
        if not job.in_flight:
            return verbs.pause(state, job)
        ending.fail(job, "EIO")
        return {}

    _command("block-job-pause", pause)


@mutates("waits-for-itself")
@caught_by("events/nothing-after-the-end", "JOB-END-1")
def waits_until_it_is_idle() -> None:
    """A job that has copied all waits for ever to complete."""
    right = ending.steps

    def wrong(state: State, job: Job) -> Any:
        return (s for s in right(state, job) if s.label is None or s.label.name != "complete")

    replace(ending, "steps", wrong)


@mutates("early-event")
@no_case("a client cannot hold a copy on its way while it cancels the job")
def says_too_early_that_it_is_gone() -> None:
    """A job that is cancelled says so while its requests are still in flight."""
    right = ending.steps

    def over(state: State, job: Job) -> None:
        detach(state.graph, job)
        state.jobs.remove(job)

    def wrong(state: State, job: Job) -> Any:
        at_rest = not (job.in_flight or job.source.traffic.cbw_in_flight)
        if job.status is Status.NULL:
            if at_rest:
                close = close_request(state.graph, [job])
                yield Step(None, lambda _: over(state, job), close)
        elif job.ending and not at_rest and not job.source.traffic.drained:
            yield Step(Label("abort", job.index), lambda _: _says_all(state, job))
        else:
            yield from right(state, job)

    replace(ending, "steps", wrong)


def _says_all(state: State, job: Job) -> Label:
    if job.status is Status.PAUSED:
        state.outbox.append(job.move(Status.RUNNING))
    state.outbox += [job.move(Status.ABORTING), ending._bad_end(job)]
    state.outbox += [job.move(Status.CONCLUDED), job.move(Status.NULL)]
    return Label("abort", job.index)


@mutates("second-event")
@caught_by("jobs/no-such-job", "JOB-NONE-1")
def cancels_what_is_over() -> None:
    """A job that is gone is cancelled once more."""

    def cancel(state: State, arguments: dict[str, Any]) -> Any:
        if state.job(arguments["device"]) is not None:
            return verbs.block_job_cancel(state, arguments)
        data = {"device": arguments["device"], "len": 0, "offset": 0, "speed": 0, "type": "backup"}
        state.outbox.append(Event("BLOCK_JOB_CANCELLED", data))
        return {}

    commands.COMMANDS["block-job-cancel"] = cancel


@mutates("no-event")
@caught_by("jobs/cancel", "EV-FINAL-1")
def ends_without_a_word() -> None:
    """A job that fails or is cancelled ends without its final event."""
    right = ending._abort

    def wrong(state: State, job: Job) -> Step:
        step = right(state, job)

        def run(outcome: Any) -> Any:
            label = step.run(outcome)
            state.outbox[:] = [e for e in state.outbox if not _is_final(e)]
            return label

        return step._replace(run=run)

    replace(ending, "_abort", wrong)


def _is_final(output: Any) -> bool:
    return isinstance(output, Event) and output.name.startswith("BLOCK_JOB_C")


@mutates("resume-from-start")
@caught_by("point-in-time/paused-job", "PIT-AFTER-1")
def begins_anew_when_it_is_resumed() -> None:
    """A resumed job copies again what it has copied."""

    def resume(state: State, job: Job) -> Any:
        answer = verbs.resume(state, job)
        job.copied, job.remaining, job.lowest = bytearray(len(job.copied)), job.total, 0
        return answer

    _command("block-job-resume", resume)


@mutates("cancel-is-an-error")
@caught_by("jobs/cancel", "JOB-CANCEL-1")
def fails_when_it_is_cancelled() -> None:
    """A job that is cancelled is reported as failed."""

    def wrong(job: Job) -> None:
        job.error, job.user_paused = job.error or "EIO", False

    replace(ending, "cancel", wrong)
