"""The same bytes to QEMU's NBD server and to ours: the same bytes come back."""

import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import nbd_words as nbd
from tests.nbd_servers import ON_QEMU, Server, serving
from tests.nbd_words import option, request

EOF = b"the server hangs up"
MIB = 1 << 20
TOO_LONG = (32 << 20) + 1
CONTENT = bytes(65536) + b"\x11" * 65536 + bytes(MIB - 131072) + b"\x22" * 100 + bytes(MIB - 100)

GO = option(nbd.GO, nbd.info("d0"))
RO = option(nbd.GO, nbd.info("ro"))
BM = option(nbd.GO, nbd.info("bm"))
STRUCTURED = option(nbd.STRUCTURED)


def set_meta(*queries: str, name: str = "d0") -> bytes:
    return option(nbd.SET_META, nbd.contexts(name, *queries))


def list_meta(*queries: str, name: str = "d0") -> bytes:
    return option(nbd.LIST_META, nbd.contexts(name, *queries))


INFO = [
    option(nbd.INFO, data)
    for data in (
        nbd.info("d0"), nbd.info("d0", 0), nbd.info("d0", 1), nbd.info("d0", 2), nbd.info("d0", 3),
        nbd.info("d0", 3, 2, 1, 0, 77), nbd.info("ro", 3), nbd.info("nope"), nbd.info(""),
        nbd.info("n" * 4097), nbd.info(b"d\xff"), b"", nbd.string("d0"), nbd.string("d0") + b"\0",
        struct.pack(">I", 99) + b"d0\0\0", nbd.info("d0") + b"x", nbd.string("d0") + b"\0\2\0\1",
    )
]  # fmt: skip
QUERIES = [
    (), ("base:",), ("base:allocation",), ("base:allocation", "base:"), ("base:nothing",),
    ("base",), ("",), ("qemu:",), ("qemu:allocation-depth",), ("qemu:dirty-bitmap:x",),
    ("x" * 5000,), ("nothing", "base:allocation"), ("base:allocation", "base:allocation"),
]  # fmt: skip
BITMAP = "qemu:dirty-bitmap:"
BITMAP_QUERIES = [
    (), ("qemu:",), (BITMAP,), (BITMAP + "b0",), (BITMAP + "nope",), (BITMAP + "b1", BITMAP + "b0"),
    ("base:", BITMAP), ("base:allocation", BITMAP + "b0", BITMAP + "b1"), ("qemu",), ("qemu:b0",),
    (BITMAP + "b0", BITMAP + "b0"), ("qemu:", "base:"), (BITMAP + "b",),
]  # fmt: skip
BAD_QUERIES = [
    b"", nbd.string("d0"), nbd.string("d0") + struct.pack(">I", 2) + nbd.string("base:"),
    nbd.string("d0") + b"\xff\xff\xff\xff" + nbd.string("base:"), nbd.contexts("n" * 4097),
    nbd.contexts("nope", "base:"), nbd.string("d0") + struct.pack(">II", 1, 9) + b"base:",
]  # fmt: skip
EVERY = (nbd.READ, nbd.WRITE, nbd.FLUSH, nbd.TRIM, nbd.CACHE, nbd.WRITE_ZEROES, nbd.BLOCK_STATUS)


def each(offset_bytes: int, length_bytes: int, flags: int = 0) -> list[bytes]:
    """Each command with one range."""
    data = {nbd.WRITE: b"w" * length_bytes}
    return [
        request(command, 1, offset_bytes, length_bytes, flags, data.get(command, b""))
        for command in EVERY
    ]


