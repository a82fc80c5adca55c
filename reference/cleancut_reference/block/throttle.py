"""Throttle groups: how long a request has to wait for its share of bytes and operations."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from cleancut_reference.arithmetic import NS_PER_S

#: A limit without a burst of its own lets this part of a second's worth through at once.
_BURST_DIVISOR: Final = 10


@dataclass(slots=True, eq=False)
class Bucket:
    """A leaky bucket: it fills with what is let through, and loses `average` a second."""

    average: int
    burst: int
    level: float = 0.0
    at_ns: int = 0

    def leak(self, now_ns: int) -> None:
        """Time has passed."""
        lost = self.average * (now_ns - self.at_ns) / NS_PER_S
        self.level, self.at_ns = max(0.0, self.level - lost), now_ns

    def wait_ns(self, now_ns: int) -> int:
        """How long until more may be let through."""
        self.leak(now_ns)
        excess = self.level - self.burst
        return 0 if excess <= 0 else 1 + int(excess * NS_PER_S / self.average)


@dataclass(slots=True, eq=False)
class ThrottleGroup:
    """The limits that several nodes share."""

    limits: Mapping[str, int]
    buckets: dict[str, Bucket] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("bps-total", "bps-read", "bps-write", "iops-total", "iops-read", "iops-write"):
            average = self.limits.get(name, 0)
            if average:
                longest = self.limits.get(f"{name}-max-length", 1)
                burst = self.limits.get(f"{name}-max", 0) * longest or average // _BURST_DIVISOR
                self.buckets[name] = Bucket(average, burst)

    def wait_ns(self, direction: str, now_ns: int) -> int:
        """How long a `read` or `write` that would start now has to wait."""
        waits = [bucket.wait_ns(now_ns) for bucket, _ in self._concerned(direction, 0)]
        return max(waits, default=0)

    def account(self, direction: str, length_bytes: int, now_ns: int) -> None:
        """A request is let through."""
        for bucket, amount in self._concerned(direction, length_bytes):
            bucket.leak(now_ns)
            bucket.level += amount

    def _concerned(self, direction: str, length_bytes: int) -> list[tuple[Bucket, int]]:
        amounts = {"bps": length_bytes, "iops": 1}
        return [
            (bucket, amounts[name.partition("-")[0]])
            for name, bucket in self.buckets.items()
            if name.endswith(("-total", f"-{direction}"))
        ]
