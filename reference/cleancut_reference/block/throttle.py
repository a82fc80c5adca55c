"""Throttle groups: how long a request has to wait for its share of bytes and operations."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from cleancut_reference.arithmetic import NS_PER_S

#: A limit without a burst of its own lets this part of a second's worth through at once.
_BURST_DIVISOR: Final = 10


@dataclass(slots=True, eq=False)
class Bucket:
    """A leaky bucket: it fills with what is let through, loses `average` a second, holds `burst`.

    Where bursts may last longer than a second, a second bucket lets them be of `peak` a second.
    """

    average: int
    burst: float
    peak: int = 0
    level: float = 0.0
    peak_level: float = 0.0
    at_ns: int = 0

    def leak(self, now_ns: int) -> None:
        """Time has passed."""
        seconds = (now_ns - self.at_ns) / NS_PER_S
        self.level = max(0.0, self.level - self.average * seconds)
        self.peak_level = max(0.0, self.peak_level - self.peak * seconds)
        self.at_ns = now_ns

    def fill(self, amount: float) -> None:
        """So much is let through."""
        self.level += amount
        self.peak_level += amount

    def wait_ns(self, now_ns: int) -> int:
        """How long until more may be let through."""
        self.leak(now_ns)
        if self.level > self.burst:
            return _leaking_ns(self.level - self.burst, self.average)
        excess = self.peak_level - self.peak / _BURST_DIVISOR
        return _leaking_ns(excess, self.peak) if self.peak and excess > 0 else 0


def _leaking_ns(amount: float, rate: int) -> int:
    """How long it takes to lose an amount."""
    return 1 + int(amount * NS_PER_S / rate)


@dataclass(slots=True, eq=False)
class ThrottleGroup:
    """The limits that several nodes share."""

    limits: Mapping[str, int]
    buckets: dict[str, Bucket] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("bps-total", "bps-read", "bps-write", "iops-total", "iops-read", "iops-write"):
            average = self.limits.get(name, 0)
            if average:
                longest_s = self.limits.get(f"{name}-max-length", 1)
                most = self.limits.get(f"{name}-max", 0)
                burst = most * longest_s or average / _BURST_DIVISOR
                self.buckets[name] = Bucket(average, burst, most if longest_s > 1 else 0)

    def wait_ns(self, direction: str, now_ns: int) -> int:
        """How long a `read` or `write` that would start now has to wait."""
        waits = [bucket.wait_ns(now_ns) for bucket, _ in self._concerned(direction, 0)]
        return max(waits, default=0)

    def account(self, direction: str, length_bytes: int, now_ns: int) -> None:
        """A request is let through."""
        for bucket, amount in self._concerned(direction, length_bytes):
            bucket.leak(now_ns)
            bucket.fill(amount)

    def _concerned(self, direction: str, length_bytes: int) -> list[tuple[Bucket, float]]:
        largest_bytes = self.limits.get("iops-size", 0) or length_bytes
        amounts = {"bps": length_bytes, "iops": max(1.0, length_bytes / max(1, largest_bytes))}
        return [
            (bucket, amounts[name.partition("-")[0]])
            for name, bucket in self.buckets.items()
            if name.endswith(("-total", f"-{direction}"))
        ]
