"""What the client is told of each step of the model, in the order in which it is told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cleancut_model.options import Options
from cleancut_spec.schedule import Label


@dataclass(frozen=True, slots=True)
class Told:
    """Something that the client is told: an event of a drive's job, or the answer of the command.

    `what` is a job's status, `COMPLETED`, `FAILED`, `CANCELLED`, `error OPERATION ACTION`, or
    `reply` and `refuse` of the command that begins the run.
    """

    what: str
    drive: int | None = None

    def __str__(self) -> str:
        return self.what if self.drive is None else f"d{self.drive} {self.what}"


State = Mapping[str, Any]  # as `Compiled.read` gives it


def told_by(
    options: Options, label: Label, before: State, after: State
) -> tuple[tuple[Told, ...], ...]:
    """What a step tells the client; where that is open, each way to tell it."""
    if label.name == "fail_prepare":  # a job may have been made before the action was refused
        whole = ("created", "aborting", "concluded", "null")
        ways: tuple[tuple[str, ...], ...] = ((), ("created", "null"), whole)
        return tuple(tuple(Told(status, label.drive) for status in way) for way in ways)
    return (_told_by(options, label, before, after),)


def _told_by(options: Options, label: Label, before: State, after: State) -> tuple[Told, ...]:
    name, drive = label.name, label.drive
    if name in ("reply", "refuse"):
        return (Told(name),)
    if name == "prepare":
        return (Told("created", drive),)
    if name == "rollback":
        return tuple(Told(status, drive) for status in ("aborting", "concluded", "null"))
    if name == "commit":
        return (Told("running", drive),)
    if name == "finish":
        grouped = (Told("waiting", drive),)
        return grouped if options.grouped else (*grouped, Told("pending", drive))
    if name == "dismiss":
        return (Told("null", drive),)
    if name.startswith("fail_copy"):
        return (Told(_error(options, label), drive),)
    return tuple(told for d in range(options.drives) for told in _of_drive(before, after, d))


def _of_drive(before: State, after: State, drive: int) -> tuple[Told, ...]:
    """What a step that may be one of several drives tells of one of them."""
    was, now = before["js"][drive], after["js"][drive]
    if (was, now) == ("WAITING", "PENDING"):
        return (Told("pending", drive),)
    if before["final"][drive] == after["final"][drive]:
        return ()
    final = after["final"][drive]
    told = ["aborting"] if was == "ABORTING" else []
    told += [final, "concluded"]
    told += ["null"] if now == "GONE" else []
    return tuple(Told(what, drive) for what in told)


def _error(options: Options, label: Label) -> str:
    """The event of an error: what was tried, and what the policy does about it."""
    read = label.name == "fail_copy_read"
    policy = options.on_source_error if read else options.on_target_error
    if policy in ("enospc", "auto"):
        policy = "stop" if label.errno == "ENOSPC" else "report"
    return f"error {'read' if read else 'write'} {policy}"
