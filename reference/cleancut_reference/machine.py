"""An engine with its disks and faults, and a schedule that drives it."""

import sys
from collections.abc import Callable

from cleancut_reference.block.faults import Faults
from cleancut_reference.block.persistence import store_request
from cleancut_reference.block.request import DiskRequest, Failed, Outcome
from cleancut_reference.disk import Disk
from cleancut_reference.engine import Engine
from cleancut_reference.nbd.address import Listen
from cleancut_reference.schedule import Choose


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

    def step(self) -> bool:
        """Take one step; false if none is enabled."""
        step = self._choose(self.engine.sources())
        if step is None:
            return False
        outcome = self._perform(step.io) if step.io else None
        self.engine.take(step, outcome)
        return True

    def close(self) -> None:
        """The end: store what images are to keep of bitmaps, and close them."""
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
        if request.called:
            self.faults.call(request.node, request.called)
        return self.faults.strike(request) or self.disk.perform(request)
