"""The table of action kinds: how each reads its `data`."""

from collections.abc import Callable
from typing import Any, Final

from cleancut_reference.actions.abort import Abort
from cleancut_reference.actions.action import Action
from cleancut_reference.actions.bitmap import REMOVE, reader
from cleancut_reference.actions.internal_snapshot import read_internal_snapshot
from cleancut_reference.actions.snapshot import read_snapshot, read_snapshot_sync
from cleancut_reference.backup_arguments import read_backup, read_blockdev_backup
from cleancut_reference.bitmap_commands import CHANGES
from cleancut_reference.errors import generic
from cleancut_reference.jobs.group import Group
from cleancut_reference.transaction import Transaction

#: A kind's name in `transaction`, and what makes an action of its arguments.
KINDS: Final[dict[str, Callable[[dict[str, Any], Group | None], Action]]] = {
    "abort": lambda data, group: Abort(),
    "blockdev-backup": read_blockdev_backup,
    "blockdev-snapshot": read_snapshot,
    "blockdev-snapshot-internal-sync": read_internal_snapshot,
    "blockdev-snapshot-sync": read_snapshot_sync,
    "drive-backup": read_backup,
    **{kind: reader(kind) for kind in (*CHANGES, REMOVE)},
}


def read_transaction(arguments: dict[str, Any]) -> Transaction:
    """The transaction that these arguments ask for; raises QmpError for an unknown kind."""
    properties = arguments.get("properties", {})
    grouped = properties.get("completion-mode", "individual") == "grouped"
    group = Group() if grouped else None
    return Transaction([_read_action(action, group) for action in arguments["actions"]], grouped)


def _read_action(action: dict[str, Any], group: Group | None) -> Action:
    kind = action["type"]
    if kind not in KINDS:
        raise generic(f"Action '{kind}' is not supported by this server")
    return KINDS[kind](action["data"], group)
