"""Explores every state of a finite model, breadth first, in plain Python."""

import time
from collections import deque

from cleancut_model.compiled import Compiled, Values
from cleancut_model.elaborated import NO_DEADLOCK
from cleancut_model.explore.build import Progress
from cleancut_model.explore.result import Exploration, Limits

PROGRESS_STATES = 20_000


def explore(
    model: Compiled,
    limits: Limits = Limits(),  # noqa: B008
    progress: Progress | None = None,
) -> Exploration:
    """Visit every state that the schedule of any client, guest and fault can reach."""
    found = Exploration()
    started, started_cpu = time.monotonic(), time.process_time()
    parents: dict[Values, tuple[Values, int] | None] = {model.initial: None}
    depths = {model.initial: 0}
    queue = deque([model.initial])
    taken: set[int] = set()
    level = -1  # of the state from which a step broke a claim: its run is a step longer
    while queue and level in (-1, depths[queue[0]]):
        found.limit = _limit(limits, len(parents), time.monotonic() - started)
        if found.limit:
            break
        state = queue.popleft()
        if (broken := model.broken_state(state)) or (broken := _stuck(model, state)):
            found.broken = broken
            _tell_path(found, model, _path(parents, state))
            break
        if found.broken:
            continue
        found.witnesses.update(model.witnessed(state))
        for number, after in model.successors(state):
            found.transitions += 1
            taken.add(number)
            if broken := model.broken_step(number, state):
                found.broken, level = broken, depths[state]
                _tell_path(found, model, [*_path(parents, state), number])
                break
            if after not in parents:
                parents[after] = (state, number)
                depths[after] = found.depth = depths[state] + 1
                queue.append(after)
                if progress is not None and len(parents) % PROGRESS_STATES == 0:
                    progress(len(parents), found.depth)
    found.states = len(parents)
    found.taken = {model.labels[number].name for number in taken}
    found.seconds = time.monotonic() - started
    found.cpu_seconds = time.process_time() - started_cpu
    return found


def _limit(limits: Limits, states: int, seconds: float) -> str:
    if limits.states and states > limits.states:
        return "states"
    return "time" if limits.seconds and seconds > limits.seconds else ""


def _stuck(model: Compiled, state: Values) -> str:
    """`no_deadlock` if nothing can happen but what a client or guest does, and work is left."""
    if model.may_stop(state) or any(model.goes_on[n] for n, _ in model.successors(state)):
        return ""
    return NO_DEADLOCK


def _path(parents: dict[Values, tuple[Values, int] | None], state: Values) -> list[int]:
    actions = []
    step = parents[state]
    while step is not None:
        state, number = step
        actions.append(number)
        step = parents[state]
    return actions[::-1]


def _tell_path(found: Exploration, model: Compiled, path: list[int]) -> None:
    found.schedule = [model.labels[number] for number in path]
    found.values = [model.arguments[number].get("v") for number in path]
