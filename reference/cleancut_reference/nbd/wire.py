"""The numbers of the NBD protocol, and how its replies are packed."""

import errno
import struct
from collections.abc import Sequence
from enum import IntEnum, IntFlag
from typing import Final

MAX_STRING_BYTES: Final = 4096
MAX_PAYLOAD_BYTES: Final = 32 << 20
PREFERRED_BLOCK_BYTES: Final = 4096

GREETING: Final = b"NBDMAGIC"
OPTION_MAGIC: Final = b"IHAVEOPT"
OLD_MAGIC: Final = 0x420281861253.to_bytes(8)  # of a server that has one export and no options
OPTION_REPLY: Final = struct.Struct(">QIII")  # magic, option, kind, length
OPTION_REPLY_MAGIC: Final = 0x3E889045565A9
REQUEST: Final = struct.Struct(">IHHQQI")  # magic, flags, command, cookie, offset, length
REQUEST_MAGIC: Final = 0x25609513
SIMPLE: Final = struct.Struct(">IIQ")  # magic, error, cookie
SIMPLE_MAGIC: Final = 0x67446698
CHUNK: Final = struct.Struct(">IHHQI")  # magic, flags, type, cookie, length
CHUNK_MAGIC: Final = 0x668E33EF
CHUNK_DONE: Final = 1


class Handshake(IntFlag):
    """What server and client say of their handshake."""

    FIXED_NEWSTYLE = 1
    NO_ZEROES = 2


class Option(IntEnum):
    """What a client may ask while it negotiates."""

    EXPORT_NAME = 1
    ABORT = 2
    LIST = 3
    STARTTLS = 5
    INFO = 6
    GO = 7
    STRUCTURED_REPLY = 8
    LIST_META_CONTEXT = 9
    SET_META_CONTEXT = 10

    @property
    def text(self) -> str:
        """Its name in a message."""
        return self.name.lower().replace("_", " ")


class OptionReply(IntEnum):
    """How the server answers an option."""

    ACK = 1
    SERVER = 2
    INFO = 3
    META_CONTEXT = 4
    ERR_UNSUP = 1 << 31 | 1
    ERR_POLICY = 1 << 31 | 2
    ERR_INVALID = 1 << 31 | 3
    ERR_UNKNOWN = 1 << 31 | 6
    ERR_TOO_BIG = 1 << 31 | 9


class Info(IntEnum):
    """What can be told about an export."""

    EXPORT = 0
    NAME = 1
    DESCRIPTION = 2
    BLOCK_SIZE = 3


class Feature(IntFlag):
    """What an export can do."""

    HAS_FLAGS = 1 << 0
    READ_ONLY = 1 << 1
    SEND_FLUSH = 1 << 2
    SEND_FUA = 1 << 3
    SEND_TRIM = 1 << 5
    SEND_WRITE_ZEROES = 1 << 6
    SEND_DF = 1 << 7
    CAN_MULTI_CONN = 1 << 8
    SEND_CACHE = 1 << 10
    SEND_FAST_ZERO = 1 << 11


class Command(IntEnum):
    """What a client may ask of an export."""

    READ = 0
    WRITE = 1
    DISC = 2
    FLUSH = 3
    TRIM = 4
    CACHE = 5
    WRITE_ZEROES = 6
    BLOCK_STATUS = 7

    @property
    def text(self) -> str:
        """Its name in a message."""
        return self.name.lower().replace("_", " ")


class CommandFlag(IntFlag):
    """How a command is to be done."""

    FUA = 1 << 0
    NO_HOLE = 1 << 1
    DF = 1 << 2
    REQ_ONE = 1 << 3
    FAST_ZERO = 1 << 4


class Chunk(IntEnum):
    """The parts of a structured reply."""

    NONE = 0
    OFFSET_DATA = 1
    OFFSET_HOLE = 2
    BLOCK_STATUS = 5
    ERROR = 1 << 15 | 1


class ExtentFlag(IntFlag):
    """What is said of an extent: HOLE and ZERO of its allocation, DIRTY by a bitmap."""

    HOLE = 1 << 0
    ZERO = 1 << 1
    DIRTY = 1 << 0


