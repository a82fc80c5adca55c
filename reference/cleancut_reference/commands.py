"""What each QMP command does: a table from its name to a function of the state.

A function returns what the command returns, or something to wait for; it raises QmpError to refuse.
Arguments have been checked against the schema before.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from cleancut_reference import errors, qemu_io
from cleancut_reference.actions.table import read_transaction
from cleancut_reference.backup_arguments import read_backup
from cleancut_reference.block import guest
from cleancut_reference.block.node import Drive
from cleancut_reference.block.traffic import GuestOp
from cleancut_reference.jobs.job import Job
from cleancut_reference.outputs import Event
from cleancut_reference.qmp.arguments import schema
from cleancut_reference.queries import block_info, block_job_info, job_info, named_nodes
from cleancut_reference.state import State
from cleancut_reference.step import Step
from cleancut_reference.transaction import Transaction
from cleancut_spec import cites
from cleancut_spec.jobs import ALLOWED, Status, Verb

VERSION: Final = {"qemu": {"micro": 0, "minor": 2, "major": 7}, "package": "cleancut 0.1.0"}

Arguments = dict[str, Any]


@dataclass(slots=True, eq=False)
class Wait:
    """A command that waits, with no step of its own, until `done`; then it answers `value`."""

    done: Callable[[], bool]
    value: Any

    def steps(self, state: State) -> Iterator[Step]:
        """None of its own."""
        return iter(())

    def result(self) -> Any | None:
        """What to answer; None while it waits."""
        return self.value if self.done() else None


def transaction(state: State, arguments: Arguments) -> Transaction:
    """Start several backups at one cut, or none."""
    return read_transaction(arguments)


def drive_backup(state: State, arguments: Arguments) -> Transaction:
    """Start one backup."""
    return Transaction([read_backup(arguments)])


def _find_job(state: State, job_id: str, verb: Verb) -> Job:
    job = state.job(job_id)
    if job is None:
        raise errors.no_job(job_id)
    if job.status not in ALLOWED[verb]:
        raise errors.wrong_status(job_id, job.status, verb)
    return job


@cites("JOB-CANCEL-1", "JOB-CANCEL-2", "JOB-NONE-1")
def block_job_cancel(state: State, arguments: Arguments) -> Any:
    """End a job early; a paused one only with `force`."""
    job = _find_job(state, arguments["device"], Verb.CANCEL)
    if job.user_paused and not arguments.get("force", False):
        raise errors.generic(f"The block job for device '{job.id}' is currently paused")
    job.cancelled = True
    return {}


@cites("JOB-PAUSE-1", "JOB-NONE-1")
def block_job_pause(state: State, arguments: Arguments) -> Wait:
    """Stop copying; answered when the job stands still."""
    job = _find_job(state, arguments["device"], Verb.PAUSE)
    if job.user_paused:
        raise errors.generic("Job is already paused")
    job.user_paused = True
    return Wait(lambda: job.status is not Status.RUNNING or job.ending, {})


@cites("JOB-RESUME-1", "POLICY-STOP-1", "JOB-NONE-1")
def block_job_resume(state: State, arguments: Arguments) -> Any:
    """Go on copying, after a pause or an error under policy `stop`."""
    job = _find_job(state, arguments["device"], Verb.RESUME)
    if not job.user_paused:
        raise errors.generic("Can't resume a job that was not paused")
    job.user_paused = False
    job.io_status = "ok"
    if job.status is Status.PAUSED and not job.source.traffic.drained:
        state.outbox.append(job.move(Status.RUNNING))
    return {}


@cites("JOB-SPEED-2", "ARG-SPEED-1", "JOB-NONE-1")
def block_job_set_speed(state: State, arguments: Arguments) -> Any:
    """Change the speed; a delay that the old one imposed ends."""
    job = _find_job(state, arguments["device"], Verb.SET_SPEED)
    if arguments["speed"] < 0:
        raise errors.generic("Parameter 'speed' expects a non-negative value")
    job.speed_bytes_per_s = arguments["speed"]
    job.not_before_ns = state.now_ns
    return {}


@cites("JOB-LIST-1")
def query_block_jobs(state: State, arguments: Arguments) -> Any:
    """The jobs, newest first."""
    return [block_job_info(state, job) for job in reversed(state.jobs)]


def human_monitor_command(state: State, arguments: Arguments) -> Any:
    """`qemu-io DRIVE "COMMAND"`: a guest request; anything else is unknown."""
    line: str = arguments["command-line"]
    name = (line.split() or [""])[0]
    if name != "qemu-io":
        return f"unknown command: '{name}'\r\n"
    try:
        drive_name, command = qemu_io.split_monitor_line(line)
        drive = state.graph.drive(drive_name)
        if drive is None:
            return f"{errors.no_device(drive_name).desc}\r\n"
        request = qemu_io.parse(command)
    except qemu_io.IoError as error:
        return f"{error}\r\n"
    return _submit(state, drive, request)


def _submit(state: State, drive: Drive, command: qemu_io.IoCommand) -> Any:
    if command.op is GuestOp.FLUSH and drive.root:
        open_requests = list(drive.root.traffic.requests)
        return Wait(lambda: all(request.ended for request in open_requests), "")
    request = guest.submit(
        state,
        drive,
        command.op,
        command.offset_bytes,
        command.length_bytes,
        command.data(),
        partial(qemu_io.report, command),
    )
    return Wait(lambda: request.ended, "") if command.wait else ""


@cites("JOB-QUIT-1")
def quit_server(state: State, arguments: Arguments) -> Wait:
    """Cancel every job, then end."""
    data = {"guest": False, "reason": "host-qmp-quit"}
    state.outbox.append(Event("SHUTDOWN", data))
    for job in state.jobs:
        job.cancelled = True

    def ended() -> bool:
        state.shut_down = not state.jobs
        return state.shut_down

    return Wait(ended, {})


def _names(_: State, arguments: Arguments) -> Any:
    return [{"name": name} for name in COMMANDS]


#: Every command but `qmp_capabilities`, which belongs to the session.
COMMANDS: Final[dict[str, Callable[[State, Arguments], Any]]] = {
    "transaction": transaction,
    "drive-backup": drive_backup,
    "block-job-cancel": block_job_cancel,
    "block-job-pause": block_job_pause,
    "block-job-resume": block_job_resume,
    "block-job-set-speed": block_job_set_speed,
    "query-block-jobs": query_block_jobs,
    "query-jobs": lambda state, _: [job_info(job) for job in reversed(state.jobs)],
    "query-block": lambda state, _: [block_info(drive) for drive in state.graph.drives],
    "query-named-block-nodes": lambda state, _: named_nodes(state),
    "query-version": lambda state, _: VERSION,
    "query-status": lambda state, _: {"status": "running", "singlestep": False, "running": True},
    "query-commands": _names,
    "human-monitor-command": human_monitor_command,
    "quit": quit_server,
}
assert COMMANDS.keys() <= schema().keys(), "every command is in the schema"
