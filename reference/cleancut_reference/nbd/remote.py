"""An export of another NBD server: the client's side of the protocol.

Pure, as the server's side: each dialogue yields how many bytes it needs next, and `data_to_send`
is what the server is told before. One request is under way at a time.
"""

import errno
import struct
from typing import Final, NoReturn

from cleancut_reference.nbd.handshake import ALLOCATION, MAX_OPTION_BYTES
from cleancut_reference.nbd.stream import BrokenProtocol, Dialogue
from cleancut_reference.nbd.wire import (
    CHUNK,
    CHUNK_DONE,
    CHUNK_MAGIC,
    GREETING,
    MAX_STRING_BYTES,
    OLD_MAGIC,
    OPTION_MAGIC,
    OPTION_REPLY,
    OPTION_REPLY_MAGIC,
    REQUEST,
    REQUEST_MAGIC,
    SIMPLE,
    SIMPLE_MAGIC,
    Chunk,
    Command,
    ExtentFlag,
    Feature,
    Handshake,
    Info,
    Option,
    OptionReply,
    errno_of,
    option_request,
    string,
)

#: The largest unit that a server may insist on: all requests are of whole sectors.
MAX_BLOCK_BYTES: Final = 512
MAX_SIZE_BYTES: Final = 1 << 63
_ERROR: Final = 1 << 15  # in the kind of a chunk
_OPTION_ERROR: Final = 1 << 31  # in the kind of a reply to an option
_OFFSET_BYTES: Final = 8  # in front of what was read
_SPARE_BYTES: Final = 1 << 20  # for what comes with what was read

#: Commands whose reply has structure, once that is agreed upon.
_STRUCTURED: Final = frozenset({Command.READ, Command.BLOCK_STATUS})


class Refused(Exception):
    """The server does not give the export; the message is what QEMU says."""