_ERRORS: Final = {
    "EPERM": errno.EPERM, "EROFS": errno.EPERM, "EIO": errno.EIO, "ENOMEM": errno.ENOMEM,
    "ENOSPC": errno.ENOSPC, "EDQUOT": errno.ENOSPC, "EFBIG": errno.ENOSPC,
    "EOVERFLOW": errno.EOVERFLOW, "ENOTSUP": errno.ENOTSUP, "EOPNOTSUPP": errno.ENOTSUP,
    "ESHUTDOWN": errno.ESHUTDOWN,
}  # fmt: skip


def error_number(errno_name: str) -> int:
    """The number that the protocol has for an errno; EINVAL for those that it has not."""
    return _ERRORS.get(errno_name, errno.EINVAL)


def errno_of(number: int) -> int:
    """The errno that the protocol's number means; EINVAL for those that it has not."""
    return number if number in _ERRORS.values() else errno.EINVAL


def option_request(option: Option, data: bytes = b"") -> bytes:
    """What a client asks while it negotiates."""
    return OPTION_MAGIC + struct.pack(">II", option, len(data)) + data


def option_reply(option: int, kind: OptionReply, data: bytes = b"") -> bytes:
    """A reply to an option."""
    return OPTION_REPLY.pack(OPTION_REPLY_MAGIC, option, kind, len(data)) + data


def string(data: bytes) -> bytes:
    """A string with its length in front."""
    return struct.pack(">I", len(data)) + data


def simple_reply(cookie: int, errno_name: str = "", data: bytes = b"") -> bytes:
    """The reply to a command, without structure."""
    number = error_number(errno_name) if errno_name else 0
    return SIMPLE.pack(SIMPLE_MAGIC, number, cookie) + data


def _chunk(cookie: int, kind: Chunk, data: bytes = b"", *, done: bool = True) -> bytes:
    return CHUNK.pack(CHUNK_MAGIC, CHUNK_DONE if done else 0, kind, cookie, len(data)) + data


def error_chunk(cookie: int, errno_name: str, text: str) -> bytes:
    """A structured reply that tells an error."""
    message = text.encode()
    head = struct.pack(">IH", error_number(errno_name), len(message))
    return _chunk(cookie, Chunk.ERROR, head + message)


def status_chunk(
    cookie: int, context: int, extents: Sequence[tuple[int, int]], done: bool
) -> bytes:
    """The extents of one context, each with its length and its flags."""
    numbers = [number for extent in extents for number in extent]
    data = struct.pack(f">I{len(numbers)}I", context, *numbers)
    return _chunk(cookie, Chunk.BLOCK_STATUS, data, done=done)


def data_chunks(cookie: int, offset_bytes: int, data: bytes, whole: bool) -> bytes:
    """What was read: runs of zeros as holes, unless the client wants the data as a whole."""
    if not data:
        return _chunk(cookie, Chunk.NONE)
    pieces, at = [], 0
    for end, zero in [(len(data), False)] if whole else _runs(offset_bytes, data):
        place = struct.pack(">Q", offset_bytes + at)
        kind = Chunk.OFFSET_HOLE if zero else Chunk.OFFSET_DATA
        body = struct.pack(">I", end - at) if zero else data[at:end]
        pieces.append(_chunk(cookie, kind, place + body, done=end == len(data)))
        at = end
    return b"".join(pieces)


_ZEROS: Final = bytes(PREFERRED_BLOCK_BYTES)


def _runs(offset_bytes: int, data: bytes) -> list[tuple[int, bool]]:
    """Where each run of blocks that are zero, or that are not, ends in the data."""
    runs: list[tuple[int, bool]] = []
    start = 0
    while start < len(data):
        length_bytes = len(_ZEROS) - (offset_bytes + start) % len(_ZEROS)
        end = min(start + length_bytes, len(data))
        zero = data.startswith(_ZEROS[: end - start], start)
        if runs and runs[-1][1] == zero:
            runs[-1] = end, zero
        else:
            runs.append((end, zero))
        start = end
    return runs
