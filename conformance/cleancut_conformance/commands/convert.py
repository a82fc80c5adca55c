"""`cleancut convert`: logs of libvirt as traces that can be judged."""

from pathlib import Path
from typing import Final

import click

from cleancut_conformance.files import write_whole
from cleancut_conformance.libvirt import LogError, Monitor, read_log

EXAMPLES: Final = """
\b
Examples:
  cleancut convert /var/log/libvirt/libvirtd.log -o traces
  cleancut judge --profile 10.0 traces/*.jsonl

\b
libvirtd writes what is needed with log_filters="1:qemu.qemu_monitor" (or 2:…).
Each machine, and each start of it, gets a trace of its own.
Exit codes: 0 converted, 2 wrong use or an unreadable log, 4 no message in it.
"""


@click.command("convert", epilog=EXAMPLES)
@click.argument("logs", nargs=-1, required=True, metavar="LOG...",
                type=click.Path(path_type=Path, dir_okay=False))  # fmt: skip
@click.option("-o", "--output", "folder", required=True, metavar="DIR",
              type=click.Path(path_type=Path, file_okay=False),
              help="Where the traces go.")  # fmt: skip
def convert(logs: tuple[Path, ...], folder: Path) -> int:
    """Convert libvirt's log of its QEMU monitors to traces."""
    written = 0
    for log in logs:
        try:
            with log.open(encoding="utf-8", errors="replace") as file:
                monitors = read_log(file)
            folder.mkdir(parents=True, exist_ok=True)
            for number, monitor in enumerate(monitors, start=1):
                path = folder / f"{log.stem}-{number}.jsonl"
                _write(path, monitor, log)
                print(f"{path}: {len(monitor.records)} messages of monitor {monitor.name}")
                written += 1
        except LogError as error:
            raise click.ClickException(f"{log}: {error}") from None
        except OSError as error:
            words = f"{error.filename or log}: {error.strerror}"
            raise click.ClickException(words) from None
    if not written:
        print("no message of a QEMU monitor is in the log; see `cleancut convert --help`")
    return 0 if written else 4


def _write(path: Path, monitor: Monitor, log: Path) -> None:
    lines = [record.to_json() + "\n" for record in monitor.trace(log.name)]
    write_whole(path, "".join(lines).encode())
