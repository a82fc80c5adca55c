"""The judge's images and its oracle, beside plain arrays of bytes."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from cleancut_conformance.images import expand
from cleancut_conformance.judge.image import Image, differences, first_difference, same
from cleancut_conformance.judge.oracle import Oracle, Write

SIZE = 60
WRITES = st.lists(st.tuples(st.integers(0, 70), st.integers(0, 30), st.integers(0, 3)), max_size=12)
IMAGES = st.tuples(st.integers(0, SIZE), WRITES)


def plain(size: int, writes: list[tuple[int, int, int]]) -> bytes:
    content = bytearray(size)
    for offset, length, byte in writes:
        for at in range(offset, min(offset + length, size)):
            content[at] = byte
    return bytes(content)


def content(image: Image) -> bytes:
    """Byte by byte; its runs must say the same, each as long as it can be."""
    bytes_ = bytes(image[at] for at in range(image.size_bytes))
    runs = list(image.runs(0, image.size_bytes))
    assert (
        expand(image.size_bytes, [[start, end - start, byte] for start, end, byte in runs])
        == bytes_
    )
    assert all(one[2] != two[2] for one, two in itertools.pairwise(runs))
    return bytes_


@given(IMAGES, st.integers(0, SIZE + 9))
def test_an_image_is_its_bytes(given_: tuple[int, list[tuple[int, int, int]]], longer: int) -> None:
    size, writes = given_
    image = Image(size, writes)
    assert content(image) == plain(size, writes)
    copy = image.copy(longer)
    assert content(copy) == plain(size, writes).ljust(longer, b"\0")
    copy.write(0, SIZE, 7)
    assert content(image) == plain(size, writes), "a copy is another image"


@given(IMAGES, IMAGES, st.integers(0, SIZE), st.integers(0, SIZE))
def test_images_differ_where_their_bytes_do(
    one: tuple[int, list[tuple[int, int, int]]],
    two: tuple[int, list[tuple[int, int, int]]],
    start: int,
    end: int,
) -> None:
    a, b = Image(*one), Image(*two)
    x, y = plain(*one), plain(*two)
    assert (a == b) == (x == y)
    first = next((at for at in range(min(len(x), len(y))) if x[at] != y[at]), None)
    if first is None and len(x) != len(y):
        first = min(len(x), len(y))
    assert first_difference(a, b) == first
    found = {at: (p, q) for s, e, p, q in differences(a, b) for at in range(s, e)}
    assert found == {at: (x[at], y[at]) for at in range(min(len(x), len(y))) if x[at] != y[at]}
    common = min(len(x), len(y))
    lower, upper = min(start, common), min(end, common)
    assert same(a, b, lower, upper) == (x[lower:upper] == y[lower:upper])
    assert a.is_all(start, end, 1) == all(byte == 1 for byte in x[start:end])
    assert a.holds(start, end, 1) == (1 in x[start:end])


LOG = st.lists(
    st.tuples(st.sampled_from(["d0", "d1"]), st.integers(0, 50), st.integers(1, 20),
              st.integers(1, 5), st.sampled_from(["ok", "EIO", None])),
    max_size=30,
)  # fmt: skip


@given(LOG, st.lists(st.integers(0, 30), max_size=12))
def test_what_a_drive_holds_does_not_depend_on_what_was_asked_before(
    log: list[tuple[str, int, int, int, str | None]], positions: list[int]
) -> None:
    """Contents are kept; writes end while others are asked for."""
    oracle = Oracle({"d0": Image(64), "d1": Image(64)})
    for index, (drive, offset, length, byte, _) in enumerate(log):
        oracle.log.append(Write(index, drive, offset, length, byte))
    for step, position in enumerate([*positions, len(log)]):
        for index, write in enumerate(oracle.log):
            if index <= step * 5:
                write.result = log[index][4]
        wanted = [
            (write.offset_bytes, write.length_bytes, write.byte)
            for write in oracle.log[:position]
            if write.drive == "d0" and write.result in ("ok", None) and write.end_bytes <= 64
        ]
        assert content(oracle.content("d0", position)) == plain(64, wanted)
        assert oracle.unknown("d0") == any(
            write.result is None for write in oracle.log if write.drive == "d0"
        )
        assert oracle.position(position) == min(position, len(log))
