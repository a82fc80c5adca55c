"""A real `qemu-system-*`, with faults by its blkdebug driver."""

from dataclasses import dataclass
from pathlib import Path

from cleancut_conformance.case import Fault
from cleancut_conformance.targets import layers
from cleancut_conformance.targets.base import DriveFile, Setup


@dataclass(frozen=True, slots=True)
class Qemu:
    """`qemu:PATH`: a machine without hardware, only drives and a monitor."""

    program: str
    called: str = ""  # a program that is started as QEMU is, by a name of its own

    @property
    def name(self) -> str:
        """What the user called it."""
        return self.called or f"qemu:{self.program}"

    @property
    def capabilities(self) -> frozenset[str]:
        """Guest requests come through the monitor's `qemu-io`."""
        return frozenset({"guest-io", "files", "fault", "empty-drive", "quit", "hold", "process"})

    @property
    def at_once(self) -> bool:
        """Each case starts a process."""
        return True

    @property
    def partial(self) -> bool:
        """What the suite speaks of it has: a command that is missing is a deviation."""
        return False

    def command(self, setup: Setup) -> list[str]:
        """QEMU with the drives of the case."""
        command = [self.program, "-machine", "none", "-nodefaults", "-display", "none"]
        # With wait=off a client that is early may get the event RESUME before the greeting: QEMU
        # tells it to every monitor that is not negotiating yet (seen on 5.2, one start in 25).
        command += ["-qmp", f"unix:{setup.socket},server=on,wait=on"]
        for name, drive in setup.drives.items():
            faults = setup.faults_of(name)
            if drive.bps_write is not None:
                command += layers.limited(name, str(drive.path), drive.bps_write)
            else:
                command += ["-drive", _drive(name, drive, faults)]
        return command

    def socket(self, setup: Setup) -> Path:
        """In the case's folder."""
        return setup.socket

    def target_text(self, setup: Setup, name: str) -> str:
        """The path; with a fault on the target, the image behind blkdebug as a `json:` text."""
        faults = setup.faults_of(name)
        path = setup.path(name)
        return layers.image(path, faults) if faults else str(path)


# Without auto-read-only=off QEMU opens a drive's file anew, for writing, whenever the monitor's
# qemu-io writes, and closes the old descriptor; a job that is reading through it then fails with
# EBADF now and then (seen on 7.2 with both processors busy).
def _drive(name: str, drive: DriveFile, faults: list[Fault]) -> str:
    if drive.path is None:
        return f"if=none,id={name},media=cdrom"
    path = str(drive.path).replace(",", ",,")
    if not faults and not drive.gate:
        return f"if=none,id={name},file={path},format=raw,auto-read-only=off"
    return f"{layers.drive(name, path, faults)},auto-read-only=off"