class Remote:
    """One export of a server, from the greeting on. `phase` is what is being read."""

    def __init__(self, name: str) -> None:
        self._name = name.encode()
        self._out = bytearray()
        self._cookie = 0
        self._structured = False
        self._context: int | None = None
        self._block_bytes = 1
        self.phase = "initial magic"
        self.size_bytes = 0
        self.features = Feature(0)

    @property
    def read_only(self) -> bool:
        """Whether the server lets nobody write."""
        return Feature.READ_ONLY in self.features

    @property
    def tells_extents(self) -> bool:
        """Whether the server says where the export reads as zeros."""
        return self._context is not None

    def data_to_send(self) -> bytes:
        """What the server is to be sent now; forgets it."""
        data = bytes(self._out)
        self._out.clear()
        return data

    def greet(self) -> Dialogue[NoReturn, None]:
        """Negotiate; raises Refused or BrokenProtocol."""
        magic = yield 8
        if magic != GREETING:
            raise BrokenProtocol(f"Bad initial magic received: 0x{magic.hex()}")
        self.phase = "server magic"
        magic = yield 8
        if magic == OLD_MAGIC:
            yield from self._old_style()
        elif magic == OPTION_MAGIC:
            yield from self._new_style()
        else:
            raise BrokenProtocol(f"Bad server magic received: 0x{magic.hex()}")
        if self._block_bytes > MAX_BLOCK_BYTES:
            raise Refused(f"The server insists on blocks of {self._block_bytes} bytes")
        if self.size_bytes >= MAX_SIZE_BYTES:
            raise BrokenProtocol(f"an export of {self.size_bytes} bytes")

    def _old_style(self) -> Dialogue[NoReturn, None]:
        if self._name:
            raise Refused("Server does not support non-empty export names")
        self.phase = "export length"
        size = yield 8
        self.phase = "export flags"
        self._learn(size + (yield 4)[2:])
        self.phase = "reserved block"
        yield 124

    def _new_style(self) -> Dialogue[NoReturn, None]:
        self.phase = "server flags"
        flags = Handshake(int.from_bytes((yield 2)) & 3)
        self._out += struct.pack(">I", flags)
        if len(self._name) > MAX_STRING_BYTES:
            raise Refused("export name too long to send to server")
        if Handshake.FIXED_NEWSTYLE in flags:
            self.phase = "option reply"
            yield from self._ask_for_structure()
            if (yield from self._go()):
                return
        yield from self._export_name(Handshake.NO_ZEROES in flags)

    def _ask_for_structure(self) -> Dialogue[NoReturn, None]:
        self._out += option_request(Option.STRUCTURED_REPLY)
        kind, _ = yield from self._option_reply(Option.STRUCTURED_REPLY)
        self._structured = kind == OptionReply.ACK
        if not self._structured:
            return
        option, query = Option.SET_META_CONTEXT, string(ALLOCATION.encode())
        self._out += option_request(option, string(self._name) + struct.pack(">I", 1) + query)
        while True:
            kind, data = yield from self._option_reply(option)
            if kind != OptionReply.META_CONTEXT or self._context is not None or len(data) < 4:
                return
            self._context = int.from_bytes(data[:4])

    def _go(self) -> Dialogue[NoReturn, bool]:
        """Choose the export; false if the server does not know this way. Raises Refused."""
        wanted = struct.pack(">HH", 1, Info.BLOCK_SIZE)
        self._out += option_request(Option.GO, string(self._name) + wanted)
        known = False
        while True:
            kind, data = yield from self._option_reply(Option.GO)
            if kind == OptionReply.ACK:
                if not known:
                    raise BrokenProtocol("broken server omitted NBD_INFO_EXPORT")
                return True
            if kind != OptionReply.INFO:
                return _refusal(kind)
            match int.from_bytes(data[:2]), len(data):
                case Info.EXPORT, 12:
                    self._learn(data[2:])
                    known = True
                case Info.BLOCK_SIZE, 14:
                    self._block_bytes = int.from_bytes(data[2:6])

    def _learn(self, data: bytes) -> None:
        size_bytes, features = struct.unpack(">QH", data)
        self.size_bytes, self.features = size_bytes, Feature(features)

    def _export_name(self, no_zeroes: bool) -> Dialogue[NoReturn, None]:
        """Choose the export in the older way, to which a server that has it not hangs up."""
        self._out += option_request(Option.EXPORT_NAME, self._name)
        self.phase = "export length"
        self._learn((yield 10))
        if not no_zeroes:
            self.phase = "reserved block"
            yield 124

    def _option_reply(self, option: Option) -> Dialogue[NoReturn, tuple[int, bytes]]:
        magic, number, kind, length_bytes = OPTION_REPLY.unpack((yield OPTION_REPLY.size))
        if magic != OPTION_REPLY_MAGIC:
            raise BrokenProtocol("Unexpected option reply magic")
        if number != option:
            raise BrokenProtocol("Unexpected option type in option reply")
        if length_bytes > MAX_OPTION_BYTES:
            raise BrokenProtocol(f"an option reply of {length_bytes} bytes")
        return kind, (yield length_bytes) if length_bytes else b""

    def read(self, offset_bytes: int, length_bytes: int) -> Dialogue[NoReturn, bytes]:
        """The bytes of a range within the export; raises OSError or BrokenProtocol."""
        chunks = yield from self._ask(Command.READ, offset_bytes, length_bytes)
        data, got = bytearray(length_bytes), 0
        for kind, body in chunks:
            match kind, len(body):
                case Chunk.OFFSET_DATA, size if size > _OFFSET_BYTES:
                    piece = body[_OFFSET_BYTES:]
                case Chunk.OFFSET_HOLE, 12:
                    piece = bytes(min(int.from_bytes(body[_OFFSET_BYTES:]), length_bytes + 1))
                case Chunk.NONE, 0:
                    continue
                case _:
                    raise BrokenProtocol(f"a chunk of kind {kind} in the reply to a read")
            at = int.from_bytes(body[:_OFFSET_BYTES]) - offset_bytes
            if not 0 <= at <= at + len(piece) <= length_bytes:
                raise BrokenProtocol("a chunk lies outside of what was asked for")
            data[at : at + len(piece)] = piece
            got += len(piece)
        if got != length_bytes:
            raise BrokenProtocol(f"{got} of {length_bytes} bytes in the reply to a read")
        return bytes(data)

    def write(self, offset_bytes: int, data: bytes) -> Dialogue[NoReturn, None]:
        """Replace the bytes of a range within the export; raises OSError or BrokenProtocol."""
        yield from self._ask(Command.WRITE, offset_bytes, len(data), data)

    def flush(self) -> Dialogue[NoReturn, None]:
        """What was written before is safe then; raises OSError or BrokenProtocol."""
        if Feature.SEND_FLUSH in self.features:
            yield from self._ask(Command.FLUSH)

    def extents(
        self, offset_bytes: int, length_bytes: int
    ) -> Dialogue[NoReturn, list[tuple[int, ExtentFlag]]]:
        """How a range begins: lengths and flags; raises OSError or BrokenProtocol."""
        chunks = yield from self._ask(Command.BLOCK_STATUS, offset_bytes, length_bytes)
        for kind, body in chunks:
            if kind == Chunk.BLOCK_STATUS and int.from_bytes(body[:4]) == self._context:
                pairs = list(struct.iter_unpack(">II", body[4 : 4 + (len(body) - 4) // 8 * 8]))
                if pairs and all(length for length, _ in pairs):
                    return [(length, ExtentFlag(flags & 3)) for length, flags in pairs]
        raise BrokenProtocol("no extents in the reply to a block status")

    def leave(self) -> None:
        """Say goodbye; there is no answer to that."""
        self._out += REQUEST.pack(REQUEST_MAGIC, 0, Command.DISC, 0, 0, 0)

    def _ask(
        self, command: Command, offset_bytes: int = 0, length_bytes: int = 0, data: bytes = b""
    ) -> Dialogue[NoReturn, list[tuple[int, bytes]]]:
        """Ask for something; what comes back, as the chunks of a structured reply."""
        self._cookie += 1
        head = (REQUEST_MAGIC, 0, command, self._cookie, offset_bytes, length_bytes)
        self._out += REQUEST.pack(*head) + data
        self.phase = "reply"
        magic = int.from_bytes((yield 4))
        if magic == SIMPLE_MAGIC and not (self._structured and command in _STRUCTURED):
            number, cookie = struct.unpack(">IQ", (yield SIMPLE.size - 4))
            self._check(number, cookie)
            if command is not Command.READ:
                return []
            return [(Chunk.OFFSET_DATA, offset_bytes.to_bytes(8) + (yield length_bytes))]
        if not self._structured:
            raise BrokenProtocol(f"invalid magic (got {magic:#x})")
        return (yield from self._chunks(magic, length_bytes))

    def _chunks(self, magic: int, asked_bytes: int) -> Dialogue[NoReturn, list[tuple[int, bytes]]]:
        """The chunks of a structured reply, the first of which begins with this magic number."""
        found: list[tuple[int, bytes]] = []
        number, left_bytes, flags = 0, asked_bytes + _SPARE_BYTES, 0
        while True:
            if magic != CHUNK_MAGIC:
                raise BrokenProtocol(f"invalid magic (got {magic:#x})")
            flags, kind, cookie, length_bytes = struct.unpack(">HHQI", (yield CHUNK.size - 4))
            self._check(0, cookie)
            left_bytes -= CHUNK.size + length_bytes
            if left_bytes < 0:
                raise BrokenProtocol("a reply is longer than what was asked for")
            body = (yield length_bytes) if length_bytes else b""
            if kind & _ERROR:
                number = number or int.from_bytes(body[:4]) or errno.EINVAL
            else:
                found.append((kind, body))
            if flags & CHUNK_DONE:
                self._check(number, cookie)
                return found
            magic = int.from_bytes((yield 4))

    def _check(self, number: int, cookie: int) -> None:
        """Refuse a reply to something else, raise what the server could not do."""
        if cookie != self._cookie:
            raise BrokenProtocol("a reply to nothing that was asked")
        if number:
            raise OSError(errno_of(number), "the NBD server could not do it")


def _refusal(kind: int) -> bool:
    """What it means that a server does not choose an export; raises Refused."""
    match kind:
        case OptionReply.ERR_UNSUP:
            return False
        case OptionReply.ERR_UNKNOWN:
            raise Refused("Requested export not available")
        case OptionReply.ERR_POLICY:
            raise Refused("Denied by server for option 7 (go)")
    raise Refused(f"Server refuses option 7 (go) with error {kind & ~_OPTION_ERROR}")
