"""The jobs as the events tell of them: status, final events, progress, errors."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from cleancut_conformance.judge import completion
from cleancut_conformance.judge.finding import Fault
from cleancut_spec.jobs import FOLLOWS, Status
from cleancut_spec.profiles import Profile

FINAL: Final = ("BLOCK_JOB_COMPLETED", "BLOCK_JOB_CANCELLED")

#: The actions that each policy may take.
ACTIONS: Final[dict[str, tuple[str, ...]]] = {
    "report": ("report",),
    "ignore": ("ignore",),
    "stop": ("stop",),
    "enospc": ("report", "stop"),
    "auto": ("report", "stop"),
}
_POLICY_CLAUSE: Final = {
    "report": "POLICY-REPORT-1", "ignore": "POLICY-IGNORE-1", "stop": "POLICY-STOP-1",
    "enospc": "POLICY-ENOSPC-1", "auto": "POLICY-ENOSPC-1",
}  # fmt: skip


@dataclass(slots=True)
class Job:
    """A job from `created` to `null`; `backup` holds the arguments of the action that made it."""

    id: str
    backup: dict[str, Any] | None
    status: Status = Status.CREATED
    started: bool = False
    final: str = ""
    error: bool = False  # its final event told an error
    failed: bool = False  # an error was reported
    stopped: bool = False  # an error has stopped it and nobody has resumed it
    user_paused: bool = False
    offset_bytes: int = 0
    length_bytes: int = -1
    announced: bool = False  # BLOCK_JOB_PENDING has come
    group: list["Job"] = field(default_factory=list)  # of a grouped transaction, itself included
    still_since_bytes: int | None = None  # offset seen while paused, with no guest write since

    @property
    def completed_well(self) -> bool:
        """Whether it has completed without an error."""
        return self.final == "BLOCK_JOB_COMPLETED" and not self.error


@dataclass(slots=True)
class Jobs:
    """All jobs that exist; `ended` holds the last job of each name that does not any more."""

    profile: Profile
    live: dict[str, Job] = field(default_factory=dict)
    ended: dict[str, Job] = field(default_factory=dict)
    asked: set[tuple[str, str]] = field(default_factory=set)  # `finalize` or `dismiss` of a job
    recent: dict[str, set[Status]] = field(default_factory=dict)  # left behind during a command
    taken_back: set[str] = field(default_factory=set)  # may have begun, and are being cancelled
    joined: bool = False  # the recorder came late: jobs may exist whose beginning it did not see

    def stranger(self, job_id: str) -> bool:
        """Whether the job may have begun before the trace, so that nothing is known of it."""
        return self.joined and job_id not in self.live and job_id not in self.ended

    def status_change(self, data: Any, backup: dict[str, Any] | None) -> Iterator[Fault]:
        """A JOB_STATUS_CHANGE; `backup` is what the command under way asks of a new job."""
        job_id, status = data["id"], Status(data["status"])
        job = self.live.get(job_id)
        if status is not Status.CREATED and self.stranger(job_id):
            return
        if job is None:
            if status is not Status.CREATED:
                clause = "EV-LAST-1" if job_id in self.ended else "JOB-STATUS-1"
                yield clause, f"job {job_id!r} does not exist, and becomes {status}"
            if status is not Status.NULL:
                self.live[job_id] = Job(job_id, backup, status)
            return
        if status not in FOLLOWS[job.status]:
            yield "JOB-STATUS-1", f"job {job_id!r} goes from {job.status} to {status}"
        yield from _status_faults(job, status)
        yield from completion.status_faults(job, status, self.asked)
        self.recent.setdefault(job_id, set()).add(job.status)
        job.status = status
        job.started = job.started or status is Status.RUNNING
        if status is Status.NULL:
            del self.live[job_id]
            self.asked -= {("finalize", job_id), ("dismiss", job_id)}
            self.ended[job_id] = job

    def begin(self, job_id: str, backup: dict[str, Any]) -> Job:
        """A job of a version that has no event to tell of it runs."""
        self.taken_back.discard(job_id)
        job = self.live[job_id] = Job(job_id, backup, Status.RUNNING, started=True)
        return job

    def resumed(self, job_id: str) -> None:
        """The user has resumed a job, which may have been stopped by an error."""
        if job_id in self.live:
            self.live[job_id].stopped = False

    def final_event(self, name: str, data: Any) -> Iterator[Fault]:
        """A BLOCK_JOB_COMPLETED or BLOCK_JOB_CANCELLED."""
        job_id, failed = data["device"], "error" in data
        job = self.live.get(job_id)
        if job is None and job_id in self.taken_back:
            self.taken_back.discard(job_id)
            if name == "BLOCK_JOB_COMPLETED" and not failed:
                yield "TX-ATOMIC-1", f"job {job_id!r} of a command that failed has completed"
            return
        if self.stranger(job_id):
            return
        if job is None:
            clause = "EV-LAST-1" if job_id in self.ended else "EV-FINAL-1"
            yield clause, f"{name} of job {job_id!r}, which does not exist"
            return
        if not job.started:
            yield "TX-FAIL-3", f"{name} of job {job_id!r}, which never ran"
        if job.final:
            yield "EV-FINAL-1", f"{name} of job {job_id!r} after its {job.final}"
        yield from self._progress(job, data["offset"], data["len"])
        if not self.profile.job_status_events:
            yield from _length_fault(job, name, failed, data)
            self.ended[job_id] = self.live.pop(job_id)  # the final event is the job's end
        else:
            yield from _ending_faults(job, name, failed, data)
        if name == "BLOCK_JOB_COMPLETED" and failed and not job.failed:
            yield "EV-ERROR-1", f"job {job_id!r} ends with an error that nothing has announced"
        yield from completion.final_faults(job, name, failed, self.asked)
        job.final, job.error = name, failed

    def pending_event(self, data: Any) -> Iterator[Fault]:
        """A BLOCK_JOB_PENDING."""
        job = self.live.get(data["id"])
        if self.stranger(data["id"]):
            return
        if job is None or job.status is not Status.PENDING or job.announced:
            yield "JOB-MANUAL-1", f"BLOCK_JOB_PENDING of job {data['id']!r}, which is not pending"
        else:
            job.announced = True

    def error_event(self, data: Any) -> Iterator[Fault]:
        """A BLOCK_JOB_ERROR."""
        job_id, operation, action = data["device"], data["operation"], data["action"]
        job = self.live.get(job_id)
        if self.stranger(job_id):
            return
        if job is None or not job.started:
            yield "EV-ERROR-1", f"BLOCK_JOB_ERROR of job {job_id!r}, which does not run"
            return
        if job.final:
            yield "EV-FINAL-1", f"BLOCK_JOB_ERROR of job {job_id!r} after its {job.final}"
        if job.backup is not None:
            side = "on-source-error" if operation == "read" else "on-target-error"
            policy = job.backup.get(side, "report")
            if action not in ACTIONS.get(policy, (action,)):
                yield _POLICY_CLAUSE[policy], f"{side} is {policy}, and the action is {action}"
        job.failed = job.failed or action == "report"
        job.stopped = job.stopped or action == "stop"
        job.user_paused = job.user_paused or action == "stop"

    def listed(self, entries: list[Any], block_jobs: bool) -> Iterator[Fault]:
        """The answer of query-block-jobs or query-jobs.

        It may be older than the last events: it is of some instant since the command was taken up.
        """
        name = "device" if block_jobs else "id"
        offset, length = ("offset", "len") if block_jobs else ("current-progress", "total-progress")
        seen = {}
        for entry in entries:
            if entry[name] in seen:
                yield "JOB-LIST-1", f"job {entry[name]!r} is listed twice"
            seen[entry[name]] = entry
            job = self.live.get(entry[name])
            if job is None:
                old = entry[name] in self.recent or entry[name] in self.taken_back
                if not old and not self.stranger(entry[name]):
                    yield "JOB-LIST-1", f"job {entry[name]!r} is listed and does not exist"
                continue
            status = entry.get("status", job.status)
            if status in self.recent.get(job.id, ()):
                continue
            if status != job.status:
                yield "JOB-LIST-1", f"job {job.id!r} is listed as {status}, and is {job.status}"
            yield from self._progress(job, entry[offset], entry[length])
            yield from _stopped_rightly(job, entry)
            if block_jobs and job.status is Status.PAUSED:
                yield from _stands_still(job, entry)
        for job in self.live.values():
            if job.id not in seen and (job.backup is not None or not block_jobs):
                yield "JOB-LIST-1", f"job {job.id!r} exists ({job.status}) and is not listed"

    def guest_wrote(self) -> None:
        """Copy-before-write counts as progress, so a paused job may show some."""
        for job in self.live.values():
            job.still_since_bytes = None

    @staticmethod
    def _progress(job: Job, offset_bytes: int, length_bytes: int) -> Iterator[Fault]:
        if offset_bytes > length_bytes:
            yield "JOB-PROGRESS-1", f"job {job.id!r} has offset {offset_bytes}, len {length_bytes}"
        elif length_bytes == job.length_bytes and offset_bytes < job.offset_bytes:
            yield "JOB-PROGRESS-1", f"job {job.id!r} goes back to offset {offset_bytes}"
        job.offset_bytes, job.length_bytes = offset_bytes, length_bytes


def _status_faults(job: Job, status: Status) -> Iterator[Fault]:
    if job.stopped and status is Status.WAITING:
        yield "POLICY-STOP-1", f"job {job.id!r} goes on after an error that stopped it"
    if job.failed and status in (Status.WAITING, Status.PENDING):
        yield "POLICY-REPORT-1", f"job {job.id!r} becomes {status} after an error was reported"
    if job.backup is None:
        return
    if status is Status.CONCLUDED and job.started and not job.final:
        yield "EV-FINAL-1", f"job {job.id!r} concludes without its final event"


def _ending_faults(job: Job, name: str, failed: bool, data: Any) -> Iterator[Fault]:
    if job.status not in (Status.PENDING, Status.ABORTING):
        yield "EV-FINAL-1", f"{name} of job {job.id!r}, which is {job.status}"
    elif name == "BLOCK_JOB_CANCELLED":
        if job.status is not Status.ABORTING:
            yield "EV-FINAL-1", f"{name} of job {job.id!r}, which is {job.status}"
    elif failed != (job.status is Status.ABORTING):
        said = "with" if failed else "without"
        yield "EV-FINAL-2", f"{name} {said} error of job {job.id!r}, which is {job.status}"
    else:
        yield from _length_fault(job, name, failed, data)


def _length_fault(job: Job, name: str, failed: bool, data: Any) -> Iterator[Fault]:
    if name == "BLOCK_JOB_COMPLETED" and not failed and data["offset"] != data["len"]:
        numbers = f"offset {data['offset']}, len {data['len']}"
        yield "JOB-PROGRESS-1", f"job {job.id!r} completes with {numbers}"


def _stopped_rightly(job: Job, entry: Any) -> Iterator[Fault]:
    """Under policy `enospc` on both sides only want of space stops a job."""
    policies = {(job.backup or {}).get(f"on-{side}-error") for side in ("source", "target")}
    if job.stopped and policies <= {"enospc", "auto"} and entry.get("io-status") == "failed":
        yield "POLICY-ENOSPC-1", f"job {job.id!r} stops for an error that is no want of space"


def _stands_still(job: Job, entry: Any) -> Iterator[Fault]:
    if not entry.get("paused") or entry.get("busy"):
        return
    if job.still_since_bytes is not None and entry["offset"] > job.still_since_bytes:
        yield "JOB-PAUSE-1", f"job {job.id!r} is paused and copies: offset {entry['offset']}"
    job.still_since_bytes = entry["offset"]
