"""The command line of the reference server: `cleancut serve`, or `python -m cleancut_reference`."""

import argparse
import asyncio
import contextlib
import re
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cleancut_reference.arithmetic import round_up
from cleancut_reference.block.faults import FORM, Fault, FaultError, Faults
from cleancut_reference.block.graph import Graph
from cleancut_reference.block.memory import MemoryImage
from cleancut_reference.block.node import Drive, Node
from cleancut_reference.block.request import Blueprint, Failed, Opened
from cleancut_reference.disk import SECTOR_BYTES, Disk
from cleancut_reference.engine import Engine
from cleancut_reference.machine import Machine
from cleancut_reference.qmp.server import Server, ServerError, listen
from cleancut_reference.schedule import Fair, Seeded
from cleancut_reference.sizes import SizeError, parse_size
from cleancut_reference.state import State

EXAMPLES: Final = """\
examples:
  cleancut serve --qmp unix:qmp.sock --drive d0=64M --drive d1=file:disk.img
  cleancut serve --qmp unix:qmp.sock --drive d0=64M --fault 'd0.target write 3 ENOSPC'
  cleancut serve --qmp unix:qmp.sock --drive d0=64M --fault 'd0 read @2M EIO always'

A drive is kept in memory (a size), in a raw image file (file:PATH), or has no medium (empty).
A fault hits the Nth request, or the first that touches OFFSET, or with `always` each such; its node
is a drive (d0) or the target of that drive's backup (d0.target).
Talk to it with any QMP client: qmp-shell qmp.sock
"""


class UsageError(Exception):
    """The command line asks for something that cannot be; the message names it."""


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
        help="a drive; may be repeated",
    )  # fmt: skip
    parser.add_argument(
        "--fault", action="append", default=[], metavar=f"'{FORM}'", help="an I/O error to inject"
    )
    parser.add_argument(
        "--image-root", default=".", metavar="DIR", type=Path,
        help="backup targets lie under this directory (default: the current one)",
    )  # fmt: skip
    parser.add_argument(
        "--seed", type=int, metavar="N", help="order all steps by a random generator with this seed"
    )
    return parser


@dataclass(slots=True)
class _Builder:
    """Opens the drives of the command line."""

    graph: Graph
    disk: Disk
    faults: Faults

    def drive(self, text: str) -> None:
        """Open one drive; raises UsageError."""
        name, separator, medium = text.partition("=")
        if not separator or not re.fullmatch(r"[A-Za-z][A-Za-z0-9._-]*", name):
            raise UsageError(
                f"--drive {text!r} is not of the form NAME=SIZE, NAME=file:PATH, NAME=empty"
            )
        if self.graph.drive(name):
            raise UsageError(f"--drive {name} is given twice")
        root: Node | None = None
        if medium.startswith("file:"):
            root = self._file(name, medium.removeprefix("file:"))
        elif medium != "empty":
            root = self._memory(name, text, medium)
        self.graph.drives.append(Drive(name, root))
        if root is not None:
            self.faults.call(root.name, name)

    def _memory(self, name: str, text: str, medium: str) -> Node:
        try:
            size_bytes = round_up(parse_size(medium), SECTOR_BYTES)
        except SizeError as error:
            raise UsageError(f"--drive {text!r}: {error}; for a file write file:PATH") from None
        opened = Opened(self.graph.new_name(), "memory", size_bytes, f"memory:{name}")
        self.disk.images[opened.name] = MemoryImage(size_bytes)
        return self.graph.build(opened)

    def _file(self, name: str, path: str) -> Node:
        file = Blueprint(self.graph.new_name(), "file", {"filename": path})
        image = Blueprint(self.graph.new_name(), "raw", children={"file": file})
        try:
            opened = self.disk.open(image, anywhere=True)
        except OSError as error:
            raise UsageError(f"--drive {name}: cannot open {path!r}: {error.strerror}") from None
        if not isinstance(opened, Opened):
            assert isinstance(opened, Failed)
            raise UsageError(f"--drive {name}: cannot open {path!r}: {opened.desc or opened.errno}")
        return self.graph.build(opened)


def build(options: argparse.Namespace) -> Machine:
    """The machine that the options describe; raises UsageError or FaultError."""
    if not options.image_root.is_dir():
        raise UsageError(f"--image-root {str(options.image_root)!r} is no directory")
    rules = [Fault.parse(text) for text in options.fault]
    builder = _Builder(Graph(), Disk(options.image_root), Faults(rules))
    for text in options.drive:
        builder.drive(text)
    names = [drive.name for drive in builder.graph.drives]
    for rule in rules:
        if rule.node.removesuffix(".target") not in names:
            raise UsageError(f"--fault: no drive is called {rule.node!r}; known: {names}")
    choose = Fair() if options.seed is None else Seeded(options.seed)
    return Machine(Engine(State(builder.graph)), builder.disk, builder.faults, choose)


async def _serve(machine: Machine, path: Path) -> int:
    listener = listen(path)
    inode = path.lstat().st_ino
    task = asyncio.ensure_future(Server(machine, listener).run())
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
        machine.disk.close()
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
        return asyncio.run(_serve(build(options), Path(path)))
    except (UsageError, FaultError, ServerError) as error:
        print(f"cleancut serve: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        return 1
