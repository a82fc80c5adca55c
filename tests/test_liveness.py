"""Liveness: fair runs in which something never ends."""

import itertools
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cleancut_conformance.cli import main
from cleancut_model.backup import Options
from cleancut_model.compiled import compile_model
from cleancut_model.explore.graph import Graph
from cleancut_model.explore.liveness import Fair, fair_masks, never_ends
from cleancut_model.options import PRESETS
from cleancut_model.properties.liveness import ENDS

pytestmark = pytest.mark.slow

NODES, ACTIONS = 5, 3
STEPS = st.sets(
    st.tuples(*[st.integers(0, NODES - 1)] * 2, st.integers(0, ACTIONS - 1)), min_size=1
)


def goes_round(states: set[int], steps: set[tuple[int, int, int]]) -> bool:
    """Whether a run can visit all these states again and again, and no other, or rest in one."""
    reach = {(a, a) for a in states} | {(a, b) for a, b, _ in steps if {a, b} <= states}
    for middle, a, b in itertools.product(states, repeat=3):
        if (a, middle) in reach and (middle, b) in reach:
            reach.add((a, b))
    return len(reach) == len(states) ** 2


def is_fair(states: set[int], steps: set[tuple[int, int, int]], fairness: str) -> bool:
    taken = {action for a, b, action in steps if {a, b} <= states}
    enabled = [{action for a, _, action in steps if a == state} - {0} for state in states]
    join = set.union if fairness == "strong" else set.intersection
    return join(*enabled) <= taken


@given(STEPS, st.sets(st.integers(0, NODES - 1), min_size=1), st.sampled_from(("weak", "strong")))
def test_a_fair_run_is_found_if_there_is_one(
    steps: set[tuple[int, int, int]], among: set[int], fairness: str
) -> None:
    """Against all sets of states, one by one; action 0 is not fair, and bits lie in two words."""
    before, after, action = np.array(sorted(steps), np.uint32).T
    masks = np.array([[0, 0], [1, 0], [0, 1]], np.uint64)
    graph = SimpleNamespace(before=before, after=after, action=action, size=NODES)
    graph.nearest = lambda goals: int(np.flatnonzero(goals)[0])
    where = np.isin(np.arange(NODES), sorted(among))
    found = Fair(graph, masks).component(where, fairness)
    sets = [set(s) for n in range(1, NODES + 1) for s in itertools.combinations(sorted(among), n)]
    fair = [s for s in sets if goes_round(s, steps) and is_fair(s, steps, fairness)]
    assert (found is not None) == bool(fair)
    assert found is None or set(np.flatnonzero(found)) in fair


@pytest.mark.parametrize("preset", ["core", "manual", "requests"])
def test_the_graph_is_that_of_plain_python(preset: str) -> None:
    """The same states, each with the same steps."""
    model, graph = compile_model(PRESETS[preset]), Graph(PRESETS[preset])
    names = [name for name in model.names]
    columns = [graph.values(name) for name in names]
    states = list(zip(*[column.tolist() for column in columns], strict=True))
    steps: dict[tuple[int, ...], set[tuple[int, tuple[int, ...]]]] = {s: set() for s in states}
    rows = zip(graph.before.tolist(), graph.after.tolist(), graph.action.tolist(), strict=True)
    for before, after, action in rows:
        steps[states[before]].add((action, states[after]))
    assert states[graph.first()] == model.initial
    assert len(steps) == graph.size
    assert all(set(model.successors(state)) == here for state, here in steps.items())


def claims(options: Options) -> list[str]:
    return [name for name, ends in ENDS.items() if options.has(*ends.needs)]


@pytest.mark.parametrize("preset", [name for name in PRESETS if name != "everything"])
def test_everything_ends_in_every_fair_run(preset: str) -> None:
    options = PRESETS[preset]
    graph = Graph(options)
    fair = Fair(graph)
    assert [c for c in claims(options) if never_ends(fair, graph, c, "strong")] == []


def test_weak_fairness_is_enough_without_a_client_that_pauses() -> None:
    options = Options(2, 1, 2, 1, 1, control=False)
    graph = Graph(options)
    fair = Fair(graph)
    assert [c for c in claims(options) if never_ends(fair, graph, c, "weak")] == []


def test_faults_and_guests_are_not_fair() -> None:
    graph = Graph(Options(1, 1, 2, 1, 1))
    masks = fair_masks(graph.model)
    fair = {label.name for label, mask in zip(graph.model.labels, masks, strict=True) if mask.any()}
    assert {"copy_read", "commit", "resume", "guest_done"} <= fair
    assert not fair & {"guest_write", "pause", "cancel", "fail_copy_read", "begin"}


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["--drives", "1"], 0, "every_started_job_ends   holds"),
        (["--fairness", "weak"], 1, "states for ever, by\n        pause d0"),
        (["--bug", "resume-from-start"], 1, "every_started_job_ends may fail for d0"),
        (["--clusters", "3", "--writes", "3", "--errors", "3"], 2, "choose a smaller instance"),
    ],
)
def test_the_liveness_command(
    arguments: list[str], code: int, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["liveness", *arguments]) == code
    captured = capsys.readouterr()
    assert text in captured.out + captured.err
