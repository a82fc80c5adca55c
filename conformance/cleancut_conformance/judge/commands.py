"""What a reply means for the jobs: everything started, or nothing left."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from cleancut_conformance.judge.finding import Fault
from cleancut_conformance.judge.jobs import Job, Jobs
from cleancut_spec.jobs import ALLOWED, Status, Verb

BACKUPS: Final = ("drive-backup", "blockdev-backup")
STARTERS: Final = (*BACKUPS, "transaction")
_JOB_COMMAND: Final = re.compile(
    r"(?P<block>block-)?job-(?P<verb>cancel|pause|resume|complete|finalize|dismiss|set-speed)"
)


@dataclass(slots=True)
class Command:
    """A request that waits for its reply."""

    index: int
    request: Any
    created: list[str] = field(default_factory=list)  # ids of the jobs made while it ran
    ran_early: bool = False
    ended_early: list[str] = field(default_factory=list)  # jobs whose final event came before
    statuses: set[Status] = field(default_factory=set)  # that its job has had since it was taken up
    begun: int | None = None  # the record that tells that the first of them runs
    group: list[Job] = field(default_factory=list)  # the jobs made, if they complete together

    @property
    def name(self) -> str:
        """The command's name, or an empty text for what is none."""
        name = self.request.get("execute") if isinstance(self.request, dict) else None
        return name if isinstance(name, str) else ""

    @property
    def out_of_band(self) -> bool:
        """Whether it asks to be run at once, whatever else is waiting."""
        keys = self.request.keys() if isinstance(self.request, dict) else ()
        return "exec-oob" in keys and "execute" not in keys

    @property
    def request_id(self) -> Any:
        """Its id, or None."""
        return self.request.get("id") if isinstance(self.request, dict) else None

    @property
    def arguments(self) -> dict[str, Any]:
        """The arguments, or none."""
        found = self.request.get("arguments") if isinstance(self.request, dict) else None
        return found if isinstance(found, dict) else {}

    @property
    def verb(self) -> str:
        """What the command asks of a job, or an empty text."""
        found = _JOB_COMMAND.fullmatch(self.name)
        return found["verb"] if found else ""

    @property
    def of_block_job(self) -> bool:
        """Whether it is one of the `block-job-*` commands."""
        return self.name.startswith("block-")

    @property
    def job_id(self) -> str:
        """The job that it names."""
        by_id = not self.of_block_job or self.verb in ("finalize", "dismiss")
        return str(self.arguments.get("id" if by_id else "device"))

    @property
    def grouped(self) -> bool:
        """Whether it is a transaction whose jobs complete together."""
        properties = self.arguments.get("properties")
        return isinstance(properties, dict) and properties.get("completion-mode") == "grouped"

    def actions(self) -> list[tuple[str, dict[str, Any]]]:
        """The actions of a transaction, or the one that a lone backup is."""
        if self.name in BACKUPS:
            return [(self.name, self.arguments)]
        listed = self.arguments.get("actions") if self.name == "transaction" else None
        found = []
        for action in listed if isinstance(listed, list) else []:
            if isinstance(action, dict) and isinstance(action.get("data"), dict):
                found.append((str(action.get("type")), action["data"]))
        return found

    def backups(self) -> list[dict[str, Any]]:
        """The arguments of each backup that the command asks for."""
        return [data for kind, data in self.actions() if kind in BACKUPS]

    def snapshots(self) -> list[str]:
        """The drives whose files become the base of an overlay."""
        named = []
        for kind, data in self.actions():
            if kind == "blockdev-snapshot-sync":
                named.append(data.get("device", data.get("node-name")))
            elif kind == "blockdev-snapshot":
                named.append(data.get("node"))
        return [str(name) for name in named if name is not None]

    def backup_for(self, job_id: str) -> dict[str, Any] | None:
        """The arguments of the backup whose job bears this id.

        A node's name says nothing of the id: the job is then named after the drive on that node.
        """
        backups = self.backups()
        by_name = [data for data in backups if job_id_of(data) == job_id]
        unnamed = [data for data in backups if "job-id" not in data]
        return next(iter(by_name or unnamed), None)


def job_id_of(backup: dict[str, Any]) -> str:
    """The id of the job that a backup with these arguments gets."""
    return str(backup.get("job-id", backup.get("device")))


def same_id(asked: Any, answered: Any) -> bool:
    """Whether two ids are the same JSON value: 1 is neither true nor 1.0."""
    if type(asked) is not type(answered) or asked != answered:
        return False
    if not isinstance(asked, list | dict):
        return True
    return json.dumps(asked, sort_keys=True) == json.dumps(answered, sort_keys=True)


def job_runs(command: Command, job: Job) -> Iterator[Fault]:
    """A job of the command under way has become running."""
    backups = len(command.backups())
    if job.id in command.created and not command.ran_early and len(command.created) < backups:
        command.ran_early = True
        made = f"{len(command.created)} of {backups} jobs exist"
        yield "TX-ATOMIC-2", f"job {job.id!r} runs when only {made}"


