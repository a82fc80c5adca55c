"""Explores every state of a finite model, breadth first, in plain Python."""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from cleancut_model.compiled import Compiled, Values
from cleancut_spec.schedule import STEPS, Label

Progress = Callable[[int, int], None]

PROGRESS_STATES = 20_000


@dataclass(slots=True)
class Exploration:
    """What was found: counts, the first claim that broke and the shortest run to it."""

    states: int = 0
    transitions: int = 0
    seconds: float = 0.0
    complete: bool = True
    broken: str = ""
    schedule: list[Label] = field(default_factory=list)
    witnesses: dict[str, int] = field(default_factory=dict)  # the number of states of each
    taken: set[str] = field(default_factory=set)  # the names of the actions that were taken

    @property
    def deadlock(self) -> bool:
        """Whether a state was found that cannot go on and may not stop."""
        return self.broken == "no_deadlock"


def explore(
    model: Compiled, max_states: int | None = None, progress: Progress | None = None
) -> Exploration:
    """Visit every state that the schedule of any client, guest and fault can reach."""
    found = Exploration()
    started = time.monotonic()
    parents: dict[Values, tuple[Values, int] | None] = {model.initial: None}
    queue = deque([model.initial])
    taken: set[int] = set()
    while queue and not found.broken:
        if max_states is not None and len(parents) > max_states:
            found.complete = False
            break
        state = queue.popleft()
        if (broken := model.broken_state(state)) or (broken := _stuck(model, state)):
            found.broken, found.schedule = broken, _path(model, parents, state)
            break
        for name in model.witnessed(state):
            found.witnesses[name] = found.witnesses.get(name, 0) + 1
        for number, after in model.successors(state):
            found.transitions += 1
            taken.add(number)
            if broken := model.broken_step(number, state):
                path = _path(model, parents, state)
                found.broken, found.schedule = broken, [*path, model.labels[number]]
                break
            if after not in parents:
                parents[after] = (state, number)
                queue.append(after)
                if progress is not None and len(parents) % PROGRESS_STATES == 0:
                    progress(len(parents), len(queue))
    found.states = len(parents)
    found.taken = {model.labels[number].name for number in taken}
    found.seconds = time.monotonic() - started
    return found


def _stuck(model: Compiled, state: Values) -> str:
    """`no_deadlock` if nothing can happen but what a client or guest does, and work is left."""
    if model.ended(state) or _waits_for_client(model, state):
        return ""
    for number, _ in model.successors(state):
        step = STEPS[model.labels[number].name]
        if not step.by_client and not step.name.startswith("fail_"):
            return ""
    return "no_deadlock"


def _waits_for_client(model: Compiled, state: Values) -> bool:
    """Before the transaction, or with a job that only the client can resume."""
    shown = model.read(state)
    return shown["tx"] == "IDLE" or "PAUSED" in shown["js"]


def _path(
    model: Compiled, parents: dict[Values, tuple[Values, int] | None], state: Values
) -> list[Label]:
    labels = []
    step = parents[state]
    while step is not None:
        state, number = step
        labels.append(model.labels[number])
        step = parents[state]
    return labels[::-1]
