"""The judge: reads each record of a dialogue, live or stored, and names what breaks a clause."""

import signal
from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any, Final

from cleancut_conformance.judge import commands
from cleancut_conformance.judge.commands import Command, same_id
from cleancut_conformance.judge.completion import is_manual
from cleancut_conformance.judge.data import Data
from cleancut_conformance.judge.finding import Fault, Finding
from cleancut_conformance.judge.jobs import FINAL, Job, Jobs
from cleancut_conformance.judge.shapes import event_fault
from cleancut_spec.jobs import Status
from cleancut_spec.profiles import PROFILES, profile_for
from cleancut_spec.trace import Record, TraceError

#: Exit statuses of a process that a fault of its own has ended.
CRASHES: Final = tuple(
    -number
    for number in (
        signal.SIGABRT, signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGTRAP,
    )
)  # fmt: skip


class Judge:
    """Feed it the records of one trace, then close it."""

    def __init__(self, profile: str | None = None) -> None:
        self._fixed = profile is not None
        self._jobs = Jobs(PROFILES[profile or "7.2"])
        self._data = Data()
        self._open: deque[Command] = deque()
        self._out_of_band: list[Command] = []  # whose replies may overtake all others
        self._busy: list[str] = []  # drives that the command under way cannot have
        self._index = -1
        self._greeted = self._negotiated = False
        self._greeting_seen = False  # a recorder that came late knows no greeting
        self._drives: set[str] = set()
        self._quit_sent = self._quit = self._shutdown = self._footer = False
        self._exit: int | None = None
        self._daemon = False  # a storage daemon has no machine whose end it could announce
        self._raw_sent = self._raw_answers = 0

    @property
    def jobs(self) -> Mapping[str, Job]:
        """The jobs that exist now, by id."""
        return self._jobs.live

    @property
    def complete(self) -> bool:
        """Whether the trace has its footer."""
        return self._footer

    def feed(self, record: Record) -> list[Finding]:
        """The deviations that this record shows; raises TraceError for one that is ill-formed.

        Only what the server has sent can break a clause by its form; all else was written by us.
        """
        self._index += 1
        try:
            return [Finding(self._index, *fault) for fault in self._record(record)]
        except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
            if record.dir == "recv":
                return [Finding(self._index, "QMP-BAD-1", "a message whose shape cannot be read")]
            raise TraceError(f"record {self._index}: {type(error).__name__}: {error}") from error

    def close(self) -> list[Finding]:
        """The deviations that the end of the trace shows."""
        if not self._footer:
            return []
        return [Finding(self._index, *fault) for fault in self._at_end()]

    def _record(self, record: Record) -> Iterator[Fault]:
        match record.dir:
            case "meta":
                yield from self._meta(record.note)
            case "send":
                self._sent(record)
            case "recv" if record.raw is not None:
                yield "QMP-BAD-1", f"no JSON object: {record.raw[:80]!r}"
            case "recv":
                yield from self._received(record.msg)
            case "io":
                yield from self._guest_io(record.note)
            case "observe":
                yield from self._data.observed(record.note)
            case "mark":
                self._data.marks[record.note["name"]] = self._data.oracle.now
                if "connection" in record.note:
                    self._begin_again(new_server="server" in record.note)

    def _begin_again(self, *, new_server: bool) -> None:
        """Another client is there, and perhaps another process: what was asked goes unanswered."""
        self._open.clear()
        self._out_of_band.clear()
        self._greeted = self._negotiated = self._greeting_seen = False
        self._raw_sent = self._raw_answers = 0
        if new_server:
            self._jobs.live.clear()
            self._jobs.ended.clear()
            self._jobs.taken_back.clear()

    def _meta(self, note: dict[str, Any]) -> Iterator[Fault]:
        if self._index == 0:
            self._data.header(note)
            self._jobs.joined = bool(note.get("joined"))
            self._greeted = self._negotiated = self._jobs.joined
            self._drives = set(note.get("drives", {}))
            self._daemon = "storage-daemon" in str(note.get("cmdline", [])[:1])
            for word in note.get("cmdline", []):
                self._drives |= {p[3:] for p in str(word).split(",") if p.startswith("id=")}
            return
        self._footer, self._exit = True, note.get("exit")
        if note.get("exit", 0) in CRASHES:
            name = signal.Signals(-note["exit"]).name
            words = str(note.get("stderr", "")).strip().rpartition("\n")[2] or "it says nothing"
            yield "QMP-ALIVE-1", f"the server ended by {name}: {words}"
        if self._quit and note.get("exit", 0) != 0:
            yield "JOB-QUIT-1", f"after quit the exit status is {note['exit']}"

    def _guest_io(self, note: dict[str, Any]) -> Iterator[Fault]:
        if "result" not in note and "by" in note:
            self._data.asked(self._index, note)
            self._jobs.guest_wrote()
        yield from self._data.result(self._index, note)

    # ---- what the client sends

    def _sent(self, record: Record) -> None:
        if record.raw is not None:
            self._raw_sent += 1
            return
        command = Command(self._index, record.msg)
        self._data.sent(self._index, command)
        if command.name == "human-monitor-command":
            self._jobs.guest_wrote()
        if (asks := command.verb) in ("finalize", "dismiss"):
            self._jobs.asked.add((asks, command.job_id))
        elif command.name == "quit":  # which dismisses whatever there is
            self._quit_sent = True
            self._jobs.asked |= {("dismiss", job_id) for job_id in self._jobs.live}
        if command.out_of_band:
            self._out_of_band.append(command)
            return
        self._open.append(command)
        if len(self._open) == 1:
            self._taken_up()

    def _taken_up(self) -> None:
        self._jobs.recent.clear()
        command = self._open[0]
        if command.verb and (job := self._jobs.live.get(command.job_id)) is not None:
            command.statuses.add(job.status)
        self._busy = commands.busy_drives(self._open[0], self._jobs, self._drives)

    # ---- what the server sends

    def _received(self, message: Any) -> Iterator[Fault]:
        if not isinstance(message, dict):
            yield "QMP-BAD-1", f"no JSON object: {message!r}"
        elif "QMP" in message:
            yield from self._greeting(message["QMP"])
        elif not self._greeted:
            yield "QMP-GREET-1", "a message before the greeting"
        elif "event" in message:
            yield from self._event(message)
        elif "return" in message or "error" in message:
            yield from self._reply(message)
        else:
            yield "QMP-BAD-1", f"neither reply nor event: {sorted(message)}"

    def _greeting(self, greeting: Any) -> Iterator[Fault]:
        if self._greeting_seen and (self._open or self._jobs.live):
            yield "QMP-GREET-1", "a second greeting"
        self._greeted = self._greeting_seen = True
        self._negotiated = False
        qemu = greeting["version"]["qemu"]
        if not isinstance(greeting["capabilities"], list):
            yield "QMP-GREET-1", "the greeting has no list of capabilities"
        if not self._fixed:
            self._jobs.profile = profile_for(qemu["major"], qemu["minor"])

    def _event(self, message: dict[str, Any]) -> Iterator[Fault]:
        stamp = message.get("timestamp")
        numbers = [stamp.get(k) for k in ("seconds", "microseconds")] if stamp else [None]
        if not all(isinstance(n, int) and not isinstance(n, bool) for n in numbers):
            yield "QMP-EVENT-1", f"event {message['event']} has timestamp {stamp!r}"
        name, data = message["event"], message.get("data", {})
        if fault := event_fault(name, data, self._jobs.profile.name):
            yield "QMP-EVENT-1", fault
            return
        if name == "SHUTDOWN":
            self._shutdown = True
        elif name == "JOB_STATUS_CHANGE":
            yield from self._status_change(data)
        elif name in FINAL:
            self._ends_before_its_reply(data["device"])
            yield from self._jobs.final_event(name, data)
            if not self._jobs.profile.job_status_events:
                self._data.ended(data["device"], self._index)
            if name == "BLOCK_JOB_COMPLETED" and "error" not in data:
                self._data.completed(data["device"], self._index)
        elif name == "BLOCK_JOB_ERROR":
            self._data.fails(data["device"])
            yield from self._jobs.error_event(data)
        elif name == "BLOCK_JOB_PENDING":
            yield from self._jobs.pending_event(data)

    def _ends_before_its_reply(self, job_id: str) -> None:
        """In 2013 a job starts while its command prepares, and may end before the reply."""
        if self._jobs.profile.job_status_events or job_id in self._jobs.live or not self._open:
            return
        command = self._open[0]
        if (backup := command.backup_for(job_id)) is not None:
            command.ended_early.append(job_id)
            self._jobs.begin(job_id, backup)

    def _status_change(self, data: Any) -> Iterator[Fault]:
        command = self._open[0] if self._open else None
        backup = command.backup_for(data["id"]) if command else None
        if command is not None and command.verb == "resume" and command.job_id == data["id"]:
            self._jobs.resumed(data["id"])  # what it does may come before its reply
        yield from self._jobs.status_change(data, backup)
        job = self._jobs.live.get(data["id"])
        if job is not None and data["status"] == Status.CONCLUDED:  # its drive is free from now on
            self._busy = [name for name in self._busy if name != (job.backup or {}).get("device")]
        if data["status"] == Status.CONCLUDED:  # dismissed or not, it copies nothing any more
            self._data.ended(data["id"], self._index)
        if command is None:
            return
        if command.verb and command.job_id == data["id"]:
            command.statuses.add(Status(data["status"]))
        if data["status"] == Status.CREATED:
            self._data.created(data["id"])
            command.created.append(data["id"])
            if command.grouped:
                command.group.append(self._jobs.live[data["id"]])
                self._jobs.live[data["id"]].group = command.group
        elif data["status"] == Status.RUNNING and data["id"] in self._jobs.live:
            if command.begun is None and data["id"] in command.created:
                command.begun = self._index
            yield from commands.job_runs(command, self._jobs.live[data["id"]])

    def _reply(self, message: dict[str, Any]) -> Iterator[Fault]:
        if self._answers_raw(message):
            self._raw_answers += 1
            return
        if self._out_of_band and self._overtakes(message):
            return
        if not self._open:
            yield "QMP-ORDER-1", "a reply that answers no command"
            return
        command = self._open.popleft()
        asked = command.request_id
        if not same_id(asked, message.get("id")):
            yield "QMP-ID-1", f"the request has id {asked!r}, the reply {message.get('id')!r}"
        if "error" in message:
            yield from self._refused(command, message["error"])
        else:
            yield from self._accepted(command, message["return"])
        if self._open:
            self._taken_up()

    def _overtakes(self, message: dict[str, Any]) -> bool:
        """Whether it answers a command that was sent out of band, and of which no order is known.

        Where the oldest other command has the same id, or both have none, either may be meant: an
        error that speaks of out-of-band execution answers what was sent so.
        """
        found = [c for c in self._out_of_band if same_id(c.request_id, message.get("id"))]
        if not found:
            return False
        either = self._open and same_id(self._open[0].request_id, message.get("id"))
        if either and "OOB" not in str(message.get("error")):
            return False
        self._out_of_band.remove(found[0])
        return True

    def _answers_raw(self, message: dict[str, Any]) -> bool:
        """Bytes sent as they are may hold anything: their answers come while nothing else waits."""
        return self._raw_sent > 0 and not self._open and not self._out_of_band

    def _refused(self, command: Command, error: Any) -> Iterator[Fault]:
        texts = [error.get("class"), error.get("desc")]
        if not all(isinstance(text, str) for text in texts):
            yield "QMP-BAD-1", f"an error without class and desc: {error!r}"
            return
        known = error["class"] == "CommandNotFound"
        if not self._negotiated and command.name and not known:
            if command.name != "qmp_capabilities":
                yield "QMP-NEGOTIATE-1", f"before negotiation the class is {error['class']}"
            return
        asked = (command.verb, command.job_id)
        if all((other.verb, other.job_id) != asked for other in self._open):
            self._jobs.asked.discard(asked)  # nothing will come of it
        yield from commands.refused(command, error, self._jobs)

    def _accepted(self, command: Command, value: Any) -> Iterator[Fault]:
        if command.name == "qmp_capabilities":
            self._negotiated = True
        elif not self._negotiated:
            yield "QMP-NEGOTIATE-1", f"{command.name!r} succeeds before negotiation"
        elif not command.name:
            yield "QMP-BAD-1", "what is no command succeeds"
        elif command.name == "quit":
            self._quit = True
        elif command.name in ("query-block-jobs", "query-jobs"):
            block = command.name == "query-block-jobs"
            if isinstance(value, list):
                yield from self._jobs.listed(value, block)
            else:
                yield "JOB-LIST-1", f"{command.name} returns no list: {value!r}"
        if command.name in commands.STARTERS:
            if self._busy:
                yield "ARG-BUSY-1", f"a backup of busy {self._busy} succeeds"
            self._data.started(command)
        yield from commands.accepted(command, self._jobs, self._drives)

    def _at_end(self) -> Iterator[Fault]:
        if self._raw_sent and not self._raw_answers:
            yield "QMP-BAD-1", "bytes that were sent as they are got no answer"
        if not (self._quit or (self._quit_sent and self._exit == 0)):
            return
        for command in (*self._open, *self._out_of_band):
            yield "QMP-ORDER-1", f"record {command.index}, {command.name!r}, is never answered"
        if not self._shutdown and not self._daemon and not self._jobs.joined:
            yield "JOB-QUIT-1", "quit without the event SHUTDOWN"
        for job in self._jobs.live.values():
            if job.backup is None:  # one that makes an image always waits to be dismissed
                continue
            if job.started and not job.final:
                yield "JOB-QUIT-1", f"job {job.id!r} is still {job.status} at the end"
            elif job.status is Status.CONCLUDED and not is_manual(job, "auto-dismiss"):
                yield "JOB-END-1", f"job {job.id!r} is still {job.status} at the end"
