"""Ways to choose the engine's next step, and a schedule that has another way for each request.

Where QEMU's replies and events are a race, some schedule of the engine has its outcome. Those that
have been found are in `tests/data/schedules-7.2.json`: by dialogue, by number of the request.
"""

import json
from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

from cleancut_reference.schedule import Choose, Fair, Seeded, Sources
from cleancut_reference.step import Step

from .recording import DATA

FOUND: Final = DATA / "schedules-7.2.json"
SEEDS: Final = 8
USUAL: Final = "in parallel"


class InParallel(Fair):
    """Jobs begin all copies that they may before they end one, as QEMU's do."""

    def __call__(self, sources: Sources) -> Step | None:
        """The step to take; None if none is enabled."""
        return super().__call__([iter(sorted(source, key=_begins_late)) for source in sources])


def _name(step: Step) -> str:
    return step.label.name if step.label is not None else ""


def _begins_late(step: Step) -> bool:
    return _name(step) != "copy_claim"


def _copies(step: Step) -> bool:
    return "copy_" in _name(step)


class BeforeCommands(InParallel):
    """Jobs begin copies before the next command is taken up."""

    def __call__(self, sources: Sources) -> Step | None:
        """The step to take; None if none is enabled."""
        steps = [list(source) for source in sources]
        claims = (step for source in steps for step in source if not _begins_late(step))
        return next(claims, None) or super().__call__([iter(source) for source in steps])


class BeforeAll(InParallel):
    """Jobs do all that they can before the next command is taken up."""

    def __call__(self, sources: Sources) -> Step | None:
        """The step to take; None if none is enabled."""
        self._turn = 0
        return super().__call__([iter(()), *sources[1:], *sources[:1]])


class Favouring(InParallel):
    """One job copies before the others, and ends meet before all copies or after them."""

    def __init__(self, oldest: bool, ends_first: bool) -> None:
        super().__init__()
        self._oldest, self._ends_first = oldest, ends_first

    def __call__(self, sources: Sources) -> Step | None:
        """The step to take; None if none is enabled."""
        self._turn = 0
        others = [list(source) for source in sources[1:]]
        if not self._oldest:
            others.reverse()
        copies = [iter(filter(_copies, source)) for source in others]
        ends = [iter([step for source in others for step in source if not _copies(step)])]
        ordered = ends + copies if self._ends_first else copies + ends
        return super().__call__([*sources[:1], *ordered])


WAYS: Final[Mapping[str, Callable[[], Choose]]] = {
    USUAL: InParallel,
    "copies before commands": BeforeCommands,
    "jobs before commands": BeforeAll,
    "copies of the oldest job, then ends": partial(Favouring, True, False),
    "copies of the newest job, then ends": partial(Favouring, False, False),
    "ends, then the oldest job": partial(Favouring, True, True),
    "ends, then the newest job": partial(Favouring, False, True),
    **{f"seed {seed}": partial(Seeded, seed) for seed in range(SEEDS)},
}


class Directed(InParallel):
    """After each request that is named: this way to choose, and else the usual one."""

    def __init__(self, chosen: Mapping[int, str]) -> None:
        super().__init__()
        self._usual = InParallel()
        self._ways = {request: WAYS[way]() for request, way in chosen.items()}
        self.marks: list[int] = []  # one for each request that was sent

    def __call__(self, sources: Sources) -> Step | None:
        """The step to take; None if none is enabled."""
        return self._ways.get(len(self.marks) - 1, self._usual)(sources)


def found(name: str) -> Directed | None:
    """The schedule of a dialogue that is a race; None for the others."""
    schedules = json.loads(FOUND.read_text())
    if name not in schedules:
        return None
    return Directed({int(request): way for request, way in schedules[name].items()})
