"""The words of which generated cases are made; each is the piece of a case file of that name."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, Final

Data = dict[str, Any]

ABSENT: Final[Data] = {"$absent": True}
NO_JOBS: Final[Data] = {"send": {"execute": "query-jobs"}, "reply": {"return": []}}


@dataclass(frozen=True, slots=True)
class Table:
    """Cases of one form: `rows` makes the case of each row, `point` is what the rows are for.

    A row that no wrong engine and no version speaks for has its reason in `reasons`, by a glob of
    its id.
    """

    id: str
    point: str
    rows: Callable[[], Iterator[Data]]
    reasons: Mapping[str, str] = field(default_factory=dict)

    @property
    def cases(self) -> Iterator[Data]:
        """Each case as a case file would hold it; a row's id follows that of the table."""
        for row in self.rows():
            fit = (why for glob, why in self.reasons.items() if fnmatchcase(row["id"], glob))
            why = next(fit, "")
            yield {**row, "id": f"{self.id}/{row['id']}", **({"why": why} if why else {})}


def send(command: str, reply: Data | None = None, **arguments: Any) -> Data:
    """A command with its arguments; `_` in a name stands for `-`."""
    words = {name.replace("_", "-"): value for name, value in arguments.items()}
    message: Data = {"execute": command, **({"arguments": words} if words else {})}
    return {"send": message} if reply is None else {"send": message, "reply": reply}


def refused(part: Data, about: str = "") -> Data:
    """The same command, which is to be refused, with a description that names something."""
    error: Data = {"class": "GenericError", **({"desc": {"$contains": about}} if about else {})}
    return {**part, "reply": {"error": error}}


def backup(device: str, target: str = "", **more: Any) -> Data:
    """The arguments of a full `drive-backup`."""
    words = {name.replace("_", "-"): value for name, value in more.items()}
    return {"device": device, "target": target or f"${device}.target", "sync": "full", **words}


def existing(device: str, target: str = "", **more: Any) -> Data:
    """The arguments of a full `drive-backup` to a raw file that is there."""
    return backup(device, target, mode="existing", format="raw", **more)


def drive_backup(device: str, target: str = "", **more: Any) -> Data:
    """The command for a full backup."""
    return {"send": {"execute": "drive-backup", "arguments": backup(device, target, **more)}}


def action(kind: str, **data: Any) -> Data:
    """An action of a transaction."""
    return {"type": kind, "data": {name.replace("_", "-"): v for name, v in data.items()}}


def transaction(*actions: Data, grouped: bool = False) -> Data:
    """A transaction of these actions."""
    arguments: Data = {"actions": list(actions)}
    if grouped:
        arguments = {"properties": {"completion-mode": "grouped"}, **arguments}
    return {"send": {"execute": "transaction", "arguments": arguments}}


def until(command: str, value: Any) -> Data:
    """Ask until this is what comes back."""
    return {"until": {"execute": command}, "reply": {"return": value}}


def returns(command: str, value: Any) -> Data:
    """Ask once, and this comes back."""
    return {"send": {"execute": command}, "reply": {"return": value}}


def expect(event: str, **data: Any) -> Data:
    """Wait for an event."""
    words = {name.replace("_", "-"): value for name, value in data.items()}
    return {"expect": {"event": event, "data": words}}


def ends(*jobs: str) -> Data:
    """Wait until these jobs are no more."""
    return {"jobs-end": list(jobs)}


def guest(drive: str, command: str) -> Data:
    """A request of the guest."""
    return {"guest": f"{drive} {command}"}


def equals(image: str, what: str, clause: str = "") -> Data:
    """An image is what a drive held then."""
    demand = {"image": image, "equals": what}
    return {**demand, "clause": clause} if clause else demand


def fault(node: str, op: str, at: str, errno: str, always: bool = False) -> Data:
    """An I/O error that is injected."""
    return {"node": node, "op": op, "at": at, "errno": errno, "always": always}
