"""The QMP commands that serve nodes by NBD, and the end of an export."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from cleancut_reference import bitmap_commands, errors
from cleancut_reference.block.dirty_bitmap import DirtyBitmap, check_usable
from cleancut_reference.block.node import Drive, Node
from cleancut_reference.block.request import DiskRequest, Failed, Op, Outcome
from cleancut_reference.nbd.address import UNLIMITED, Listen, read_address
from cleancut_reference.nbd.export import Export
from cleancut_reference.nbd.wire import MAX_STRING_BYTES
from cleancut_reference.outputs import Event, HangUp, StopListening
from cleancut_reference.procedure import Work
from cleancut_reference.state import State
from cleancut_reference.step import Step
from cleancut_reference.waiting import WaitForExports

Arguments = dict[str, Any]

_ID: Final = re.compile(r"[A-Za-z][A-Za-z0-9._-]*")


def nbd_server_start(state: State, arguments: Arguments) -> Work:
    """Listen for NBD clients; there is nothing for them until a node is exported."""
    max_connections = arguments.get("max-connections", UNLIMITED)
    if not 0 <= max_connections < 1 << 32:
        raise errors.generic("Parameter 'max-connections' expects uint32_t")
    kind, data = arguments["addr"]["type"], arguments["addr"]["data"]
    if not 0 <= data.get("to", 0) < 1 << 16:
        raise errors.generic("Parameter 'to' expects uint16_t")
    if state.nbd_running:
        raise errors.generic("NBD server already running")
    address = read_address(kind, data)
    if "tls-creds" in arguments:
        raise errors.generic(f"No TLS credentials with id '{arguments['tls-creds']}'")
    listen = Listen(address, max_connections)
    outcome = yield DiskRequest(Op.LISTEN, "", listen=listen)
    if isinstance(outcome, Failed):
        raise errors.generic(outcome.desc)
    state.nbd_running = True
    return {}


def nbd_server_stop(state: State, arguments: Arguments) -> WaitForExports:
    """Disconnect all clients and remove all exports; answered when they are gone."""
    if not state.nbd_running:
        raise errors.generic("NBD server not running")
    state.nbd_running = False
    state.outbox.append(StopListening())
    shut_down_all(state)
    return WaitForExports({}, state)


def nbd_server_add(state: State, arguments: Arguments) -> Any:
    """Export a drive or node under its own name or another; the old form of `block-export-add`."""
    node = state.graph.find(arguments["device"])
    name: str = arguments["name"] if "name" in arguments else arguments["device"]
    writable = arguments.get("writable", False) and not node.read_only
    bitmaps = [arguments["bitmap"]] if "bitmap" in arguments else []
    _add(state, name, node, arguments | {"name": name, "writable": writable, "bitmaps": bitmaps})
    return {}


def block_export_add(state: State, arguments: Arguments) -> Any:
    """Export a node."""
    _check_id(state, arguments["id"])
    if arguments["type"] != "nbd":
        raise errors.generic("No driver found for the requested export type")
    node = state.graph.find_by("", arguments["node-name"])
    if arguments.get("writable", False) and node.read_only:
        raise errors.generic("Cannot export read-only node as writable")
    iothread = arguments.get("iothread")
    if iothread is not None and state.objects.get(iothread) != "iothread":
        raise errors.generic(f'iothread "{iothread}" not found')
    _add(state, arguments["id"], node, {"name": arguments["node-name"]} | arguments)
    return {}


def _check_id(state: State, export_id: str) -> None:
    if not _ID.fullmatch(export_id):
        raise errors.generic("Invalid block export id")
    if find(state, export_id) is not None:
        raise errors.generic(f"Block export id '{export_id}' is already in use")


def _add(state: State, export_id: str, node: Node, arguments: Arguments) -> None:
    _check_id(state, export_id)
    name, description = arguments["name"], arguments.get("description", "")
    writable = arguments.get("writable", False)
    if writable:
        state.graph.check_permission(node, "write", errors.UNNAMED.format(node.name))
    if not state.nbd_running:
        raise errors.generic("NBD server not running")
    for what, text in (("export name", name), ("description", description)):
        if len(text.encode()) > MAX_STRING_BYTES:
            raise errors.generic(f"{what} '{text}' too long")
    if any(export.name == name for export in state.exports):
        raise errors.generic(f"NBD server already has export named '{name}'")
    bitmaps = _bitmaps(state, node, arguments)
    for bitmap in bitmaps:
        bitmap.busy = True
    drive = Drive("", node)
    state.graph.drives.append(drive)
    state.exports.append(Export(export_id, name, description, drive, writable, bitmaps))


def check_may_resize(state: State, node: Node) -> None:
    """Clients have been told the size of what is exported; raises QmpError."""
    if any(export.drive.root is node for export in state.exports):
        unnamed = errors.UNNAMED.format(node.name)
        raise errors.permission_conflict(node.name, "resize", unnamed, unnamed)


def _bitmaps(state: State, node: Node, arguments: Arguments) -> list[DirtyBitmap]:
    """The bitmaps that clients may see; raises QmpError."""
    if arguments.get("allocation-depth", False):
        raise errors.generic("Parameter 'allocation-depth' is not supported by this server")
    writable = arguments.get("writable", False)
    found = [_bitmap(state, node, item, writable) for item in arguments.get("bitmaps", [])]
    return [check_usable(bitmap) for bitmap in found]


def _bitmap(state: State, node: Node, item: Any, writable: bool) -> DirtyBitmap:
    """A bitmap of the node that is named, or the first of this name down the backing chain."""
    if isinstance(item, dict):
        return bitmap_commands.find(state, item["node"], item["name"])[1]
    for image in node.chain():
        bitmap = image.bitmap(item)
        if bitmap is None:
            continue
        if bitmap.enabled and not writable and not image.read_only:
            text = f"Enabled bitmap '{bitmap.name}' incompatible with readonly export"
            raise errors.generic(text)
        return bitmap
    raise errors.generic(f"Bitmap '{item}' is not found")


def find(state: State, export_id: str) -> Export | None:
    """The export with this id."""
    return next((export for export in state.exports if export.id == export_id), None)


def nbd_server_remove(state: State, arguments: Arguments) -> Any:
    """Remove an export; the old form of `block-export-del`."""
    return _remove(state, arguments["name"], arguments)


def block_export_del(state: State, arguments: Arguments) -> Any:
    """Remove an export; one that clients use only in mode `hard`, which disconnects them."""
    return _remove(state, arguments["id"], arguments)


def _remove(state: State, export_id: str, arguments: Arguments) -> Any:
    export = find(state, export_id)
    if export is None:
        raise errors.generic(f"Export '{export_id}' is not found")
    if arguments.get("mode", "safe") == "safe" and (export.clients or export.busy):
        raise errors.generic(f"export '{export_id}' still in use")
    shut_down(state, export)
    return {}


def query_block_exports(state: State, arguments: Arguments) -> Any:
    """The exports, newest first."""
    return [
        {
            "id": export.id,
            "type": "nbd",
            "node-name": export.drive.root.name if export.drive.root else "",
            "shutting-down": export.shutting_down,
        }
        for export in reversed(state.exports)
    ]


def shut_down(state: State, export: Export) -> None:
    """Disconnect its clients; it is gone when their requests have ended."""
    export.shutting_down = True
    export.clients.clear()
    state.outbox.append(HangUp(export.id))


def shut_down_all(state: State) -> None:
    """The same for all exports."""
    for export in state.exports:
        shut_down(state, export)


def steps(state: State) -> Iterator[Step]:
    """An export that is shutting down is gone as soon as nothing of it is under way."""
    for export in state.exports:
        if export.shutting_down and not export.busy:
            yield _end(state, export)


def _end(state: State, export: Export) -> Step:
    def run(_: Outcome) -> None:
        state.exports.remove(export)
        for bitmap in export.bitmaps:
            bitmap.busy = False
        state.graph.drives.remove(export.drive)
        state.outbox.append(Event("BLOCK_EXPORT_DELETED", {"id": export.id}))

    return Step(None, run)
