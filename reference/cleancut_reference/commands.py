"""What each QMP command does: a table from its name to a function of the state.

A function returns what the command returns, or something to wait for; it raises QmpError to refuse.
Arguments have been checked against the schema before.
"""

from collections.abc import Callable
from typing import Any, Final

from cleancut_reference import block_commands, errors, run_state
from cleancut_reference.actions.table import read_transaction
from cleancut_reference.backup_arguments import read_backup
from cleancut_reference.devices import device_add
from cleancut_reference.introspection import served
from cleancut_reference.jobs.job import Job
from cleancut_reference.monitor import human_monitor_command
from cleancut_reference.outputs import Event
from cleancut_reference.qmp.arguments import schema
from cleancut_reference.queries import (
    block_job_info,
    job_info,
    query_block,
    query_named_block_nodes,
)
from cleancut_reference.state import State
from cleancut_reference.transaction import Transaction
from cleancut_reference.waiting import Wait
from cleancut_spec import cites
from cleancut_spec.jobs import ALLOWED, Status, Verb

VERSION: Final = {"qemu": {"micro": 0, "minor": 2, "major": 7}, "package": "cleancut 0.1.0"}

Arguments = dict[str, Any]


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


def _schema(_: State, arguments: Arguments) -> Any:
    return served([*COMMANDS, "qmp_capabilities"])


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
    "query-block": query_block,
    "query-named-block-nodes": query_named_block_nodes,
    "query-version": lambda state, _: VERSION,
    "query-status": run_state.query_status,
    "query-name": lambda state, _: {},
    "stop": run_state.stop,
    "cont": run_state.cont,
    "blockdev-add": block_commands.blockdev_add,
    "blockdev-del": block_commands.blockdev_del,
    "block_resize": block_commands.block_resize,
    "eject": block_commands.eject,
    "object-add": block_commands.object_add,
    "object-del": block_commands.object_del,
    "device_add": device_add,
    "query-commands": _names,
    "query-qmp-schema": _schema,
    "human-monitor-command": human_monitor_command,
    "quit": quit_server,
}
assert COMMANDS.keys() <= schema().keys(), "every command is in the schema"
