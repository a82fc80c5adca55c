"""The first part of an NBD dialogue: the client looks at the exports and chooses one.

Fixed newstyle, as QEMU 7.2 speaks it. Nothing that a client says here changes an export.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, NoReturn

from cleancut_reference.nbd.stream import BrokenProtocol, Dialogue
from cleancut_reference.nbd.wire import (
    GREETING,
    MAX_PAYLOAD_BYTES,
    MAX_STRING_BYTES,
    OPTION_MAGIC,
    PREFERRED_BLOCK_BYTES,
    Feature,
    Handshake,
    Info,
    Option,
    OptionReply,
    option_reply,
    string,
)

ALLOCATION: Final = "base:allocation"
BITMAP: Final = "qemu:dirty-bitmap:"
_FIRST_BITMAP_ID: Final = 2  # 1 is for QEMU's allocation depth

_OPTIONS: Final = frozenset(Option)
MAX_OPTION_BYTES: Final = 1 << 18
_RESERVED: Final = bytes(124)


@dataclass(frozen=True, slots=True)
class Offer:
    """What a client is told of an export."""

    name: str
    description: str
    size_bytes: int
    writable: bool
    bitmaps: tuple[str, ...] = ()

    @property
    def contexts(self) -> dict[str, int]:
        """What can be asked about its extents, with the number that stands for it in replies."""
        bitmaps = {BITMAP + name: _FIRST_BITMAP_ID + at for at, name in enumerate(self.bitmaps)}
        return {ALLOCATION: 0} | bitmaps

    def features(self, structured: bool) -> Feature:
        """What the export can do."""
        found = Feature.HAS_FLAGS | Feature.SEND_FLUSH | Feature.SEND_FUA
        found |= Feature.CAN_MULTI_CONN | Feature.SEND_CACHE
        if self.writable:
            found |= Feature.SEND_TRIM | Feature.SEND_WRITE_ZEROES | Feature.SEND_FAST_ZERO
        else:
            found |= Feature.READ_ONLY
        return found | Feature.SEND_DF if structured else found


@dataclass(frozen=True, slots=True)
class Terms:
    """What has been agreed upon: the export, the form of replies, what is told of extents."""

    offer: Offer
    structured: bool
    contexts: tuple[str, ...]


class _Refusal(Exception):
    """An option is answered by an error, and the dialogue goes on."""

    def __init__(self, kind: OptionReply, text: str | bytes) -> None:
        self.kind = kind
        self.text = text.encode() if isinstance(text, str) else text


class Negotiation:
    """The server's side of the handshake; `out` collects what it says."""

    def __init__(self, offers: Callable[[], Sequence[Offer]], out: bytearray) -> None:
        self._offers = offers
        self._out = out
        self._structured = False
        self._set: tuple[Offer, tuple[str, ...]] | None = None
        self._no_zeroes = False
        out += GREETING + OPTION_MAGIC
        out += struct.pack(">H", Handshake.FIXED_NEWSTYLE | Handshake.NO_ZEROES)

    def run(self) -> Dialogue[NoReturn, Terms | None]:
        """Negotiate; what has been agreed upon, or None if the client gave up."""
        flags = int.from_bytes((yield 4))
        if flags & ~int(Handshake.FIXED_NEWSTYLE | Handshake.NO_ZEROES):
            raise BrokenProtocol(f"unknown client flags {flags:#x}")
        self._no_zeroes = bool(flags & Handshake.NO_ZEROES)
        fixed = bool(flags & Handshake.FIXED_NEWSTYLE)
        while True:
            magic, option, length_bytes = struct.unpack(">8sII", (yield 16))
            if magic != OPTION_MAGIC:
                raise BrokenProtocol("an option does not begin with its magic number")
            if length_bytes > MAX_PAYLOAD_BYTES:
                raise BrokenProtocol(f"an option of {length_bytes} bytes")
            if not fixed and option != Option.EXPORT_NAME:
                raise BrokenProtocol(f"option {option} in an oldstyle handshake")
            match option:
                case Option.EXPORT_NAME:
                    return (yield from self._export_name(length_bytes))
                case Option.ABORT:
                    self._reply(option, OptionReply.ACK)
                    return None
            offer = self._answer(option, (yield from _option_data(length_bytes)))
            if offer is not None:
                return self._terms(offer)

    def _terms(self, offer: Offer) -> Terms:
        contexts = self._set[1] if self._set is not None and self._set[0] == offer else ()
        return Terms(offer, self._structured, contexts)

    def _reply(self, option: int, kind: OptionReply, data: bytes = b"") -> None:
        self._out += option_reply(option, kind, data)

    def _export_name(self, length_bytes: int) -> Dialogue[NoReturn, Terms]:
        if length_bytes > MAX_STRING_BYTES:
            raise BrokenProtocol(f"an export name of {length_bytes} bytes")
        name = yield length_bytes
        offer = self._find(name)
        if offer is None:  # this option has no way to tell an error
            raise BrokenProtocol(f"there is no export {name.decode(errors='replace')!r}")
        self._out += struct.pack(">QH", offer.size_bytes, offer.features(self._structured))
        if not self._no_zeroes:
            self._out += _RESERVED
        return self._terms(offer)

    def _answer(self, option: int, data: bytes | None) -> Offer | None:
        """Answer an option; the export if it chooses one."""
        try:
            if option not in _OPTIONS:
                text = f"Unsupported option {option} (<unknown>)"
                raise _Refusal(OptionReply.ERR_UNSUP, text)
            if data is None:
                raise _Refusal(OptionReply.ERR_TOO_BIG, "the option has too much data")
            offer = self._perform(_Fields(Option(option), data))
        except _Refusal as refusal:
            self._reply(option, refusal.kind, refusal.text)
            return None
        self._reply(option, OptionReply.ACK)
        return offer if option == Option.GO else None

    def _perform(self, fields: _Fields) -> Offer | None:
        match fields.option:
            case Option.INFO | Option.GO:
                return self._info(fields)
            case Option.LIST_META_CONTEXT | Option.SET_META_CONTEXT:
                self._contexts(fields)
                return None
        fields.end()  # the others have no data
        match fields.option:
            case Option.LIST:
                self._list()
            case Option.STARTTLS:
                raise _Refusal(OptionReply.ERR_POLICY, "TLS not configured")
            case Option.STRUCTURED_REPLY:
                self._structure()
        return None

    def _list(self) -> None:
        for offer in self._offers():
            data = string(offer.name.encode()) + offer.description.encode()
            self._reply(Option.LIST, OptionReply.SERVER, data)

    def _structure(self) -> None:
        if self._structured:
            raise _Refusal(OptionReply.ERR_INVALID, "structured reply already negotiated")
        self._structured = True

    def _info(self, fields: _Fields) -> Offer:
        name = fields.name()
        wanted = [fields.number(2) for _ in range(fields.number(2))]
        fields.end()
        offer = self._require(name)
        if Info.NAME in wanted:
            self._tell(fields.option, Info.NAME, offer.name.encode())
        if offer.description:
            self._tell(fields.option, Info.DESCRIPTION, offer.description.encode())
        sizes = struct.pack(">III", 1, PREFERRED_BLOCK_BYTES, MAX_PAYLOAD_BYTES)
        self._tell(fields.option, Info.BLOCK_SIZE, sizes)
        features = offer.features(self._structured)
        self._tell(fields.option, Info.EXPORT, struct.pack(">QH", offer.size_bytes, features))
        return offer

    def _tell(self, option: Option, kind: Info, data: bytes) -> None:
        self._reply(option, OptionReply.INFO, struct.pack(">H", kind) + data)

    def _contexts(self, fields: _Fields) -> None:
        setting = fields.option == Option.SET_META_CONTEXT
        if setting:
            self._set = None
            if not self._structured:
                text = "request option 'set meta context' when structured reply is not negotiated"
                raise _Refusal(OptionReply.ERR_INVALID, text)
        offer = self._require(fields.name())
        queries = fields.strings()
        fields.end()
        names = tuple(name for name in offer.contexts if _is_meant(name, queries, setting))
        for name in names:
            data = struct.pack(">I", offer.contexts[name] if setting else 0) + name.encode()
            self._reply(fields.option, OptionReply.META_CONTEXT, data)
        if setting:
            self._set = offer, names

    def _find(self, name: bytes) -> Offer | None:
        return next((offer for offer in self._offers() if offer.name.encode() == name), None)

    def _require(self, name: bytes) -> Offer:
        offer = self._find(name)
        if offer is None:
            raise _Refusal(OptionReply.ERR_UNKNOWN, b"export '" + name + b"' not present")
        return offer


