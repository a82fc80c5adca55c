"""What each QMP command does: a table from its name to a function of the state.

A function returns what the command returns, or something to wait for; it raises QmpError to refuse.
Arguments have been checked against the schema before.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, Final

from cleancut_reference import bitmap_commands, block_commands, exports, run_state
from cleancut_reference.actions.internal_snapshot import delete_internal
from cleancut_reference.actions.table import KINDS, read_transaction
from cleancut_reference.backup_arguments import read_backup, read_blockdev_backup
from cleancut_reference.creating import blockdev_create
from cleancut_reference.devices import device_add, device_del
from cleancut_reference.introspection import served
from cleancut_reference.jobs import ending, verbs
from cleancut_reference.monitor import human_monitor_command
from cleancut_reference.outputs import Event
from cleancut_reference.qmp.session import NEGOTIATION
from cleancut_reference.queries import (
    block_job_info,
    job_info,
    query_block,
    query_named_block_nodes,
)
from cleancut_reference.reopen import blockdev_reopen
from cleancut_reference.state import State
from cleancut_reference.statistics import query_blockstats
from cleancut_reference.transaction import Transaction
from cleancut_reference.waiting import WaitForShutdown
from cleancut_spec import cites
from cleancut_spec.profiles import Profile
from cleancut_spec.qmp import schema

PACKAGE: Final = "cleancut 0.1.0"

Arguments = dict[str, Any]


def version(profile: Profile) -> dict[str, Any]:
    """What the greeting and `query-version` say."""
    major, minor, micro = map(int, profile.version.split("."))
    return {"qemu": {"major": major, "minor": minor, "micro": micro}, "package": PACKAGE}


def transaction(state: State, arguments: Arguments) -> Transaction:
    """Start several backups at one cut, or none."""
    return read_transaction(arguments)


def drive_backup(state: State, arguments: Arguments) -> Transaction:
    """Start one backup."""
    return Transaction([read_backup(arguments, None)])


def blockdev_backup(state: State, arguments: Arguments) -> Transaction:
    """Start one backup to a node."""
    return Transaction([read_blockdev_backup(arguments, None)])


#: Actions of a transaction that are commands, too.
SNAPSHOTS: Final = (
    "blockdev-snapshot",
    "blockdev-snapshot-internal-sync",
    "blockdev-snapshot-sync",
)


def _alone(kind: str, state: State, arguments: Arguments) -> Transaction:
    """An action in a transaction of its own."""
    return Transaction([KINDS[kind](arguments, None)])


@cites("JOB-LIST-1")
def query_block_jobs(state: State, arguments: Arguments) -> Any:
    """The jobs, newest first."""
    return [block_job_info(job) for job in reversed(state.jobs)]


def query_jobs(state: State, arguments: Arguments) -> Any:
    """The jobs, those that make images first, each kind newest first."""
    making = [job.info() for job in reversed(state.creations)]
    return making + [job_info(job) for job in reversed(state.jobs)]


@cites("JOB-QUIT-1")
def quit_server(state: State, arguments: Arguments) -> WaitForShutdown:
    """End."""
    return shut_down(state, "host-qmp-quit")


@cites("JOB-QUIT-1")
def shut_down(state: State, reason: str) -> WaitForShutdown:
    """Remove every export and cancel every job, then end."""
    data = {"guest": False, "reason": reason}
    state.outbox.append(Event("SHUTDOWN", data))
    state.quitting = True
    exports.shut_down_all(state)
    for job in state.jobs:
        if not job.over:
            ending.cancel(job)
    for creation in state.creations:
        creation.cancelled = True
    return WaitForShutdown({}, state)


def query_version(state: State, arguments: Arguments) -> Any:
    """The version of QEMU whose behaviour this server has."""
    return version(state.profile)


def query_name(state: State, arguments: Arguments) -> Any:
    """The guest's name: it has none."""
    return {}


def query_qmp_schema(state: State, arguments: Arguments) -> Any:
    """What this server has of QMP's schema, and no more."""
    return served([NEGOTIATION, *COMMANDS], state.profile.name)


def query_commands(state: State, arguments: Arguments) -> Any:
    """The names of all commands."""
    names = (NEGOTIATION, *COMMANDS)
    return [{"name": name} for name in names if name in schema(state.profile.name)]


#: Every command but that of the session.
COMMANDS: Final[dict[str, Callable[[State, Arguments], Any]]] = {
    "transaction": transaction,
    "blockdev-backup": blockdev_backup,
    **{kind: partial(_alone, kind) for kind in SNAPSHOTS},
    "blockdev-snapshot-delete-internal-sync": delete_internal,
    "drive-backup": drive_backup,
    **verbs.COMMANDS,
    **bitmap_commands.COMMANDS,
    "query-block-jobs": query_block_jobs,
    "query-jobs": query_jobs,
    "query-block": query_block,
    "query-named-block-nodes": query_named_block_nodes,
    "query-blockstats": query_blockstats,
    "query-version": query_version,
    "query-status": run_state.query_status,
    "query-name": query_name,
    "stop": run_state.stop,
    "cont": run_state.cont,
    "migrate-pause": run_state.migrate_pause,
    "blockdev-create": blockdev_create,
    "blockdev-add": block_commands.blockdev_add,
    "blockdev-del": block_commands.blockdev_del,
    "blockdev-reopen": blockdev_reopen,
    "block_resize": block_commands.block_resize,
    "eject": block_commands.eject,
    "object-add": block_commands.object_add,
    "object-del": block_commands.object_del,
    "device_add": device_add,
    "device_del": device_del,
    "query-commands": query_commands,
    "query-qmp-schema": query_qmp_schema,
    "nbd-server-start": exports.nbd_server_start,
    "nbd-server-add": exports.nbd_server_add,
    "nbd-server-remove": exports.nbd_server_remove,
    "nbd-server-stop": exports.nbd_server_stop,
    "block-export-add": exports.block_export_add,
    "block-export-del": exports.block_export_del,
    "query-block-exports": exports.query_block_exports,
    "human-monitor-command": human_monitor_command,
    "quit": quit_server,
}
#: The commands that are a transaction, of one action or of more.
TRANSACTIONS: Final = frozenset({"transaction", "drive-backup", "blockdev-backup"})
assert COMMANDS.keys() <= schema().keys(), "every command is in the schema"
