"""The command line of the reference server: `cleancut serve`, or `python -m cleancut_reference`."""

import argparse
import asyncio
import contextlib
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from cleancut_reference.assembly import Wanted, assemble
from cleancut_reference.block.faults import FORM, FaultError
from cleancut_reference.builder import UsageError
from cleancut_reference.machine import Machine
from cleancut_reference.qmp.clients import listening
from cleancut_reference.qmp.server import Server
from cleancut_reference.state import Clock
from cleancut_reference.unix_socket import SocketError, listen
from cleancut_spec.profiles import DEFAULT, PROFILES

EXAMPLES: Final = """\
examples:
  cleancut serve --qmp unix:qmp.sock --drive d0=64M --drive d1=file:disk.img
  cleancut serve --qmp unix:qmp.sock --drive d0=64M --fault 'd0.target write 3 ENOSPC'
  cleancut serve --qmp unix:qmp.sock --drive d0=64M --fault 'd0 read @2M EIO always'
  cleancut serve --qmp unix:qmp.sock --drive d0=64M --clock instant --seed 7 --profile 5.2

  cleancut serve --qmp unix:qmp.sock --drive if=none,id=d0,file=disk.img,format=raw

A drive is kept in memory (a size), in a raw image file (file:PATH), or has no medium (empty).
A fault hits the Nth request, or the first that touches OFFSET, or with `always` each such; its node
is a drive (d0) or the target of that drive's backup (d0.target).
Talk to it with any QMP client: qmp-shell qmp.sock
"""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="cleancut serve",
        description="Serve drives over QMP, with transactional backups, as QEMU 7.2 does.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--qmp", required=True, metavar="unix:PATH", help="where to listen")
    parser.add_argument(
        "--drive", action="append", default=[], metavar="NAME=SIZE|file:PATH|empty",
        help="a drive; or as QEMU's -drive, if=none,id=…,…; may be repeated",
    )  # fmt: skip
    parser.add_argument(
        "--blockdev", action="append", default=[], metavar="OPTIONS",
        help="a node, as QEMU's -blockdev; may be repeated",
    )  # fmt: skip
    parser.add_argument(
        "--object", action="append", default=[], metavar="OPTIONS",
        help="a throttle-group or iothread, as QEMU's -object; may be repeated",
    )  # fmt: skip
    parser.add_argument(
        "--device", action="append", default=[], metavar="MODEL,drive=NAME",
        help="give a drive to a device of the guest, as QEMU's -device; may be repeated",
    )  # fmt: skip
    parser.add_argument("-S", action="store_true", help="the guest does not run until `cont`")
    parser.add_argument(
        "--fault", action="append", default=[], metavar=f"'{FORM}'", help="an I/O error to inject"
    )
    parser.add_argument(
        "--image-root", default=".", metavar="DIR", type=Path,
        help="backup targets lie under this directory (default: the current one)",
    )  # fmt: skip
    parser.add_argument(
        "--profile", default=DEFAULT.name, choices=list(PROFILES),
        help=f"be like this version of QEMU (default: {DEFAULT.name})",
    )  # fmt: skip
    parser.add_argument(
        "--clock", default=Clock.REAL, choices=[str(clock) for clock in Clock],
        help="where time comes from: instant ends every wait at once, "
        "with manual only `clock_step` moves time (default: real)",
    )  # fmt: skip
    parser.add_argument(
        "--seed", type=int, metavar="N", help="order all steps by a random generator with this seed"
    )
    return parser


def wanted(options: argparse.Namespace) -> Wanted:
    """What the options ask for."""
    return Wanted(
        objects=options.object,
        blockdevs=options.blockdev,
        drives=options.drive,
        devices=options.device,
        faults=options.fault,
        paused=options.S,
        image_root=options.image_root,
        seed=options.seed,
        profile=PROFILES[options.profile],
        clock=Clock(options.clock),
    )


async def _serve(machine: Machine, path: Path) -> int:
    listener = listen(path)
    inode = path.lstat().st_ino
    task = asyncio.ensure_future(Server(machine, listening(listener)).run())
    received: list[int] = []

    def stop(number: int) -> None:
        received.append(number)
        task.cancel()

    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop, number)
    print(f"cleancut: listening on {path}; end with QMP quit or Ctrl-C", file=sys.stderr)
    try:
        await task
    except asyncio.CancelledError:
        if not received:
            raise
    finally:
        listener.close()
        machine.close()
        with contextlib.suppress(FileNotFoundError):
            if path.lstat().st_ino == inode:
                path.unlink()
    return 128 + received[0] if received else 0


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until `quit` (0), Ctrl-C (130) or SIGTERM (143); 2 for a wrong command line."""
    options = _parser().parse_args(argv)
    scheme, _, path = options.qmp.partition(":")
    try:
        if scheme != "unix" or not path:
            raise UsageError(f"--qmp {options.qmp!r} is not of the form unix:PATH")
        return asyncio.run(_serve(assemble(wanted(options)), Path(path)))
    except (UsageError, FaultError, SocketError) as error:
        print(f"cleancut serve: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        return 1
