"""Bugs of the model in the engine: the model's run to each is run on the wrong engine and judged.

On the right engine the same schedule, gone on with in the same orders, breaks nothing.
"""

import multiprocessing
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any, Final, TypeVar

from cleancut_conformance.agreement.staging import Staged, orders, stage
from cleancut_conformance.agreement.wrong import WRONG
from cleancut_conformance.agreement.wrong.table import MUTANTS
from cleancut_model.bugs import BUGS, instance_of
from cleancut_model.explore import explore
from cleancut_model.options import Options
from cleancut_spec.clauses import citations
from cleancut_spec.schedule import Move

T = TypeVar("T")

ENDS_S: Final = 120.0


@dataclass(frozen=True, slots=True)
class Counterexample:
    """The model's shortest run to a bug, and the claim that breaks there."""

    options: Options
    moves: tuple[Move, ...]
    broken: str

    @property
    def right(self) -> Options:
        """The same instance without the bug."""
        return replace(self.options, bug="")


@dataclass(slots=True)
class Seen:
    """What a judge saw of a counterexample on one engine, in all orders."""

    followed: int = 0  # moves of the schedule, in all orders the same
    stopped: str = ""
    clause: str = ""  # that by which the bug is named
    clauses: set[str] = field(default_factory=set)  # all that were broken


def counterexample(bug: str) -> Counterexample:
    """The shortest run of the model to a bug."""
    return _shortest(replace(instance_of(bug), **(MUTANTS[bug].instance if bug in MUTANTS else {})))


@cache
def _shortest(options: Options) -> Counterexample:
    found = explore(options)
    moves = tuple(Move(*move) for move in zip(found.schedule, found.values, strict=True))
    return Counterexample(options, moves, found.broken)


def clauses_of(bug: str) -> set[str]:
    """The clauses of which the claims that a bug breaks are the model's reading."""
    names = set(BUGS[bug].breaks)
    return {
        clause
        for clause, places in citations().items()
        for place in places
        if place.startswith("cleancut_model.") and place.rpartition(":")[2] in names
    }


def accepted(bug: str) -> set[str]:
    """The clauses by which a judge may name a bug."""
    seen_as = MUTANTS[bug].seen_as
    return {seen_as} if seen_as else clauses_of(bug)


def look(run: Counterexample, wanted: set[str], *, refuse_next: bool) -> Seen:
    """Run a schedule on the engine as it is in this process, in all orders, until it is seen."""
    seen = Seen()
    for _, order in orders():
        staged: Staged = stage(run.right, run.moves, order, refuse_next=refuse_next)
        seen.followed, seen.stopped = staged.followed, staged.stopped
        seen.clauses |= staged.clauses()
        hit = next((f for f in staged.findings if f.clause in wanted), None)
        if hit is not None:
            seen.clause = hit.clause
            break
    return seen


def on_wrong_engine(bug: str, run: Counterexample) -> Seen:
    """What is seen on the wrong engine, in a process of its own that keeps the patch to itself."""
    mutant = MUTANTS[bug]
    wanted = accepted(bug)
    return apart(WRONG[mutant.engine].patch, look, run, wanted, refuse_next=mutant.refuse_next)


def on_right_engine(bug: str, run: Counterexample) -> Seen:
    """The same on the right engine, in every order."""
    return look(run, set(), refuse_next=MUTANTS[bug].refuse_next)


def apart(patch: Callable[[], None], work: Callable[..., T], *given: Any, **more: Any) -> T:
    """Do something with a patched engine, in a process of its own; raises what it raises."""
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe(duplex=False)

    def run() -> None:
        try:
            patch()
            theirs.send((True, work(*given, **more)))
        except BaseException as error:
            theirs.send((False, f"{error!r}\n{traceback.format_exc()}"))

    process = context.Process(target=run, daemon=True)
    process.start()
    theirs.close()  # so that its end is seen if it says nothing
    try:
        if not ours.poll(ENDS_S):
            raise TimeoutError(f"nothing has come of it in {ENDS_S:g} s")
        well, found = ours.recv()
    finally:
        process.kill()
        process.join()
    if not well:
        raise RuntimeError(found)
    result: T = found
    return result
