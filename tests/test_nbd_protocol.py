"""The NBD dialogue alone: whatever comes in, and however it is cut into packets."""

import struct
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cleancut_reference.nbd.connection import Connection
from cleancut_reference.nbd.handshake import Offer, Terms
from cleancut_reference.nbd.stream import BrokenProtocol
from cleancut_reference.nbd.transmission import Request
from cleancut_reference.nbd.wire import data_chunks
from tests import nbd_words as nbd

pytestmark = pytest.mark.slow

OFFERS = [Offer("d0", "a drive", 1 << 20, True), Offer("ro", "", 1000, False)]
GREETING = b"NBDMAGICIHAVEOPT\0\3"

NAMES = st.sampled_from(["d0", "ro", "nope", "", "n" * 4097])
QUERIES = st.lists(st.sampled_from(["base:allocation", "base:", "", "qemu:x", "q" * 5000]))
OPTION = st.one_of(
    st.builds(nbd.option, st.sampled_from([nbd.LIST, nbd.STRUCTURED, nbd.STARTTLS, 4, 99])),
    st.builds(nbd.option, st.integers(0, 2**32 - 1), st.binary(max_size=50)),
    st.builds(
        nbd.option,
        st.sampled_from([nbd.INFO, nbd.GO]),
        st.builds(nbd.info, NAMES, st.integers(0, 4), st.integers(0, 99)),
    ),
    st.builds(
        lambda number, name, queries: nbd.option(number, nbd.contexts(name, *queries)),
        st.sampled_from([nbd.LIST_META, nbd.SET_META]), NAMES, QUERIES,
    ),
)  # fmt: skip
OFFSETS = st.sampled_from([0, 1, 999, 1000, 4096, 1 << 20, (1 << 64) - 1])
LENGTHS = st.sampled_from([0, 1, 100, 4096, (32 << 20) + 1, (1 << 32) - 1])
FLAGS = st.sampled_from([0, nbd.FUA, nbd.DF, nbd.REQ_ONE, nbd.FAST_ZERO, 0x8000])
COOKIES = st.integers(0, 2**64 - 1)
REQUEST = st.builds(
    nbd.request, st.integers(0, 9).filter(lambda command: command != nbd.WRITE),
    COOKIES, OFFSETS, LENGTHS, FLAGS,
) | st.builds(
    lambda data, cookie, offset, flags: nbd.request(
        nbd.WRITE, cookie, offset, len(data), flags, data
    ),
    st.binary(max_size=20), COOKIES, OFFSETS, FLAGS,
)  # fmt: skip
DIALOGUE = st.builds(
    lambda options, chosen, requests, junk: b"".join(
        [nbd.FLAGS, *options, nbd.option(nbd.GO, nbd.info(chosen)), *requests, junk]
    ),
    st.lists(OPTION, max_size=6), NAMES, st.lists(REQUEST, max_size=8), st.binary(max_size=40),
)  # fmt: skip


def option_head(number: int, length_bytes: int) -> bytes:
    return b"IHAVEOPT" + struct.pack(">II", number, length_bytes)


def play(pieces: Iterator[bytes] | list[bytes]) -> tuple[bytes, list[object], str]:
    """All that comes of a dialogue; each request is answered at once, as if by a disk of zeros."""
    connection = Connection(lambda: OFFERS)
    sent, events, broken = connection.data_to_send(), [], ""
    for piece in pieces:
        connection.receive(piece)
        try:
            while (event := connection.next_event()) is not None:
                events.append(event if isinstance(event, Terms) else vars_of(event))
                if isinstance(event, Request):
                    answer(connection, event)
        except BrokenProtocol as error:
            broken = str(error)
        sent += connection.data_to_send()
    return sent, events, broken


def vars_of(request: Request) -> tuple[object, ...]:
    return (request.command, request.flags, request.cookie, request.offset_bytes,
            request.length_bytes, request.data)  # fmt: skip


def answer(connection: Connection, request: Request) -> None:
    transmission = connection.transmission
    assert transmission is not None
    if request.command == nbd.BLOCK_STATUS:
        transmission.reply_extents(request, {"base:allocation": [(request.length_bytes, 3)]})
    else:
        data = bytes(request.length_bytes) if request.command == nbd.READ else b""
        transmission.reply(request, data)


@settings(max_examples=500)
@given(st.lists(st.binary(max_size=60), max_size=8), st.booleans())
def test_no_bytes_break_it(pieces: list[bytes], greeted: bool) -> None:
    sent, _, _ = play([nbd.FLAGS, *pieces] if greeted else pieces)
    assert sent.startswith(GREETING)


@settings(max_examples=500)
@given(DIALOGUE, st.data())
def test_where_a_packet_ends_makes_no_difference(dialogue: bytes, data: st.DataObject) -> None:
    cuts = data.draw(st.lists(st.integers(0, len(dialogue)), max_size=8).map(sorted))
    pieces = [dialogue[a:b] for a, b in zip([0, *cuts], [*cuts, len(dialogue)], strict=True)]
    assert play(pieces) == play([dialogue])


