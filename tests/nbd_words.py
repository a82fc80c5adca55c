"""NBD as a client says it, and a client that waits for each reply."""

import socket
import struct
from pathlib import Path
from typing import Final, Self

FLAGS: Final = struct.pack(">I", 3)  # fixed newstyle, no zeroes
READ, WRITE, DISC, FLUSH, TRIM, CACHE, WRITE_ZEROES, BLOCK_STATUS = range(8)
FUA, NO_HOLE, DF, REQ_ONE, FAST_ZERO = 1, 2, 4, 8, 16
(EXPORT_NAME, ABORT, LIST, STARTTLS, INFO, GO, STRUCTURED, LIST_META, SET_META) = (
    1, 2, 3, 5, 6, 7, 8, 9, 10
)  # fmt: skip


def option(number: int, data: bytes = b"") -> bytes:
    return b"IHAVEOPT" + struct.pack(">II", number, len(data)) + data


def string(text: str | bytes) -> bytes:
    data = text.encode() if isinstance(text, str) else text
    return struct.pack(">I", len(data)) + data


def info(name: str | bytes, *wanted: int) -> bytes:
    return string(name) + struct.pack(f">H{len(wanted)}H", len(wanted), *wanted)


def contexts(name: str, *queries: str) -> bytes:
    return string(name) + struct.pack(">I", len(queries)) + b"".join(map(string, queries))


def request(
    command: int,
    cookie: int = 1,
    offset_bytes: int = 0,
    length_bytes: int = 0,
    flags: int = 0,
    data: bytes = b"",
) -> bytes:
    fields = (0x25609513, flags, command, cookie, offset_bytes, length_bytes)
    return struct.pack(">IHHQQI", *fields) + data


def connect(path: Path) -> socket.socket:
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(20)
    client.connect(str(path))
    return client


class NbdClient:
    """Connects to an export, sends one request after the other; replies are simple ones."""

    def __init__(self, path: Path, export: str) -> None:
        self.socket = connect(path)
        assert self._receive(18)[:16] == b"NBDMAGICIHAVEOPT"
        self.socket.sendall(FLAGS + option(EXPORT_NAME, export.encode()))
        self.size_bytes = struct.unpack(">QH", self._receive(10))[0]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def _receive(self, length_bytes: int) -> bytes:
        data = b""
        while len(data) < length_bytes:
            piece = self.socket.recv(length_bytes - len(data))
            if not piece:
                raise EOFError
            data += piece
        return data

    def ask(self, command: int, offset_bytes: int = 0, length_bytes: int = 0, data: bytes = b"",
            flags: int = 0) -> tuple[int, bytes]:  # fmt: skip
        """The error number and the data of the reply."""
        self.socket.sendall(request(command, 7, offset_bytes, length_bytes, flags, data))
        magic, error, cookie = struct.unpack(">IIQ", self._receive(16))
        assert (magic, cookie) == (0x67446698, 7)
        reads = command == READ and not error
        return error, self._receive(length_bytes) if reads else b""

    def write(self, offset_bytes: int, data: bytes) -> None:
        assert self.ask(WRITE, offset_bytes, len(data), data) == (0, b"")

    def read(self, offset_bytes: int, length_bytes: int) -> bytes:
        error, data = self.ask(READ, offset_bytes, length_bytes)
        assert not error
        return data
