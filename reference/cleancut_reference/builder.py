"""Builds the state that a command line describes: objects, nodes, drives."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from cleancut_reference.arithmetic import round_up
from cleancut_reference.block.description import check_device_id, nest
from cleancut_reference.block.faults import Faults
from cleancut_reference.block.node import Drive
from cleancut_reference.block.request import Op, Outcome
from cleancut_reference.block_commands import blockdev_add, object_add, open_node
from cleancut_reference.devices import device_add
from cleancut_reference.disk import Disk
from cleancut_reference.drive_option import DriveOption, split
from cleancut_reference.errors import QmpError
from cleancut_reference.procedure import Work
from cleancut_reference.qmp.arguments import check_arguments
from cleancut_reference.qmp.parser import Bad, parse
from cleancut_reference.qmp.typed import typed
from cleancut_reference.sizes import SECTOR_BYTES, SizeError, parse_size
from cleancut_reference.state import State


class UsageError(Exception):
    """The command line asks for something that cannot be; the message names it."""


@dataclass(slots=True)
class Builder:
    """Does at once what QMP commands do step by step."""

    state: State
    disk: Disk
    faults: Faults
    dashes: str = "--"

    def object(self, text: str) -> None:
        """`--object`; raises UsageError."""
        whole = text
        if not text.startswith("{") and "=" not in text.partition(",")[0]:
            whole = f"qom-type={text}"
        self._command(f"object {text}", whole, "object-add", object_add)

    def blockdev(self, text: str) -> None:
        """`--blockdev`; raises UsageError."""
        self._command(f"blockdev {text}", text, "blockdev-add", blockdev_add)

    def device(self, text: str) -> None:
        """`--device`; raises UsageError."""
        try:
            if text.startswith("{"):
                arguments = _arguments("device_add", text)
                check_arguments("device_add", arguments)
            else:
                model, _, rest = text.removeprefix("driver=").partition(",")
                arguments = {"driver": model} | split(rest)
            device_add(self.state, arguments)
        except QmpError as error:
            raise self._wrong(f"device {text}", error.desc) from None

    def _command(
        self, option: str, text: str, command: str, run: Callable[[State, dict[str, Any]], Any]
    ) -> None:
        """What a QMP command does, with the arguments that the option's text describes."""
        try:
            arguments = _arguments(command, text)
            check_arguments(command, arguments)
            work = run(self.state, arguments)
            if not isinstance(work, dict):
                self._perform(work)
        except QmpError as error:
            raise self._wrong(option, error.desc) from None

    def _wrong(self, option: str, reason: str) -> UsageError:
        return UsageError(f"{self.dashes}{option}: {reason}")

    def _perform(self, work: Work) -> Any:
        """Go through a command's work at once; files may lie anywhere."""
        outcome: Outcome = None
        while True:
            try:
                request = work.send(outcome)
            except StopIteration as end:
                return end.value
            if request.op is Op.OPEN:
                assert request.blueprint is not None
                if request.called:
                    self.faults.call(request.node, request.called)
                outcome = self.disk.open(
                    request.blueprint, anywhere=True, next_name=request.next_name
                )
            else:
                outcome = self.disk.perform(request)

    def drive(self, text: str) -> None:
        """`--drive`, in our form or in QEMU's; raises UsageError."""
        ours = self.dashes == "--" and not text.startswith("if=")
        try:
            option = _short(text) if ours else DriveOption.parse(text)
            check_device_id(self.state.graph, option.id)
            drive = Drive(option.id)
            if option.node is not None:
                work = open_node(self.state, dict(option.node), called=option.id)
                drive.root = self._perform(work)
        except QmpError as error:
            raise self._wrong(f"drive {text}", error.desc) from None
        self.state.graph.drives.append(drive)


def _short(text: str) -> DriveOption:
    """A drive in our own form: in memory, in a raw file, or without medium."""
    name, separator, medium = text.partition("=")
    if not separator or not re.fullmatch(r"[A-Za-z][A-Za-z0-9._-]*", name):
        raise UsageError(
            f"--drive {text!r} is not of the form NAME=SIZE, NAME=file:PATH, NAME=empty"
        )
    if medium == "empty":
        return DriveOption(name, None)
    if medium.startswith("file:"):
        file = {"driver": "file", "filename": medium.removeprefix("file:")}
        return DriveOption(name, {"driver": "raw", "file": file})
    try:
        size_bytes = round_up(parse_size(medium), SECTOR_BYTES)
    except SizeError as error:
        raise UsageError(f"--drive {text!r}: {error}; for a file write file:PATH") from None
    return DriveOption(name, {"driver": "memory", "size": size_bytes})


def _arguments(command: str, text: str) -> dict[str, Any]:
    """The arguments of a command as JSON or as `key=value,…`; raises QmpError."""
    if not text.startswith("{"):
        return typed(command, nest(split(text)))
    parsed = parse(text.encode())
    if isinstance(parsed, Bad):
        raise QmpError("GenericError", parsed.desc)
    assert isinstance(parsed.value, dict), "a text that begins with a brace is an object"
    return parsed.value
