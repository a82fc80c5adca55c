"""Reads the records of a dialogue, and tells what each leaves possible in the model."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Any, Final

from cleancut_conformance.judge.commands import STARTERS, Command
from cleancut_conformance.judge.jobs import FINAL
from cleancut_conformance.modelled.following import Following
from cleancut_conformance.modelled.instance import NotFollowed, run_of
from cleancut_conformance.modelled.telling import Told
from cleancut_spec.schedule import Label
from cleancut_spec.trace import Record

#: Statuses that a job may show for the sake of a drain or a pause, with no step of the model.
LIVE: Final = ("RUNNING", "PAUSED", "WAITING", "PENDING", "ABORTING")

#: The clause that says when the client is told this.
CLAUSES: Final = {
    "created": "TX-ORDER-1",
    "running": "TX-ATOMIC-2",
    "paused": "JOB-STATUS-1",
    "waiting": "JOB-END-1",
    "pending": "JOB-END-1",
    "aborting": "JOB-STATUS-1",
    "concluded": "JOB-STATUS-1",
    "null": "EV-LAST-1",
    "COMPLETED": "EV-FINAL-1",
    "FAILED": "EV-FINAL-2",
    "CANCELLED": "JOB-CANCEL-1",
    "error": "EV-ERROR-1",
    "reply": "TX-ATOMIC-1",
    "refuse": "TX-FAIL-1",
    "pause": "JOB-PAUSE-1",
    "resume": "JOB-RESUME-1",
    "cancel": "JOB-CANCEL-1",
    "finalize": "JOB-MANUAL-1",
    "dismiss": "JOB-MANUAL-2",
    "listed": "JOB-LIST-1",
}


@dataclass(frozen=True, slots=True)
class Impossible:
    """A record that no state of the model allows: the last ones that were possible, and what is."""

    index: int
    clause: str
    message: str
    last: list[str]  # states, in words
    next_told: list[str]  # what could have been told instead
    way: list[str] | None  # the steps after which the record would be possible; None: never


@dataclass(slots=True)
class Seen:
    """What a record leaves possible; empty where it says nothing of a run that is followed."""

    count: int = 0  # states of the model
    states: list[str] = field(default_factory=list)  # in words, without what cannot be seen
    not_followed: str = ""  # why the command that was taken up is no run of the model
    impossible: Impossible | None = None


class ModelJudge:
    """Feed it the records of one trace."""

    def __init__(self) -> None:
        self.runs = 0  # commands that are followed
        self._followed: list[Following] = []
        self._queue: deque[Command] = deque()
        self._run: Following | None = None  # that of the command under way
        self._negotiated = False
        self._index = -1
        self._seen = Seen()

    def feed(self, record: Record) -> Seen:
        """What a record leaves possible."""
        self._index += 1
        self._seen = Seen()
        if record.raw is None:
            if record.dir == "send":
                self._sent(Command(self._index, record.msg))
            elif record.dir == "recv" and isinstance(record.msg, dict):
                self._received(record.msg)
        return self._seen

    def _sent(self, command: Command) -> None:
        self._queue.append(command)
        if len(self._queue) == 1:
            self._take_up()

    def _take_up(self) -> None:
        """The server executes its oldest command; which may have effects from now on."""
        command, self._run = self._queue[0], None
        if command.name in STARTERS:
            try:
                self._run = Following(run_of(command))
            except NotFollowed as error:
                self._seen.not_followed = str(error) if command.backups() else ""
                return
            self.runs += 1
            self._followed.append(self._run)
            self._tell(self._run)
        elif steps := _steps_of(command):
            found = next((f for f in self._of_job(command.job_id) if f[0].has_job(f[1])), None)
            if found is None:
                return
            self._run, drive = found
            self._run.command(tuple(Label(name, drive) for name in steps))
            self._tell(self._run)
        elif command.name == "quit" or _may_cancel(command):
            for each in self._followed:
                each.unasked = True
                each.command(())

    def _of_job(self, job_id: str) -> list[tuple[Following, int]]:
        """The runs that have a job of this name, newest first, each with the drive's number."""
        numbered = [(each, each.run.drive(job_id)) for each in reversed(self._followed)]
        return [(each, drive) for each, drive in numbered if drive is not None]

    # ---- what is told

    def _received(self, message: dict[str, Any]) -> None:
        if "QMP" in message:
            self._queue.clear()
        elif "event" in message:
            self._event(message["event"], message.get("data", {}))
        elif self._queue:
            self._reply(message)

    def _event(self, name: str, data: dict[str, Any]) -> None:
        job_id = str(data.get("id", data.get("device")))
        runs = self._of_job(job_id)
        if name == "JOB_STATUS_CHANGE":
            status = str(data.get("status"))
            self._told(runs, status, LIVE if status in ("running", "paused") else ())
        elif name in FINAL:
            well = "FAILED" if "error" in data else "COMPLETED"
            self._told(runs, "CANCELLED" if name == "BLOCK_JOB_CANCELLED" else well)
        elif name == "BLOCK_JOB_ERROR":
            what = f"error {data.get('operation')} {data.get('action')}"
            self._told(runs, what, ("ABORTING", "PAUSED"))

    def _told(
        self, runs: list[tuple[Following, int]], what: str, besides: tuple[str, ...] = ()
    ) -> None:
        """A job is told of; with two runs of its name it may be that of the older one."""
        for run, drive in runs:
            if run.tell(Told(what, drive), besides):
                self._tell(run)
                if run.over():
                    self._followed.remove(run)
                return
        if runs:
            run, drive = runs[0]
            told = Told(what, drive)
            clause = CLAUSES.get(what.partition(" ")[0], "JOB-STATUS-1")
            self._end(run, clause, f"nothing leads to {run.named(told)!r} here", told)

    def _reply(self, message: dict[str, Any]) -> None:
        command, run, well = self._queue.popleft(), self._run, "return" in message
        if run is not None and run in self._followed:
            begins = command.name in STARTERS
            if run.answered(well, begins=begins):
                self._tell(run)
                if run.over():
                    self._followed.remove(run)
            else:
                told = Told("reply" if well else "refuse") if begins else None
                clause = CLAUSES[told.what if told else command.verb]
                words = f"{command.name} {'succeeds' if well else 'is refused'} in no such state"
                self._end(run, clause, words, told)
        elif command.name in ("query-block-jobs", "query-jobs") and well:
            self._listed(message["return"], "device" if "block" in command.name else "id")
        if self._queue:
            self._take_up()

    def _listed(self, entries: Any, key: str) -> None:
        listed = {entry.get(key): entry.get("status") for entry in entries}
        for run in list(self._followed):
            for drive, job_id in enumerate(run.run.job_ids):
                status = listed.get(job_id)
                if job_id in listed and status is None:
                    continue  # a version that lists no status
                if not run.listed(drive, status):
                    words = (
                        f"{job_id} is listed as {status}" if status else f"{job_id} is not listed"
                    )
                    self._end(run, CLAUSES["listed"], words, None)
                    break
            else:
                self._tell(run)

    # ---- what is found

    def _tell(self, run: Following) -> None:
        self._seen.count, self._seen.states = len(run.possible), run.words()

    def _end(self, run: Following, clause: str, message: str, told: Told | None) -> None:
        """The run is followed no further."""
        way = None if told is None else run.way_to(told)
        steps = None if way is None else [str(label) for label in way]
        self._seen.impossible = Impossible(
            self._index, clause, message, run.words(), run.next_told(), steps
        )
        self._followed.remove(run)


def _steps_of(command: Command) -> tuple[str, ...]:
    """The steps of the model that a command about a job may be."""
    if command.verb == "cancel":
        plain = command.of_block_job and not command.arguments.get("force")
        return ("cancel",) if plain else ("force_cancel",)
    return (command.verb,) if command.verb in ("pause", "resume", "finalize", "dismiss") else ()


def _may_cancel(command: Command) -> bool:
    """Whether a command may end jobs by what it does besides: the human monitor knows ways."""
    line = str(command.arguments.get("command-line", ""))
    return command.name == "human-monitor-command" and not line.startswith("qemu-io")