# No read of zeros that were written: we call them a hole, QEMU does not, and either is right.
READS_AND_WRITES = [
    request(nbd.WRITE, 1, 3, 4, 0, b"abcd"), request(nbd.READ, 2, 0, 8),
    request(nbd.WRITE, 3, 5, 2, nbd.FUA, b"xy"), request(nbd.READ, 4, 0, 8),
    request(nbd.FLUSH, 5), request(nbd.FLUSH, 6, 0, 0, nbd.FUA), request(nbd.TRIM, 7, 0, 4),
    request(nbd.READ, 8, 0, 8), request(nbd.WRITE_ZEROES, 9, 5, 3), request(nbd.READ, 10, 0, 8),
    request(nbd.WRITE_ZEROES, 11, 4, 100, nbd.NO_HOLE | nbd.FUA), request(nbd.READ, 12, 0, 9),
    request(nbd.WRITE_ZEROES, 13, 0, 65536, nbd.FAST_ZERO), request(nbd.CACHE, 14, 0, 65536),
    request(nbd.READ, 15, 65536, 200), request(nbd.READ, 16, 65536, 200, nbd.FUA),
    request(nbd.READ, 17, 0, 0), request(nbd.WRITE, 18, 2 * MIB, 0), request(nbd.DISC),
]  # fmt: skip
BEYOND = [
    request(nbd.READ, 1, 2 * MIB, 1), request(nbd.READ, 2, 2 * MIB - 1, 2),
    request(nbd.READ, 3, 1 << 63, 4), request(nbd.READ, 4, (1 << 64) - 1, 4),
    request(nbd.TRIM, 5, 2 * MIB + 1, 0), request(nbd.CACHE, 6, 2 * MIB - 1, 2),
    request(nbd.FLUSH, 7, 5 * MIB, 5), request(99, 8, 5 * MIB, 5), request(nbd.READ, 9, 65536, 4),
]  # fmt: skip
BEYOND_WRITING = [
    request(nbd.WRITE, 1, 2 * MIB - 1, 2, 0, b"ab"), request(nbd.WRITE_ZEROES, 2, 2 * MIB - 1, 2),
    request(nbd.WRITE_ZEROES, 3, 0, TOO_LONG),
]  # fmt: skip
EXTENTS = [
    request(nbd.BLOCK_STATUS, 1, 0, 2 * MIB), request(nbd.BLOCK_STATUS, 2, 0, MIB, nbd.REQ_ONE),
    request(nbd.BLOCK_STATUS, 3, 65536, 65536), request(nbd.BLOCK_STATUS, 4, 100, 65536),
    request(nbd.BLOCK_STATUS, 5, 0, 0), request(nbd.BLOCK_STATUS, 6, 2 * MIB, 1),
    request(nbd.BLOCK_STATUS, 7, 0, 2 * MIB + 1), request(nbd.BLOCK_STATUS, 8, MIB, 4096),
]  # fmt: skip

