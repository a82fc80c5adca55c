"""The commands of the human monitor: `qemu-io`, `drive_add`, `drive_del`.

What they have to say is a text; what a `qemu-io` command says is printed, as QEMU does.
"""

import shlex
from collections.abc import Callable, Generator
from functools import partial
from typing import Any, Final

from cleancut_reference import errors, qemu_io
from cleancut_reference.block import gates, guest
from cleancut_reference.block.description import check_device_id
from cleancut_reference.block.node import Drive, Node
from cleancut_reference.block.request import DiskRequest, Outcome
from cleancut_reference.block_commands import blockdev_del, open_node, take_out
from cleancut_reference.clock import WaitForClock, wake_ns
from cleancut_reference.drive_option import DriveOption
from cleancut_reference.errors import QmpError
from cleancut_reference.outputs import Console
from cleancut_reference.state import Clock, State
from cleancut_reference.waiting import WaitForBreak, WaitForRequests

Text = Generator[DiskRequest, Outcome, str]


def human_monitor_command(state: State, arguments: dict[str, Any]) -> Any:
    """A command of the human monitor; an error is part of the answer."""
    name, _, rest = arguments["command-line"].strip().partition(" ")
    if not name:
        return ""
    if name not in HUMAN_COMMANDS:
        return f"unknown command: '{name}'\r\n"
    try:
        answer = HUMAN_COMMANDS[name](state, rest)
    except QmpError as error:
        return _refusal(state, error)
    return _tell(state, answer) if isinstance(answer, Generator) else answer


def _tell(state: State, work: Text) -> Text:
    try:
        return (yield from work)
    except QmpError as error:
        return _refusal(state, error)


def _refusal(state: State, error: QmpError) -> str:
    """What the human monitor prints of an error."""
    prefix = state.profile.human_error_prefix
    return f"{prefix}{error.desc.removeprefix(prefix)}\r\n"


def qemu_io_command(state: State, rest: str) -> Any:
    """`qemu-io DRIVE "COMMAND"`: a guest request, or a breakpoint of a blkdebug node."""
    try:
        words = [word for word in shlex.split(rest) if word != "-d"]
    except ValueError:
        raise errors.generic("qemu-io: string expected") from None
    if len(words) < 2:
        raise _expected("qemu-io", "string" if words else "block device name")
    way_in = _way_in(state, words[0])
    if not words[1].strip():
        return ""
    try:
        return _perform(state, way_in, words[1])
    except qemu_io.IoError as error:
        state.outbox.append(Console(f"{error}\n"))
        return ""


def _expected(command: str, what: str) -> QmpError:
    """An argument is missing."""
    help_text = f'Try "help {command}" for more information'
    return errors.generic(f"{command}: {what} expected\r\n{help_text}")


def _way_in(state: State, name: str) -> Drive:
    """The drive with this name, or a way in of its own to the node."""
    drive = state.graph.drive(name)
    if drive is not None:
        return drive
    if name not in state.graph.nodes:
        raise errors.generic(f"Error: {errors.no_device('', name).desc}")
    return Drive("", state.graph.nodes[name])


def _perform(state: State, drive: Drive, line: str) -> Any:
    command = qemu_io.parse(line)
    match command:
        case qemu_io.Breakpoint():
            return _breakpoint(state, drive, command)
        case qemu_io.Length():
            if drive.root is None:
                raise qemu_io.IoError(f"getlength: {errors.strerror('ENOMEDIUM')}")
            state.outbox.append(Console(f"{qemu_io.human(drive.root.size_bytes)}\n"))
            return ""
        case qemu_io.Drain():
            traffic = drive.traffic
            return WaitForRequests("", list(traffic.requests) if traffic else [])
    if command.op.changes and drive.root is not None:
        _check_writable(state, drive, drive.root)
    request = guest.submit(
        state,
        drive,
        command.op,
        command.offset_bytes,
        command.length_bytes,
        command.data(),
        partial(qemu_io.report, command),
    )
    wait = command.wait or not drive.name  # a way in of its own lasts no longer than the command
    return WaitForRequests("", [request]) if wait else ""


def _check_writable(state: State, drive: Drive, root: Node) -> None:
    """Refuse to write to a node that is read-only, or below one that counts on it."""
    if root.read_only:
        raise errors.generic("Block node is read-only")
    if not drive.name:
        state.graph.check_permission(root, "write", errors.UNNAMED.format(root.name))


def _breakpoint(state: State, drive: Drive, command: qemu_io.Breakpoint) -> Any:
    tag = command.tag
    match command.verb:
        case "break":
            errno = gates.set_breakpoint(drive.root, command.event, tag)
            what = "Could not set breakpoint"
        case "resume":
            errno = gates.resume(state, drive.root, tag)
            what = "Could not resume request"
        case "remove_break":
            errno = gates.remove_breakpoint(state, drive.root, tag)
            what = f"Could not remove breakpoint {tag}"
        case _:
            if gates.is_set(drive.root, tag):
                return WaitForBreak("", drive, tag)
            errno, what = "ENOENT", f"Could not wait for breakpoint {tag}"
    if errno:
        raise qemu_io.IoError(f"{what}: {errors.strerror(errno)}")
    return ""


def drive_add(state: State, rest: str) -> Text:
    """`drive_add 0 OPTIONS`: a drive as `-drive` makes one."""
    *address, text = rest.split(" ", 1)
    if not address:
        raise _expected("drive_add", "string")
    option = DriveOption.parse(text)
    check_device_id(state.graph, option.id)
    drive = Drive(option.id)
    if option.node is not None:
        drive.root = yield from open_node(state, dict(option.node), called=option.id)
    state.graph.drives.append(drive)
    return "OK\r\n"


def drive_del(state: State, rest: str) -> Text:
    """`drive_del NAME`: the drive is gone, and its medium unless others have it; or a node is."""
    name = rest.strip()
    if not name:
        raise _expected("drive_del", "block device name")
    if name in state.graph.nodes:
        yield from blockdev_del(state, {"node-name": name})
        return ""
    drive = state.graph.drive(name)
    if drive is None:
        raise errors.generic(f"Device '{name}' not found")
    root = drive.root
    if root is not None:
        state.graph.check_not_blocked(root)
    if drive.device is None:
        state.graph.drives.remove(drive)
    drive.name = ""
    if root is not None:
        yield from take_out(state, drive, root)
    return ""


def clock_step(state: State, rest: str) -> WaitForClock:
    """`clock_step [NS]`: let time go on by so much, or up to where something happens again."""
    if state.clock is not Clock.MANUAL:
        raise errors.generic("clock_step: time runs by itself; start the server with clock manual")
    if not rest:
        return WaitForClock("", wake_ns(state) or state.now_ns)
    if not rest.isascii() or not rest.isdigit():
        raise errors.generic(f"clock_step: '{rest}' is no number of nanoseconds")
    return WaitForClock("", state.now_ns + int(rest))


HUMAN_COMMANDS: Final[dict[str, Callable[[State, str], Any]]] = {
    "clock_step": clock_step,
    "qemu-io": qemu_io_command,
    "drive_add": drive_add,
    "drive_del": drive_del,
}
