"""An engine with its disks and faults, and a schedule that drives it."""

import sys
from collections.abc import Callable

from cleancut_reference.background import Background, same_step
from cleancut_reference.block.faults import Faults
from cleancut_reference.block.persistence import store_request
from cleancut_reference.block.request import DiskRequest, Failed, Outcome
from cleancut_reference.disk import Disk
from cleancut_reference.engine import Engine
from cleancut_reference.nbd.address import Listen
from cleancut_reference.schedule import Choose
from cleancut_reference.step import Step


def _nobody_listens(_: Listen) -> Failed:
    return Failed("EOPNOTSUPP", "There are no sockets here")


class Machine:
    """Takes the steps that the schedule chooses, and performs what they ask of the disks."""

    def __init__(self, engine: Engine, disk: Disk, faults: Faults, choose: Choose) -> None:
        self.engine = engine
        self.disk = disk
        self.faults = faults
        self._choose = choose
        self.listen: Callable[[Listen], Failed | None] = _nobody_listens
        self._background: Background | None = None  # without it, whoever takes a step waits

    def work_in_background(self, wake: Callable[[], None]) -> None:
        """From now on no step waits for another server; `wake`, in a thread, tells of answers."""
        self._background = Background(self.disk, wake)

    @property
    def waits(self) -> bool:
        """Whether another server is to answer first."""
        return self._background is not None and self._background.busy

    def step(self) -> bool:
        """Take one step; false if none is enabled."""
        sources = list(self.engine.sources())
        if self._background is not None and self._background.busy:
            if self._take_answered(self._background):
                return True
            sources = [self._background.without_held(source) for source in sources]
        step = self._choose(sources)
        if step is None:
            return False
        if step.io is None:
            self.engine.take(step)
        elif self._background is not None and self._background.is_for(step.io):
            self._begin(self._background, step, step.io)
        else:
            self.engine.take(step, self._perform(step.io))
        return True

    def _begin(self, background: Background, step: Step, request: DiskRequest) -> None:
        if (failed := self._before(request)) is not None:
            self.engine.take(step, failed)
        else:
            background.begin(request)

    def _take_answered(self, background: Background) -> bool:
        """Take a step whose request has been performed meanwhile; false if there is none.

        What waits for no answer, since a gate holds it now, is performed again when it goes on.
        """
        while (answered := background.take_answered()) is not None:
            request, outcome = answered
            steps = (s for s in self.engine.steps() if s.io and same_step(s.io, request))
            step = next(steps, None)
            if step is not None:
                self.engine.take(step, outcome)
                return True
        return False

    def close(self) -> None:
        """The end: store what images are to keep of bitmaps, and close them."""
        if self._background is not None:
            self._background.close()
        request = store_request(self.engine.state.graph.nodes.values())
        if request is not None and isinstance(failed := self.disk.perform(request), Failed):
            print(
                f"cleancut: persistent bitmaps are lost: {failed.desc or failed.errno}",
                file=sys.stderr,
            )
        self.disk.close()

    def _perform(self, request: DiskRequest) -> Outcome:
        if request.listen is not None:
            return self.listen(request.listen)
        return self._before(request) or self.disk.perform(request)

    def _before(self, request: DiskRequest) -> Failed | None:
        """What comes before a request: names for faults, and the fault that hits it."""
        if request.called:
            self.faults.call(request.node, request.called)
        return self.faults.strike(request)
