"""`cleancut record`: stand between a client and a server, and write down what they say."""

import os
import socket
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import click

from cleancut_conformance.relay import Direction, Relay
from cleancut_conformance.sockets import SocketError, listen
from cleancut_conformance.wire import Decoder
from cleancut_spec.trace import FORMAT, Record, Writer

EXAMPLES: Final = """
\b
Examples:
  cleancut record --listen qmp.sock --connect /run/vm1/qmp.sock -o vm1.jsonl
  cleancut judge vm1.jsonl

\b
Clients that come later get traces of their own: vm1.2.jsonl, vm1.3.jsonl, …
Ctrl-C ends it and leaves complete traces.
Exit codes: 0 the client has left (--once), 2 wrong use, 130 Ctrl-C.
"""


class Tape:
    """The trace of one connection."""

    def __init__(self, path: Path, server: str) -> None:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        self._file = os.fdopen(descriptor, "w", encoding="utf-8")
        self._writer = Writer(self._file)
        self._start = time.monotonic()
        self._decoders: dict[Direction, Decoder] = {"send": Decoder(), "recv": Decoder()}
        self._meta({
            "format": FORMAT, "target": f"unix:{server}", "joined": True,
            "recorded": "between client and server",
            "started": datetime.now(UTC).isoformat(timespec="seconds"),
        })  # fmt: skip

    def _meta(self, note: dict[str, Any]) -> None:
        self._writer.write(Record("meta", time.monotonic() - self._start, note=note))

    def tell(self, direction: Direction, data: bytes) -> None:
        """Write down the messages that are complete now."""
        for message in self._decoders[direction].feed(data):
            self._message(direction, message)

    def _message(self, direction: Direction, message: Any) -> None:
        t = time.monotonic() - self._start
        if isinstance(message, bytes):
            record = Record(direction, t, raw=message.decode(errors="replace"))
        else:
            record = Record(direction, t, message)
        self._writer.write(record)

    def close(self, how: str) -> None:
        """Write down how it ended, and the messages that were under way."""
        rests = {way: decoder.rest() for way, decoder in self._decoders.items()}
        left = {way: rest.decode(errors="replace") for way, rest in rests.items() if rest}
        self._meta({"ended": how, **({"left": left} if left else {})})
        self._file.close()


@click.command("record", epilog=EXAMPLES)
@click.option("--listen", "listen_path", required=True, metavar="SOCKET",
              type=click.Path(path_type=Path), help="Where clients connect.")  # fmt: skip
@click.option("--connect", "connect_path", required=True, metavar="SOCKET",
              type=click.Path(path_type=Path), help="Where the server listens.")  # fmt: skip
@click.option("-o", "--output", "output", required=True, metavar="TRACE",
              type=click.Path(path_type=Path, dir_okay=False), help="The trace.")  # fmt: skip
@click.option("--once", is_flag=True, help="End when the first client has left.")
def record(listen_path: Path, connect_path: Path, output: Path, once: bool) -> int:
    """Pass every byte between clients and a QMP server on, and write a trace to judge."""
    try:
        server = listen(listen_path)
    except SocketError as error:
        raise click.ClickException(str(error)) from None
    print(f"listening on {listen_path}, for {connect_path}", file=sys.stderr, flush=True)
    number = 0
    try:
        while True:
            client, _ = server.accept()
            number += 1
            path = output if number == 1 else output.with_suffix(f".{number}{output.suffix}")
            _one(client, connect_path, path)
            if once:
                return 0
    finally:
        server.close()
        listen_path.unlink(missing_ok=True)


def _one(client: socket.socket, connect_path: Path, path: Path) -> None:
    """One client, from its connection to its end."""
    with client, socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as server:
        try:
            server.connect(str(connect_path))
        except OSError as error:
            words = f"no server on {connect_path}: {error.strerror}; the client is sent away"
            print(words, file=sys.stderr, flush=True)
            return
        try:
            tape = Tape(path, str(connect_path))
        except OSError as error:
            words = f"cannot write {path}: {error.strerror}"
            if isinstance(error, FileExistsError):
                words += "; it is not overwritten, choose another name"
            raise click.ClickException(words) from None
        how = "interrupted"
        try:
            Relay(client, server, tape.tell).run()
            how = "hung up"
        finally:
            tape.close(how)
