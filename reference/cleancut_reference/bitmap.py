"""Bitmaps with one byte a cluster or granule, and with one bit. Pure functions."""

from typing import Final

_DIGITS: Final = bytes.maketrans(b"\0\1", b"01")
_BYTES: Final = bytes.maketrans(b"01", b"\0\1")


def first_clear(bits: bytes | bytearray, start: int, end: int) -> int:
    """The first clear cluster from start to before end; end if there is none.

    pre: 0 <= start <= end <= len(bits)
    post: start <= __return__ <= end
    post: __return__ == end or bits[__return__] == 0
    post: all(bits[at] != 0 for at in range(start, __return__))
    """
    at = bits.find(0, start, end)
    return end if at < 0 else at


def clear_run(bits: bytes | bytearray, first: int, limit: int) -> int:
    """The end of the run of clear clusters that begins at first, at most limit.

    pre: 0 <= first < limit <= len(bits)
    pre: bits[first] == 0
    post: first < __return__ <= limit
    post: all(bits[at] == 0 for at in range(first, __return__))
    post: __return__ == limit or bits[__return__] != 0
    """
    end = first + 1
    while end < limit and bits[end] == 0:
        end += 1
    return end


def packed(bits: bytes | bytearray) -> bytes:
    """One bit for each byte that is 0 or 1, the lowest of a byte first.

    pre: all(bit in (0, 1) for bit in bits)
    post: len(__return__) == (len(bits) + 7) // 8
    post: all(__return__[at // 8] >> at % 8 & 1 == bit for at, bit in enumerate(bits))
    """
    number = int(bits[::-1].translate(_DIGITS) or b"0", 2)
    return number.to_bytes((len(bits) + 7) // 8, "little")


def unpacked(data: bytes, count: int) -> bytearray:
    """One byte for each of the first `count` bits.

    pre: 0 <= count <= 8 * len(data)
    post: len(__return__) == count
    post: all(data[at // 8] >> at % 8 & 1 == bit for at, bit in enumerate(__return__))
    """
    digits = f"{int.from_bytes(data, 'little'):0{count}b}".encode()
    return bytearray(digits[::-1][:count].translate(_BYTES))
