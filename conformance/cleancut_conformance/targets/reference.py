"""The embedded reference server, as a process of its own, reached through its socket only."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cleancut_conformance.case import Fault
from cleancut_conformance.targets import forks, layers
from cleancut_conformance.targets.base import DriveFile, Process, Setup

PRELOAD: Final = "cleancut_reference.cli"  # most of what a start costs is its import


@dataclass(frozen=True, slots=True)
class Reference:
    """`reference`: what this package serves; `module` is what Python runs."""

    name: str = "reference"
    module: str = "cleancut_reference"
    arguments: tuple[str, ...] = ()
    partial: bool = False  # what the suite speaks of it has, unless the profile is of old
    profile: str = ""  # the version that it is like, where the user has named one

    @property
    def capabilities(self) -> frozenset[str]:
        """All that there is."""
        return frozenset({"guest-io", "files", "fault", "empty-drive", "quit", "hold", "process"})

    @property
    def at_once(self) -> bool:
        """Each case starts a process."""
        return True

    def command(self, setup: Setup) -> list[str]:
        """`python -m cleancut_reference` with the drives and faults of the case."""
        command = [sys.executable, "-m", self.module, *self.arguments]
        command += ["--qmp", f"unix:{setup.socket}", "--image-root", str(setup.folder)]
        for name, drive in setup.drives.items():
            if drive.bps_write is not None:
                command += layers.limited(name, str(drive.path), drive.bps_write)
            else:
                command += ["--drive", _drive(name, drive)]
        for fault in (fault for fault in setup.faults if _served(setup, fault)):
            command += ["--fault", _fault(fault)]
        return command

    def start(self, command: list[str], folder: Path, output: int, errors: int) -> Process:
        """A fork of a process that has imported the server; a fresh one costs ten times as much."""
        return forks.start(PRELOAD, command, folder, output, errors)

    def socket(self, setup: Setup) -> Path:
        """In the case's folder."""
        return setup.socket

    def target_text(self, setup: Setup, name: str) -> str:
        """The path of the image; behind blkdebug if it has faults that no option can describe."""
        faults = [fault for fault in setup.faults_of(name) if not _served(setup, fault)]
        path = setup.path(name)
        return layers.image(path, faults) if faults else str(path)


def _served(setup: Setup, fault: Fault) -> bool:
    """Whether the server's option has a word for the node: a drive, or what it is copied to."""
    return fault.node.removesuffix(".target") in setup.drives


def _drive(name: str, drive: DriveFile) -> str:
    if drive.path is None:
        return f"{name}=empty"
    if drive.gate:
        return layers.drive(name, str(drive.path), [])
    return f"{name}=file:{drive.path}"


def _fault(fault: Fault) -> str:
    always = " always" if fault.always else ""
    place = f"@{fault.at_bytes}" if fault.at_bytes is not None else f"{fault.nth}"
    return f"{fault.node} {fault.op} {place} {fault.errno}{always}"