def _is_meant(name: str, queries: list[str], setting: bool) -> bool:
    """Whether a context is asked for: by its name, or for a list by a part that ends in `:`."""
    if setting:
        return name in queries
    return not queries or any(
        query == name or (query.endswith(":") and name.startswith(query)) for query in queries
    )


def _option_data(length_bytes: int) -> Dialogue[NoReturn, bytes | None]:
    """The data of an option; None for more than any option can need, which is thrown away."""
    if length_bytes <= MAX_OPTION_BYTES:
        return (yield length_bytes)
    while length_bytes:
        length_bytes -= len((yield min(length_bytes, MAX_OPTION_BYTES)))
    return None


class _Fields:
    """Reads the fields of an option; raises _Refusal where they do not fit its length."""

    def __init__(self, option: Option, data: bytes) -> None:
        self.option = option
        self._data = data
        self._at = 0

    def _take(self, length_bytes: int) -> bytes:
        end = self._at + length_bytes
        if end > len(self._data):
            text = f"Inconsistent lengths in option {self.option.text}"
            raise _Refusal(OptionReply.ERR_INVALID, text)
        piece, self._at = self._data[self._at : end], end
        return piece

    def number(self, length_bytes: int) -> int:
        """An unsigned number."""
        return int.from_bytes(self._take(length_bytes))

    def name(self) -> bytes:
        """The name of an export."""
        length_bytes = self.number(4)
        if length_bytes > MAX_STRING_BYTES:
            raise _Refusal(OptionReply.ERR_INVALID, f"Invalid name length: {length_bytes}")
        return self._take(length_bytes)

    def strings(self) -> list[str]:
        """Strings, with their number in front."""
        count = self.number(4)
        return [self._take(self.number(4)).decode(errors="replace") for _ in range(count)]

    def end(self) -> None:
        """Nothing may be left."""
        if self._at < len(self._data):
            text = f"option '{self.option.text}' has unexpected length"
            raise _Refusal(OptionReply.ERR_INVALID, text)