@settings(max_examples=200)
@given(DIALOGUE)
def test_one_byte_at_a_time_is_the_same(dialogue: bytes) -> None:
    assert play(bytes([byte]) for byte in dialogue) == play([dialogue])


@settings(max_examples=500)
@given(st.lists(REQUEST, max_size=8), st.sampled_from(["d0", "ro"]), st.booleans())
def test_each_request_is_answered_or_ends_the_dialogue(
    requests: list[bytes], name: str, structured: bool
) -> None:
    """What the connection lets through lies within the export, and changes only a writable one."""
    hello = [nbd.FLAGS, nbd.option(nbd.STRUCTURED) if structured else b""]
    hello += [nbd.option(nbd.GO, nbd.info(name))]
    silent, _, _ = play([b"".join(hello)])
    sent, events, broken = play([b"".join([*hello, *requests])])
    offer = next(offer for offer in OFFERS if offer.name == name)
    for _, _, _, offset_bytes, length_bytes, data in events[1:]:
        assert offset_bytes + length_bytes <= offer.size_bytes
        assert not data or offer.writable
    asked = [struct.unpack(">IHHQQI", request[:28]) for request in requests]
    ends = [at for at, fields in enumerate(asked) if fields[2] == nbd.DISC]
    cookies = [fields[3] for fields in asked[: ends[0] if ends else None]]
    assert replies(sent[len(silent) :]) == cookies and not broken


def replies(data: bytes) -> list[int]:
    """The cookies of all replies in a stream, without the chunks that are followed by others."""
    found = []
    while data:
        (magic,) = struct.unpack_from(">I", data)
        if magic == 0x67446698:
            _, error, cookie = struct.unpack_from(">IIQ", data)
            data = data[16:]
            found.append(cookie)
            if not error and not data.startswith((b"\x67\x44\x66\x98", b"\x66\x8e\x33\xef")):
                data = data.lstrip(b"\0")
        else:
            assert magic == 0x668E33EF
            _, flags, _, cookie, length_bytes = struct.unpack_from(">IHHQI", data)
            data = data[20 + length_bytes :]
            if flags & 1:
                found.append(cookie)
    return found


@given(
    st.lists(st.tuples(st.booleans(), st.integers(1, 9000)), max_size=6), st.integers(0, 10000),
    st.booleans(),
)  # fmt: skip
def test_a_structured_read_gives_back_what_was_read(
    parts: list[tuple[bool, int]], offset_bytes: int, whole: bool
) -> None:
    data = b"".join(bytes(length) if zero else b"x" * length for zero, length in parts)
    stream = data_chunks(5, offset_bytes, data, whole)
    found, done = bytearray(b"?" * len(data)), 0
    while stream:
        _, flags, kind, cookie, length = struct.unpack_from(">IHHQI", stream)
        body, stream = stream[20 : 20 + length], stream[20 + length :]
        assert cookie == 5
        done += flags & 1
        if kind == 1:
            at = struct.unpack_from(">Q", body)[0] - offset_bytes
            found[at : at + length - 8] = body[8:]
        elif kind == 2:
            assert not whole
            at, count = struct.unpack(">QI", body)
            found[at - offset_bytes : at - offset_bytes + count] = bytes(count)
    assert bytes(found) == data and done == 1


@pytest.mark.parametrize(
    ("sent", "text"),
    [
        (struct.pack(">I", 4), "unknown client flags 0x4"),
        (nbd.FLAGS + b"x" * 16, "does not begin with its magic number"),
        (nbd.FLAGS + option_head(99, (32 << 20) + 1), "an option of 33554433 bytes"),
        (struct.pack(">I", 0) + nbd.option(nbd.LIST), "option 3 in an oldstyle handshake"),
        (nbd.FLAGS + nbd.option(nbd.EXPORT_NAME, b"nope"), "there is no export 'nope'"),
        (nbd.FLAGS + nbd.option(nbd.EXPORT_NAME, b"d0") + b"x" * 28, "a request does not begin"),
        (
            nbd.FLAGS + nbd.option(nbd.EXPORT_NAME, b"d0")
            + nbd.request(nbd.WRITE, 1, 0, (32 << 20) + 1),
            "a write of 33554433 bytes",
        ),
    ],
)  # fmt: skip
def test_who_breaks_the_protocol_is_told_off_by_name(sent: bytes, text: str) -> None:
    _, _, broken = play([sent, nbd.option(nbd.LIST)])
    assert text in broken


def test_a_large_unknown_option_is_skipped_without_being_kept() -> None:
    connection = Connection(lambda: OFFERS)
    connection.receive(nbd.FLAGS + nbd.option(99, bytes(20 << 20))[:16])
    for _ in range(20):
        connection.receive(bytes(1 << 20))
        assert connection.next_event() is None
        assert connection.waiting_bytes < 1 << 20
    connection.receive(nbd.option(nbd.LIST))
    connection.next_event()
    assert b"d0a drive" in connection.data_to_send()
