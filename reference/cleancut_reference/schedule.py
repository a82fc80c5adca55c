"""Who picks the next step: fair in real time, random by seed, or read from a list."""

from collections.abc import Callable, Iterator
from random import Random

from cleancut_reference.step import Step

Sources = list[Iterator[Step]]
Choose = Callable[[Sources], Step | None]


class Fair:
    """The command under way first, then guests and jobs in turn, so that none starves."""

    def __init__(self) -> None:
        self._turn = 0

    def __call__(self, sources: Sources) -> Step | None:
        """The step to take; None if none is enabled."""
        if not sources:
            return None
        command, *others = sources
        if (step := next(command, None)) is not None:
            return step
        for offset in range(len(others)):
            at = (self._turn + offset) % len(others)
            if (step := next(others[at], None)) is not None:
                self._turn = at + 1
                return step
        return None


class Seeded:
    """Any enabled step, chosen by a random generator that the seed determines."""

    def __init__(self, seed: int) -> None:
        self._random = Random(seed)

    def __call__(self, sources: Sources) -> Step | None:
        """The step to take; None if none is enabled."""
        steps = [step for source in sources for step in source]
        return self._random.choice(steps) if steps else None
