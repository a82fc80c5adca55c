"""The edge: requests that wait for another server are performed beside the engine, in threads."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Final

from cleancut_reference.block.request import DiskRequest, Op, Outcome
from cleancut_reference.disk import Disk
from cleancut_reference.step import Step

MAX_THREADS: Final = 16
GRACE_S: Final = 2.0

#: What tells of images and changes none: it waits for nobody.
_TELLING: Final = frozenset({Op.INFO, Op.WRITTEN, Op.CALL, Op.LISTEN})


#: What can be asked several times at once of a node.
_OF_CONTENT: Final = frozenset({Op.READ, Op.WRITE, Op.WRITE_ZEROES, Op.DISCARD, Op.FLUSH,
                                Op.STATUS, Op.LAYER})  # fmt: skip


def same_step(one: DiskRequest, other: DiskRequest) -> bool:
    """Whether the same step asks both, though time may have gone on, which a snapshot tells."""
    if one.op in _OF_CONTENT:
        return one == other
    return one.op is other.op and one.node == other.node


@dataclass(slots=True)
class _Begun:
    """A request under way, and the nodes that it may reach."""

    request: DiskRequest
    reach: frozenset[int]
    answer: Future[Outcome]


class Background:
    """The requests under way. A step with such a request is taken when the answer is there.

    Whatever reaches a node that a request under way may reach has to wait: images know no threads.
    `wake` is called, from a thread, when there is an answer.
    """

    def __init__(self, disk: Disk, wake: Callable[[], None]) -> None:
        self._disk = disk
        self._wake = wake
        self._begun: list[_Begun] = []
        self._threads = ThreadPoolExecutor(MAX_THREADS, "nbd")

    @property
    def busy(self) -> bool:
        """Whether an answer is still to come, or to be taken."""
        return bool(self._begun)

    def is_for(self, request: DiskRequest) -> bool:
        """Whether a request may have to wait for another server."""
        return request.op not in _TELLING and self._disk.is_remote(request)

    def begin(self, request: DiskRequest) -> None:
        """Perform a request in a thread."""
        answer = self._threads.submit(self._disk.perform, request)
        self._begun.append(_Begun(request, self._disk.reach(request), answer))
        answer.add_done_callback(lambda _: self._wake())

    def take_answered(self) -> tuple[DiskRequest, Outcome] | None:
        """A request that has been performed, with its answer; forgets it."""
        begun = next((each for each in self._begun if each.answer.done()), None)
        if begun is None:
            return None
        self._begun.remove(begun)
        return begun.request, begun.answer.result()

    def without_held(self, source: Iterator[Step]) -> Iterator[Step]:
        """The steps that need not wait for a request under way."""
        return (step for step in source if step.io is None or not self._holds(step.io))

    def _holds(self, request: DiskRequest) -> bool:
        if request.op in _TELLING:
            return False
        reach = self._disk.reach(request)
        opens = request.op is Op.OPEN
        return any(
            not reach.isdisjoint(each.reach)
            or (opens and each.request.op is Op.OPEN)
            or same_step(request, each.request)  # whose nodes may be closed by now
            for each in self._begun
        )

    def close(self) -> None:
        """Begin nothing more; give up what is not answered soon."""
        self._threads.shutdown(wait=False)
        if self._begun:
            wait([each.answer for each in self._begun], GRACE_S)
            self._disk.hang_up()
        self._threads.shutdown()