def accepted(command: Command, jobs: Jobs, drives: set[str]) -> Iterator[Fault]:
    """The command has succeeded."""
    arguments = command.arguments
    if command.name in STARTERS:
        yield from _accepted_starter(command, jobs, drives)
        if not jobs.profile.job_status_events:
            _start_untold(command, jobs)
    elif command.verb and jobs.profile.job_status_events:
        job = jobs.live.get(command.job_id)
        if job is not None:
            yield from _accepted_verb(command, job)
        elif command.job_id not in jobs.ended and not jobs.joined:
            yield "JOB-NONE-1", f"{command.name} of {command.job_id!r} succeeds"
        if command.verb == "set-speed" and _negative(arguments):
            yield "ARG-SPEED-1", f"speed {arguments['speed']} is accepted"


def _accepted_verb(command: Command, job: Job) -> Iterator[Fault]:
    plain = command.name == "block-job-cancel" and not command.arguments.get("force")
    if job.user_paused and plain:
        yield "JOB-CANCEL-2", f"job {job.id!r} is paused, and cancel succeeds"
    if command.verb in ("pause", "resume"):
        job.user_paused = command.verb == "pause"
        job.stopped = job.stopped and job.user_paused
    if command.statuses and not command.statuses & ALLOWED[Verb(command.verb)]:
        yield "JOB-VERB-1", f"job {job.id!r} is {job.status}, and {command.name} succeeds"


def _accepted_starter(command: Command, jobs: Jobs, drives: set[str]) -> Iterator[Fault]:
    devices = [data.get("device") for data in command.backups()]
    for device in sorted({d for d in devices if d in drives and devices.count(d) > 1}):
        yield "ARG-TWICE-1", f"drive {device!r} is backed up twice in one transaction"
    if any(kind == "abort" for kind, _ in command.actions()):
        yield "TX-ABORT-1", "a transaction with an abort action succeeds"
    for data in command.backups():
        if _negative(data):
            yield "ARG-SPEED-1", f"speed {data['speed']} is accepted"
    if not jobs.profile.job_status_events:
        return
    if len(command.created) < len(devices):
        made = f"{len(command.created)} of {len(devices)} jobs"
        yield "TX-ATOMIC-1", f"the command succeeds, and has created {made}"
    for job_id in command.created:
        job = jobs.live.get(job_id) or jobs.ended.get(job_id)
        if job is not None and not job.started:
            yield "TX-ATOMIC-1", f"the command succeeds, and its job {job_id!r} has not started"


def _start_untold(command: Command, jobs: Jobs) -> None:
    """Where no event tells of a start, a job runs from the success on, unless it has ended."""
    for data in command.backups():
        job_id = job_id_of(data)
        if job_id in command.ended_early:
            command.ended_early.remove(job_id)
        else:
            jobs.begin(job_id, data)


def _negative(data: dict[str, Any]) -> bool:
    speed = data.get("speed")
    return isinstance(speed, int) and speed < 0


def busy_drives(command: Command, jobs: Jobs, drives: set[str]) -> list[str]:
    """The drives that the command wants to back up although they have a job, as it is taken up."""
    jobs_of_drives = [job for job in jobs.live.values() if job.backup and not _over(job)]
    taken = {str((job.backup or {}).get("device")) for job in jobs_of_drives}
    wanted = {str(data.get("device")) for data in command.backups()}
    return sorted(wanted & taken & drives)


def _over(job: Job) -> bool:
    return job.status is Status.CONCLUDED


def refused(command: Command, error: dict[str, Any], jobs: Jobs) -> Iterator[Fault]:
    """The command has failed."""
    if command.name in STARTERS:
        if not jobs.profile.job_status_events:
            names = set(map(job_id_of, command.backups()))
            jobs.taken_back |= names - jobs.live.keys() - set(command.ended_early)
        for job_id in command.created:
            if (job := jobs.live.get(job_id)) is not None:
                yield "TX-FAIL-2", f"the command fails, and its job {job_id!r} is {job.status}"
            ended = job or jobs.ended.get(job_id)
            if ended is not None and ended.started:
                yield "TX-ATOMIC-1", f"the command fails, and its job {job_id!r} had started"
    elif command.verb and jobs.profile.job_status_events and _well_formed(command):
        job_id, known = command.job_id, error["class"] == "DeviceNotActive"
        unknown = job_id not in jobs.live and not jobs.stranger(job_id)
        if unknown and not known and command.of_block_job:
            yield "JOB-NONE-1", f"job {job_id!r} does not exist; the class is {error['class']}"
        job = jobs.live.get(job_id)
        if job is not None and job.backup is not None and known:  # others are no block jobs
            yield "JOB-LIST-1", f"job {job_id!r} exists; the class is {error['class']}"


def _well_formed(command: Command) -> bool:
    by_id = not command.of_block_job or command.verb in ("finalize", "dismiss")
    wanted = {"id" if by_id else "device"}
    wanted |= {"speed"} if command.verb == "set-speed" else set()
    speed = command.arguments.get("speed", 0)
    switch = type(command.arguments.get("force", False)) is bool
    kinds = type(speed) is int and -(2**63) <= speed < 2**63 and switch
    allowed = wanted | ({"force"} if command.name == "block-job-cancel" else set())
    texts = all(isinstance(command.arguments.get(k), str) for k in wanted - {"speed"})
    return wanted <= command.arguments.keys() <= allowed and kinds and texts