#: The client's flags, its options, and its requests.
DIALOGUES: dict[str, tuple[int, list[bytes], list[bytes]]] = {
    "no fixed newstyle": (0, [option(nbd.LIST)], []),
    "unknown client flags": (4, [option(nbd.LIST)], []),
    "export name": (3, [option(nbd.EXPORT_NAME, b"d0")], [request(nbd.READ, 7, 0, 16)]),
    "export name with zeroes": (1, [option(nbd.EXPORT_NAME, b"d0")], [request(nbd.READ, 7, 0, 4)]),
    "export name, structured": (3, [STRUCTURED, option(nbd.EXPORT_NAME, b"d0")], each(0, 4)),
    "export name that is not there": (3, [option(nbd.EXPORT_NAME, b"nope")], []),
    "export name too long": (3, [option(nbd.EXPORT_NAME, b"n" * 4097)], []),
    "list": (3, [option(nbd.LIST), option(nbd.LIST, b"x"), option(nbd.LIST)], []),
    "abort": (3, [option(nbd.ABORT)], []),
    "abort with data": (3, [option(nbd.ABORT, b"xx")], []),
    "abort in an oldstyle handshake": (0, [option(nbd.ABORT)], []),
    "start TLS": (3, [option(nbd.STARTTLS), option(nbd.STARTTLS, b"x")], []),
    "unknown options": (3, [option(99, b"abc"), option(4), option(0), option(98, bytes(MIB))], []),
    "option too long": (3, [option(99)[:12] + struct.pack(">I", TOO_LONG)], []),
    "bad magic": (3, [b"x" * 16], []),
    "info": (3, INFO, []),
    "info, structured": (3, [STRUCTURED, *INFO], []),
    "structured twice": (3, [option(nbd.STRUCTURED, b"a"), STRUCTURED, STRUCTURED], []),
    "go": (3, [GO], [request(nbd.READ, 9, 0, 16), request(nbd.DISC)]),
    "go after a wrong go": (3, [option(nbd.GO, nbd.info("x")), GO], [request(nbd.READ, 9, 0, 16)]),
    "contexts before structured": (3, [set_meta("base:allocation"), list_meta()], []),
    "list contexts": (3, [STRUCTURED, *(list_meta(*queries) for queries in QUERIES)], []),
    "set contexts": (3, [STRUCTURED, *(set_meta(*queries) for queries in QUERIES)], []),
    "wrong contexts": (
        3, [STRUCTURED, *(option(number, data) for number in (nbd.LIST_META, nbd.SET_META)
                          for data in BAD_QUERIES), option(nbd.LIST)], []),
    "extents": (3, [STRUCTURED, set_meta("base:allocation"), GO], EXTENTS),
    "extents not asked for": (3, [STRUCTURED, GO], EXTENTS),
    "extents, simple": (3, [GO], EXTENTS),
    "extents of another export": (
        3, [STRUCTURED, set_meta("base:allocation", name="ro"), GO], EXTENTS),
    "extents taken back": (3, [STRUCTURED, set_meta("base:allocation"), set_meta(), GO], EXTENTS),
    "extents lost by an error": (
        3, [STRUCTURED, set_meta("base:allocation"), set_meta(name="nope"), GO], EXTENTS),
    "list contexts of bitmaps": (
        3, [STRUCTURED, *(list_meta(*queries, name="bm") for queries in BITMAP_QUERIES)], []),
    "set contexts of bitmaps": (
        3, [STRUCTURED, *(set_meta(*queries, name="bm") for queries in BITMAP_QUERIES)], []),
    "extents of a bitmap": (3, [STRUCTURED, set_meta(BITMAP + "b0", name="bm"), BM], EXTENTS),
    "extents of several contexts": (
        3, [STRUCTURED, set_meta("base:allocation", BITMAP + "b1", BITMAP + "b0", name="bm"), BM],
        EXTENTS),
    "reads and writes": (3, [GO], READS_AND_WRITES),
    "reads and writes, structured": (3, [STRUCTURED, GO], READS_AND_WRITES),
    "holes": (3, [STRUCTURED, GO], [
        request(nbd.READ, 1, 0, 2 * MIB), request(nbd.READ, 2, 0, 2 * MIB, nbd.DF),
        request(nbd.READ, 3, 100, 200000), request(nbd.READ, 4, MIB - 1, 3)]),
    "beyond the end": (3, [GO], BEYOND),
    "beyond the end, structured": (3, [STRUCTURED, GO], BEYOND),
    "nothing at the end": (3, [GO], each(2 * MIB, 0)),
    "unknown flags": (3, [GO], each(0, 4, 0x8000)),
    "unknown flags, structured": (3, [STRUCTURED, GO], each(0, 4, 0x8000) + each(0, 0, 0x20)),
    "flags of others": (3, [GO], [r for flag in (2, 4, 8, 16) for r in each(0, 4, flag)]),
    "flags of others, structured": (
        3, [STRUCTURED, GO], [r for flag in (2, 4, 8, 16) for r in each(0, 4, flag)]),
    "unknown command": (3, [STRUCTURED, GO], [request(99), request(99, 1, 5, 5), request(8)]),
    "bad magic of a request": (3, [GO], [b"x" * 28]),
    "bad magic of a request, structured": (3, [STRUCTURED, GO], [b"x" * 28]),
    "too long": (3, [STRUCTURED, GO], [
        request(nbd.READ, 1, 0, TOO_LONG), request(nbd.CACHE, 2, 0, TOO_LONG),
        request(nbd.TRIM, 3, 0, TOO_LONG), request(nbd.BLOCK_STATUS, 4, 0, TOO_LONG),
        request(nbd.WRITE, 5, 0, TOO_LONG)]),
    "too long a write": (3, [GO], [request(nbd.WRITE, 5, 0, TOO_LONG)]),
    "read-only, reading": (3, [RO], [request(nbd.READ, 1, 0, 4), request(nbd.FLUSH, 2)]),
}  # fmt: skip

#: QEMU answers each request that it refuses by EINVAL; the protocol has better errors for these.
ERRORS: dict[str, tuple[int, list[bytes], list[bytes]]] = {
    "read-only": (3, [RO], each(0, 4)),
    "read-only, structured": (3, [STRUCTURED, RO], each(0, 4) + each(2 * MIB, 4)),
    "writes beyond the end": (3, [GO], BEYOND_WRITING),
    "writes beyond the end, structured": (3, [STRUCTURED, GO], BEYOND_WRITING),
}


