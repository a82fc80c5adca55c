"""`adapter:FILE.toml`: another implementation, described by how it is started.

The file is documented in docs/adapter.md. Words in braces are replaced: `{folder}` and `{socket}`
in all of them; `{name}`, `{file}` and `{size}` in `drive`; `{node}`, `{op}`, `{offset}`, `{errno}`
and `{once}` in `fault`.
"""

import os
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from cleancut_conformance.case import Case
from cleancut_conformance.targets.base import Setup, TargetError
from cleancut_conformance.targets.qsd import which_qemu_io

_LISTS: Final = ("command", "drive", "empty-drive", "fault")
_TEXTS: Final = ("name", "guest-io", "nbd-socket", "socket", "target")
_FLAGS: Final = ("quit", "files", "partial")
_GUEST_IO: Final = ("monitor", "nbd", "none")


@dataclass(frozen=True, slots=True)
class Adapter:
    """A program of one's own; its abilities are what the file describes."""

    name: str
    words: tuple[str, ...]  # the command
    drive: tuple[str, ...] = ()
    empty_drive: tuple[str, ...] = ()
    fault: tuple[str, ...] = ()
    guest_io: str = "none"
    socket_text: str = "{folder}/qmp.sock"
    target: str = "{file}"
    quit: bool = True
    files: bool = True
    partial: bool = True
    environment: dict[str, str] = field(default_factory=dict, hash=False)

    @property
    def capabilities(self) -> frozenset[str]:
        """What the file says how to do."""
        found = {
            "guest-io": self.guest_io != "none" and bool(self.drive),
            "files": self.files and bool(self.drive),
            "fault": bool(self.fault),
            "empty-drive": bool(self.empty_drive),
            "quit": self.quit,
        }
        return frozenset(name for name, has in found.items() if has)

    @property
    def at_once(self) -> bool:
        """Each case starts a process."""
        return True

    def unfit(self, case: Case) -> str:
        """Its faults are at offsets: the file has no word for a request's number."""
        return "fault of the n-th request" if any(f.nth for f in case.given.faults) else ""

    def command(self, setup: Setup) -> list[str]:
        """The program with the drives and faults of the case."""
        place = {"folder": str(setup.folder), "socket": str(self.socket(setup))}
        command = _fill(self.words, place)
        for name, drive in setup.drives.items():
            words = self.empty_drive if drive.path is None else self.drive
            more = {"name": name, "file": str(drive.path), "size": str(drive.size_bytes)}
            command += _fill(words, place | more)
        for fault in setup.faults:
            more = {"node": fault.node, "op": fault.op, "offset": str(fault.at_bytes),
                    "errno": fault.errno, "once": "false" if fault.always else "true"}  # fmt: skip
            command += _fill(self.fault, place | more)
        environment = [f"{name}={value}" for name, value in self.environment.items()]
        return ["env", *environment, *command] if environment else command

    def socket(self, setup: Setup) -> Path:
        """Where the file says; by default in the case's folder."""
        return Path(self.socket_text.replace("{folder}", str(setup.folder)))

    def target_text(self, setup: Setup, name: str) -> str:
        """How the file says that a backup command names an image."""
        place = {"folder": str(setup.folder), "name": name, "file": str(setup.path(name))}
        return _fill((self.target,), place)[0]


@dataclass(frozen=True, slots=True)
class NbdAdapter(Adapter):
    """One whose guests reach their drives by NBD."""

    qemu_io: str = "qemu-io"
    nbd_text: str = "{folder}/nbd.sock"

    def nbd_socket(self, setup: Setup) -> Path:
        """Where the file says; by default in the case's folder."""
        return Path(self.nbd_text.replace("{folder}", str(setup.folder)))


def _fill(words: tuple[str, ...], values: dict[str, str]) -> list[str]:
    filled = []
    for word in words:
        for name, value in values.items():
            word = word.replace("{" + name + "}", value)
        filled.append(word)
    return filled


def adapter(path: Path) -> Adapter:
    """The target that a file describes; raises TargetError naming the file and what is wrong."""
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise TargetError(f"{path}: {getattr(error, 'strerror', None) or error}") from None
    _check(path, data)
    values: dict[str, Any] = {
        "name": data.get("name", path.stem),
        "words": _program(path, data["command"]),
        "drive": tuple(data.get("drive", ())),
        "empty_drive": tuple(data.get("empty-drive", ())),
        "fault": tuple(data.get("fault", ())),
        "guest_io": data.get("guest-io", "none"),
        "socket_text": data.get("socket", "{folder}/qmp.sock"),
        "target": data.get("target", "{file}"),
        "environment": data.get("environment", {}),
        **{name: data[name] for name in _FLAGS if name in data},
    }
    if values["guest_io"] != "nbd":
        return Adapter(**values)
    nbd_text = data.get("nbd-socket", "{folder}/nbd.sock")
    return NbdAdapter(**values, qemu_io=which_qemu_io(), nbd_text=nbd_text)


def _check(path: Path, data: dict[str, Any]) -> None:
    known = (*_LISTS, *_TEXTS, *_FLAGS, "environment")
    for name, value in data.items():
        if name not in known:
            raise TargetError(f"{path}: no key {name!r}; there are {', '.join(known)}")
        if name in _LISTS:
            _demand(path, name, "a list of texts", _are_texts(value))
        elif name in _TEXTS:
            _demand(path, name, "a text", isinstance(value, str))
        elif name in _FLAGS:
            _demand(path, name, "true or false", isinstance(value, bool))
        else:
            well = isinstance(value, dict) and _are_texts(list(value.values()))
            _demand(path, name, "a table of texts", well)
    _demand(path, "command", "a list with the program and its arguments", bool(data.get("command")))
    guest_io = data.get("guest-io", "none")
    _demand(path, "guest-io", f"one of {', '.join(_GUEST_IO)}", guest_io in _GUEST_IO)


def _are_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(word, str) for word in value)


def _demand(path: Path, name: str, what: str, well: bool) -> None:
    if not well:
        raise TargetError(f"{path}: {name} must be {what}")


def _program(path: Path, words: list[str]) -> tuple[str, ...]:
    """A program named with a slash lies where the file says, seen from the file."""
    program = words[0]
    if "/" in program and not program.startswith("{"):
        program = os.path.normpath(path.parent.resolve() / program)
    return (program, *words[1:])
