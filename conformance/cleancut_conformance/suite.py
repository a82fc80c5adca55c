"""A run of many cases: in which order, several at once, each result told as it comes."""

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cleancut_conformance.abilities import UNTOLD, Abilities
from cleancut_conformance.baseline import Baseline, shipped_baseline
from cleancut_conformance.case import Case, load_suite
from cleancut_conformance.judge import Finding
from cleancut_conformance.runner import run
from cleancut_conformance.targets import Target, TargetError
from cleancut_conformance.targets.base import close_all
from cleancut_conformance.verdict import Result, Verdict


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be run, and how."""

    cases: tuple[Case, ...]
    target: Target
    traces: Path
    timeout_s: float = 10.0
    jobs: int = 2
    fail_fast: bool = False
    baseline: Baseline | None = None  # None: the one shipped for whatever greets us
    repeat: int = 1
    abilities: Abilities = UNTOLD

    @property
    def runs(self) -> list[tuple[Case, int]]:
        """Each case with the number of its run: the whole suite once, then once more."""
        return [(case, number + 1) for number in range(self.repeat) for case in self.cases]


def shard(cases: tuple[Case, ...], number: int, of: int) -> tuple[Case, ...]:
    """The part `number` of `of` parts; together they are all, and no case is in two of them."""
    return cases[number - 1 :: of]


def shuffled(cases: tuple[Case, ...], seed: int | None) -> tuple[Case, ...]:
    """The cases in an order that the seed decides; without one, as they are."""
    if seed is None:
        return cases
    return tuple(random.Random(seed).sample(cases, len(cases)))


class _Stop(Exception):
    """The run is over: nothing new is started."""


def run_all(
    plan: Plan, tell: Callable[[Result, list[Result]], object]
) -> tuple[list[Result], Baseline]:
    """Run the cases and tell of each result, in the plan's order; raises TargetError if none can.

    A target that once started and then does not costs that case only.
    """
    baseline = plan.baseline
    stop = threading.Event()
    results: list[Result] = []

    def one(case: Case, number: int) -> Result:
        if stop.is_set():
            raise _Stop
        return run(case, plan.target, plan.traces, plan.timeout_s, number, plan.abilities)

    pool = ThreadPoolExecutor(plan.jobs if plan.target.at_once else 1)
    futures = [(case, number, pool.submit(one, case, number)) for case, number in plan.runs]
    try:
        for case, number, future in futures:
            try:
                result = future.result()
            except _Stop:
                continue
            except TargetError as error:
                if not any(result.records for result in results):
                    raise
                result = _not_started(case, number, error)
            if baseline is None and result.records:
                baseline = shipped_baseline(result.records, load_suite())
            if baseline is not None:
                baseline.apply(result)
            results.append(result)
            tell(result, results)
            if plan.fail_fast and result.verdict is Verdict.FAIL:
                stop.set()
    finally:  # whatever ends the run leaves no target running
        stop.set()
        end_all([future for _, _, future in futures], pool)
    return results, baseline or Baseline("none")


def _not_started(case: Case, number: int, error: TargetError) -> Result:
    finding = Finding(0, "QMP-ALIVE-1", str(error))
    return Result(case, Verdict.FAIL, str(error), [finding], run=number)


def end_all(futures: Sequence[Future[Any]], pool: ThreadPoolExecutor) -> None:
    """Start nothing more, end the targets, and wait until nobody uses them."""
    pool.shutdown(wait=False, cancel_futures=True)
    while any(future.running() for future in futures):
        close_all()
        time.sleep(0.02)


def unstable(results: list[Result]) -> dict[str, Counter[Verdict]]:
    """The cases that did not come out the same each time that they were run."""
    counts: dict[str, Counter[Verdict]] = {}
    for result in results:
        counts.setdefault(result.case.id, Counter())[result.verdict] += 1
    return {case_id: found for case_id, found in counts.items() if len(found) > 1}


def exit_code(results: list[Result], outlived: bool) -> int:
    """What CI is told: 0 as expected, 1 a deviation, 3 unknown, 4 nothing ran."""
    verdicts = {result.verdict for result in results}
    if Verdict.FAIL in verdicts or outlived:
        return 1
    if Verdict.UNKNOWN in verdicts:
        return 3
    return 0 if verdicts & {Verdict.PASS, Verdict.KNOWN} else 4
