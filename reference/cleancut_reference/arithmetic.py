"""Clusters, ranges and the rate limit: pure functions of integers."""

from typing import Final

NS_PER_S: Final = 1_000_000_000


def cluster_count(size_bytes: int, cluster_bytes: int) -> int:
    """How many clusters cover an image; the last one may be partial.

    pre: size_bytes >= 0
    pre: cluster_bytes > 0
    post: __return__ * cluster_bytes >= size_bytes
    post: __return__ == 0 or (__return__ - 1) * cluster_bytes < size_bytes
    """
    return (size_bytes + cluster_bytes - 1) // cluster_bytes


def cluster_span(offset_bytes: int, length_bytes: int, cluster_bytes: int) -> tuple[int, int]:
    """The clusters that a byte range touches, as first and one past the last.

    pre: offset_bytes >= 0
    pre: length_bytes >= 0
    pre: cluster_bytes > 0
    post: __return__[0] <= __return__[1]
    post: length_bytes == 0 or __return__[0] * cluster_bytes <= offset_bytes
    post: length_bytes == 0 or __return__[1] * cluster_bytes >= offset_bytes + length_bytes
    post: (__return__[0] == __return__[1]) == (length_bytes == 0)
    """
    first = offset_bytes // cluster_bytes
    if length_bytes == 0:
        return first, first
    return first, (offset_bytes + length_bytes - 1) // cluster_bytes + 1


def byte_span(first: int, end: int, cluster_bytes: int, size_bytes: int) -> tuple[int, int]:
    """Offset and length of the clusters from first to before end, clamped to the image.

    pre: 0 <= first < end
    pre: cluster_bytes > 0
    pre: first * cluster_bytes < size_bytes
    post: __return__[1] > 0
    post: __return__[0] == first * cluster_bytes
    post: __return__[0] + __return__[1] <= size_bytes
    post: __return__[0] + __return__[1] == min(end * cluster_bytes, size_bytes)
    """
    offset_bytes = first * cluster_bytes
    return offset_bytes, min(end * cluster_bytes, size_bytes) - offset_bytes


def overlap(first_a: int, end_a: int, first_b: int, end_b: int) -> bool:
    """Whether two half-open ranges share an element.

    pre: first_a <= end_a
    pre: first_b <= end_b
    post: __return__ == (max(first_a, first_b) < min(end_a, end_b))
    """
    return first_a < end_b and first_b < end_a and first_a < end_a and first_b < end_b


def delay_ns(length_bytes: int, speed_bytes_per_s: int) -> int:
    """How long a job that has just taken length_bytes must wait before it takes more; 0: no limit.

    pre: length_bytes >= 0
    pre: speed_bytes_per_s >= 0
    post: __return__ >= 0
    post: speed_bytes_per_s == 0 or __return__ * speed_bytes_per_s >= length_bytes * 1_000_000_000
    """
    if speed_bytes_per_s == 0:
        return 0
    return -(-length_bytes * NS_PER_S // speed_bytes_per_s)


def round_up(value: int, unit: int) -> int:
    """The least multiple of unit that is not below value.

    pre: value >= 0
    pre: unit > 0
    post: __return__ >= value
    post: __return__ % unit == 0
    post: __return__ - value < unit
    """
    return -(-value // unit) * unit
