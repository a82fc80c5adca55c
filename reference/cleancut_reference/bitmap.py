"""The bitmap of what has been copied: one byte a cluster, 1 for copied. Pure functions."""


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