class Talk:
    """One connection; what comes back is read reply by reply."""

    def __init__(self, path: Path) -> None:
        self.socket = nbd.connect(path)
        self.ended = False

    def take(self, length_bytes: int) -> bytes:
        data = b""
        while len(data) < length_bytes and not self.ended:
            try:
                piece = self.socket.recv(length_bytes - len(data))
            except ConnectionError:
                piece = b""
            self.ended = not piece
            data += piece
        return data

    def send(self, data: bytes) -> None:
        try:
            self.socket.sendall(data)
        except ConnectionError:
            self.ended = True

    def option_replies(self, number: int, zeroes: bool) -> Iterator[bytes]:
        """All replies to an option."""
        if number == nbd.EXPORT_NAME:
            yield self.take(10 + 124 * zeroes)
            return
        while not self.ended:
            head = self.take(20)
            kind, length_bytes = struct.unpack_from(">II", head.ljust(20, b"\0"), 12)
            yield head + self.take(length_bytes)
            if kind == 1 or kind >> 31:
                return

    def reply(self, read_bytes: int) -> bytes:
        """The whole reply to a request, simple or in chunks."""
        found = b""
        while not self.ended:
            head = self.take(16)
            if head.startswith(b"\x67\x44\x66\x98"):
                return found + head + self.take(0 if any(head[4:8]) else read_bytes)
            head += self.take(4)
            found += head + self.take(int.from_bytes(head[16:20]))
            if head[5:6] == b"\1":
                break
        return found


def answers(server: Server, dialogue: tuple[int, list[bytes], list[bytes]]) -> list[bytes]:
    """What the server says to each part of a dialogue."""
    flags, options, requests = dialogue
    talk = Talk(server.nbd)
    found = [talk.take(18)]
    talk.send(struct.pack(">I", flags))
    for data in options:
        talk.send(data)
        replies = talk.option_replies(int.from_bytes(data[8:12]), zeroes=flags < 2)
        found += filter(None, replies)
    for data in requests:
        talk.send(data)
        command, length_bytes = struct.unpack_from(">H16xI", data, 6)
        if command != nbd.DISC:
            found.append(talk.reply(length_bytes if command == nbd.READ else 0))
    if talk.ended or requests[-1:] == [request(nbd.DISC)]:
        assert not talk.take(1)
        found.append(EOF)
    talk.socket.close()
    return found


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Server]]:
    folder = tmp_path_factory.mktemp("a")
    with (
        serving("qemu", folder / "q", CONTENT) as qemu,
        serving("reference", folder / "r", CONTENT) as reference,
    ):
        for server in (qemu, reference):
            server.start_nbd()
            server("nbd-server-add", device="d0", writable=True, description="a drive")
            node = server.node_name("d1")
            server("block-export-add", type="nbd", id="ro", name="ro", node_name=node)
            for name, granularity in (("b0", 512), ("b1", 131072)):
                server("block-dirty-bitmap-add", node=node, name=name, granularity=granularity)
            for command in ("write -z 64k 100", "write -P 1 200k 4k", "write -P 1 1536k 512k"):
                server("human-monitor-command", command_line=f'qemu-io d1 "{command}"')
            for name in ("b0", "b1"):
                server("block-dirty-bitmap-disable", node=node, name=name)
            server("block-export-add", type="nbd", id="bm", name="bm", node_name=node,
                   bitmaps=["b0", "b1"])  # fmt: skip
        yield [qemu, reference]


pytestmark = ON_QEMU.marks


@pytest.mark.parametrize("name", DIALOGUES)
def test_the_same_bytes_come_back(name: str, servers: list[Server]) -> None:
    qemu, reference = (answers(server, DIALOGUES[name]) for server in servers)
    assert reference == qemu


@pytest.mark.parametrize("name", ERRORS)
def test_only_the_error_number_differs(name: str, servers: list[Server]) -> None:
    qemu, reference = (answers(server, ERRORS[name]) for server in servers)
    assert [as_qemu(reply) for reply in reference] == qemu != reference


def as_qemu(reply: bytes) -> bytes:
    """The reply with EINVAL for EPERM and ENOSPC."""
    einval = struct.pack(">I", 22)
    for number in (1, 28):
        error = struct.pack(">I", number)
        if reply.startswith(b"\x67\x44\x66\x98" + error):
            return reply[:4] + einval + reply[8:]
        if reply[6:8] == b"\x80\x01" and reply[20:24] == error:
            return reply[:20] + einval + reply[24:]
    return reply
