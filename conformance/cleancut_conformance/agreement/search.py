"""Every schedule of the engine, side by side with the model, in several processes."""

import multiprocessing
import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from multiprocessing.pool import Pool
from typing import Final

from cleancut_conformance.agreement.product import Digest, Disagreement, Joint, Product
from cleancut_model.compiled import Values, compile_model
from cleancut_model.options import Options

Progress = Callable[[int, int], None]  # states of the engine, steps
BATCH: Final = 64


@dataclass(slots=True)
class Agreement:
    """What was found: equal counts on both sides, or where they part."""

    states: int = 0  # of the engine
    steps: int = 0  # of the engine
    refusals: int = 0  # commands that the model does not allow, and the engine refuses
    model_states: int = 0
    model_steps: int = 0
    seconds: float = 0.0
    processor_s: float = 0.0  # of all processes, while the engine's steps were followed
    limit: bool = False  # it ended before its end
    disagreement: str = ""
    schedule: list[str] = field(default_factory=list)  # to where they part
    left_out: Counter[str] = field(default_factory=Counter)  # steps of the model alone, by name

    @property
    def complete(self) -> bool:
        """Whether every schedule was followed, and all that the model does was seen."""
        return not (self.limit or self.disagreement or self.left_out)


@dataclass(slots=True)
class _Found:
    """What a batch of states leads to: the first states of each digest, with their origins."""

    steps: int = 0
    refusals: int = 0
    new: list[tuple[Digest, Digest, str, Joint]] = field(default_factory=list)
    pairs: set[tuple[Values, int]] = field(default_factory=set)  # the model's steps
    disagreement: tuple[Digest, str] | None = None


_product: Product | None = None
_told: set[Digest] = set()  # by this process


def _begin() -> None:
    """In a new process: Ctrl-C is the parent's business, which ends this one."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    _told.clear()


def _expand(batch: list[Joint]) -> _Found:
    assert _product is not None
    found = _Found()
    for joint in batch:
        origin = joint.digest
        try:
            for taken in _product.expand(joint):
                found.steps += not taken.alike
                if taken.action is not None:
                    found.pairs.add((joint.model, taken.action))
                key = taken.after.digest
                if key not in _told:
                    _told.add(key)
                    found.new.append((key, origin, taken.what, taken.after))
        except Disagreement as error:
            found.disagreement = origin, str(error)
            break
    found.refusals, _product.refusals = _product.refusals, 0
    return found


class _Search:
    """A search in the making: what is known of all processes."""

    def __init__(self, options: Options) -> None:
        global _product
        _product = Product(options)  # which the other processes have, too
        first = _product.first()
        self.result = Agreement()
        self.level = [first]
        self._origins: dict[Digest, tuple[Digest, str] | None] = {first.digest: None}
        self._model_states = {first.model}
        self._pairs: set[tuple[Values, int]] = set()

    def run(self, pool: Pool, max_states: int, progress: Progress | None) -> None:
        """Level by level, until nothing is new, the two part, or there are too many states."""
        result, level = self.result, self.level
        while level and not result.disagreement and not result.limit:
            following: list[Joint] = []
            for found in pool.imap_unordered(_expand, _batches(level)):
                self.add(found, following)
                if progress is not None:
                    progress(result.states, result.steps)
                result.limit = bool(max_states) and result.states > max_states
                if result.limit or result.disagreement:
                    break
            level = following

    def add(self, found: _Found, following: list[Joint]) -> None:
        """What a batch has led to."""
        result = self.result
        result.steps += found.steps
        result.refusals += found.refusals
        self._pairs |= found.pairs
        for key, origin, what, joint in found.new:
            if key not in self._origins:
                self._origins[key] = origin, what
                following.append(joint)
                self._model_states.add(joint.model)
        if found.disagreement is not None and not result.disagreement:
            origin, result.disagreement = found.disagreement
            result.schedule = list(self._way(origin))[::-1]
        result.states = len(self._origins)
        result.model_states, result.model_steps = len(self._model_states), len(self._pairs)

    def _way(self, at: Digest) -> Iterator[str]:
        while (origin := self._origins[at]) is not None:
            at, what = origin
            yield what

    def left_out(self, options: Options) -> Counter[str]:
        """The steps of the model that were not taken, by the name of the action."""
        model = compile_model(options)
        seen, todo, found = {model.initial}, [model.initial], Counter[str]()
        while todo:
            state = todo.pop()
            for number, after in model.successors(state):
                if (state, number) not in self._pairs:
                    found[model.labels[number].name] += 1
                if after not in seen:
                    seen.add(after)
                    todo.append(after)
        return found


def agree(
    options: Options, processes: int, max_states: int = 0, progress: Progress | None = None
) -> Agreement:
    """Follow every schedule of an instance; ends where the two part, or at the limit of states."""
    started = time.monotonic()
    try:
        search = _Search(options)
    except Disagreement as error:
        return Agreement(disagreement=str(error))
    result, before_s = search.result, _processor_s()
    with multiprocessing.get_context("fork").Pool(processes, _begin) as pool:
        search.run(pool, max_states, progress)
    pool.join()
    result.processor_s = _processor_s() - before_s
    if not result.limit and not result.disagreement:
        result.left_out = search.left_out(options)
    result.seconds = time.monotonic() - started
    return result


def _batches(level: list[Joint]) -> Iterator[list[Joint]]:
    return (level[at : at + BATCH] for at in range(0, len(level), BATCH))


def _processor_s() -> float:
    """What this process and those that it has ended have had of the cores."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system
