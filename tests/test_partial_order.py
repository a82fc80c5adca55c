"""Partial order: what z3 calls safe is so, and what is left out hides nothing."""

from collections import deque
from collections.abc import Callable

import pytest

from cleancut_model.bugs import BUGS, instance_of
from cleancut_model.compiled import Compiled, Values, compile_model, predicate
from cleancut_model.elaborated import elaborate
from cleancut_model.explore import How, explore
from cleancut_model.explore.partial_order import safe_actions
from cleancut_model.options import PRESETS, Options

pytestmark = pytest.mark.slow

REDUCED = How(2, partial_order=True)
SMALL = {
    "no errors": Options(2, 1, 2, 1, 0),
    "core": Options(2, 1, 2, 1, 1),
    "stop": PRESETS["stop"],
    "snapshot": PRESETS["snapshot"],
    "client": PRESETS["client"],
    "death": Options(1, 2, 2, 1, 1, dies=True),
}

Safe = list[tuple[int, Callable[[Values], bool]]]


def safe_of(options: Options) -> Safe:
    model = elaborate(options)
    return [(each.action, predicate(model, each.condition)) for each in safe_actions(options)]


def reachable(model: Compiled, safe: Safe) -> dict[Values, list[tuple[int, Values]]]:
    """All states, with their steps; from a state with a safe step that one only."""
    found: dict[Values, list[tuple[int, Values]]] = {}
    queue = deque([model.initial])
    while queue:
        state = queue.popleft()
        if state in found:
            continue
        steps = model.successors(state)
        for action, condition in safe:
            alone = [step for step in steps if step[0] == action]
            if alone and condition(state):
                steps = alone
                break
        found[state] = steps
        queue += [after for _, after in steps]
    return found


@pytest.mark.parametrize("name", SMALL)
def test_safe_steps_may_come_first(name: str) -> None:
    """Asked of every state that can be reached, and not of z3."""
    model, safe = compile_model(SMALL[name]), safe_of(SMALL[name])
    steps = {state: dict(found) for state, found in reachable(model, []).items()}
    seen = set()
    for state, here in steps.items():
        for action, condition in safe:
            if action not in here or not condition(state):
                continue
            seen.add(action)
            for other in here.keys() - {action}:
                there = steps[here[action]]
                assert other in there, f"{model.labels[action]} disables {model.labels[other]}"
                ends = {here[other], steps[here[other]].get(action)}
                assert there[other] in ends, f"{model.labels[action]}, {model.labels[other]}"
    assert seen, "no safe step was ever possible"


@pytest.mark.parametrize("name", SMALL)
def test_every_end_is_kept(name: str) -> None:
    """Where nothing can go on is reached without the states that are left out."""
    model = compile_model(SMALL[name])
    whole, reduced = reachable(model, []), reachable(model, safe_of(SMALL[name]))
    assert reduced.keys() < whole.keys()
    ends = [{state for state, steps in each.items() if not steps} for each in (whole, reduced)]
    assert ends[0] == ends[1]
    found = explore(SMALL[name], REDUCED)
    assert (found.states, found.transitions) == (
        len(reduced),
        sum(len(steps) for steps in reduced.values()),
    )


def test_what_competes_is_not_safe() -> None:
    model = elaborate(Options(2, 1, 2, 1, 0))
    names = {model.labels[each.action].name for each in safe_actions(model.options)}
    assert {"cbw_read", "copy_write", "guest_done", "commit", "reply"} <= names
    assert not names & {"copy_claim", "cbw_claim", "drain", "finish", "guest_write", "pause"}


@pytest.mark.parametrize("bug", [*BUGS][::6])
def test_it_hides_no_bug(bug: str) -> None:
    assert explore(instance_of(bug), REDUCED).broken in BUGS[bug].breaks


def test_symmetry_goes_with_it() -> None:
    options = Options(2, 2, 2, 1, 0)
    counts = [explore(options, how).states for how in (
        How(2), REDUCED, How(2, symmetry=True), How(2, symmetry=True, partial_order=True)
    )]  # fmt: skip
    assert counts[3] < min(counts[1:3]) < max(counts[1:3]) < counts[0]
