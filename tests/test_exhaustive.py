"""Engine and model through every schedule of small instances; wrong engines part from the model."""

import multiprocessing
import os
import random
import re
from collections import deque
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from functools import partial
from typing import Any

import pytest

from cleancut_conformance.agreement.bench import Bench, build
from cleancut_conformance.agreement.command import follow
from cleancut_conformance.agreement.freezing import Freezer, HiddenStateError
from cleancut_conformance.agreement.instances import INSTANCES
from cleancut_conformance.agreement.product import Product
from cleancut_conformance.agreement.search import Agreement, agree
from cleancut_conformance.agreement.wrong import WRONG
from cleancut_conformance.agreement.wrong.table import MUTANTS
from cleancut_conformance.cli import main
from cleancut_model.explore import explore
from cleancut_model.options import Options
from cleancut_spec.jobs import Status

SMALL = {
    "one drive": Options(1, 1, 2, 1, 1, monitor=True),
    "two drives": Options(2, 1, 2, 0, 0, monitor=True),
    "manual": Options(1, 1, 2, 1, 1, "stop", manual=True, monitor=True),
    "grouped": Options(2, 1, 2, 0, 0, grouped=True, monitor=True),
    "grouped with errors": Options(2, 1, 2, 0, 1, grouped=True, monitor=True),
    "incremental": Options(1, 2, 2, 1, 1, sync="incremental", again=1, monitor=True),
    "none": Options(1, 2, 2, 1, 1, sync="none", monitor=True),
    "workers": Options(1, 2, 2, 0, 1, workers=2, monitor=True),
    "want of space": Options(1, 1, 2, 0, 1, "enospc", ("EIO", "ENOSPC"), monitor=True),
    "bitmap actions": Options(1, 1, 2, 0, 0, control=False, changes=True, again=1, monitor=True),
    "client": Options(1, 1, 2, 0, 1, leaves=True, monitor=True),
    "top": Options(1, 2, 2, 1, 0, sync="top", monitor=True),
    "tail": Options(1, 2, 2, 1, 0, tail=True, monitor=True),
    "abort": Options(1, 1, 2, 0, 0, other=True, monitor=True),
}


def is_the_same(options: Options) -> Agreement:
    found, model = agree(options, processes=1), explore(options)
    assert found.complete, (found.disagreement, found.schedule, found.left_out)
    assert (found.model_states, found.model_steps) == (model.states, model.transitions)
    return found


@pytest.mark.slow
@pytest.mark.parametrize("name", SMALL)
def test_every_schedule_of_a_small_instance(name: str) -> None:
    is_the_same(SMALL[name])


def test_what_is_counted() -> None:
    """States and steps of the engine do not change unnoticed."""
    found = is_the_same(SMALL["one drive"])
    assert (found.model_states, found.model_steps) == (289, 663)


#: `cleancut agree --all`, which `.ci/run` calls, follows them all; these take much of its time.
LONG = (
    "core", "clusters", "stop", "grouped", "grouped-bitmaps", "incremental", "bitmap-always",
    "again", "top", "bitmap-actions", "client",
)  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in INSTANCES if name not in LONG])
def test_every_schedule(name: str) -> None:
    is_the_same(INSTANCES[name])


# ---- wrong engines

#: In which instance each parts from the model, and in which words.
PARTS = {
    "copies_nothing_before_a_write": ("one drive", "only the model allows cbw_claim d0"),
    "forgets_the_drain": ("one drive", "only the model allows undrain d0"),
    "leaves_jobs_behind": ("two drives", "only the model allows rollback d0"),
    "starts_jobs_in_prepare": ("one drive", "d0 is created, and its last event says running"),
    "ends_twice": ("one drive", "final is ['TWICE'] in the engine"),
    "leaves_a_hole": ("one drive", "copied is [[True]] in the engine, [[False]] in the model"),
    "ignores_every_error": ("one drive", "js is ['RUNNING'] in the engine, ['ABORTING']"),
    "writes_where_the_copy_failed": ("one drive", "g is ['WRITING'] in the engine"),
    "stops_at_pause_only_in_words": ("one drive", "only the engine offers copy_claim d0 c0"),
    "groups_nothing": ("grouped", "only the model allows group_cancel"),
    "leaves_its_group_by_failing": ("grouped with errors", "group_cancel"),
    "finalizes_unasked": ("manual", "only the engine offers complete d0"),
    "dismisses_unasked": ("manual", "js is ['GONE'] in the engine, ['CONCLUDED']"),
    "forgets_what_it_has_frozen": ("incremental", "dirty is [[False, False]] in the engine"),
    "copies_too_much": ("incremental", "the engine offers copy_claim d0 c0"),
    "records_nothing": ("incremental", "dirty is [[False, False]] in the engine"),
    "ends_without_being_told": ("none", "only the engine offers copy_claim d0 c0"),
    "looks_at_the_first_of_the_top_layer": ("top", "todo is [[False, False]] in the engine"),
    "keeps_what_a_bitmap_action_did": ("bitmap actions", "only the model allows rollback_bitmap"),
    "forgives_an_abort": ("abort", "what must be refused is done"),
    "pauses_at_any_time": ("one drive", "the engine accepts pause d0"),
    "pauses_twice": ("one drive", "the engine accepts resume d0"),
    "cancels_without_force": ("one drive", "the engine accepts cancel d0"),
    "takes_any_verb": ("one drive", "the engine accepts pause d0"),
    "reports_want_of_space": ("want of space", "js is ['ABORTING'] in the engine"),
}

#: What the model does not speak of, or the bench does not have.
NOT_THERE = {
    "empties_targets_in_prepare": "the bench has disks of its own",
    "takes_a_second_job": "no other command starts a job in these instances",
    "loses_ids": "the model has no wire",
    "writes_below_the_snapshot": "the bench takes no snapshots",
    "aborts_at_the_end_only": "the `abort` of the bench is the last action",
    "knows_no_class_of_errors": "the model has no error texts",
    "names_no_device": "the model has no error texts",
    "names_no_target": "the model has no error texts",
    "takes_any_size": "the model knows of a refused argument only that an action fails",
    "takes_what_it_does_not_know": "the bench sends no argument that no command has",
    "checks_the_first_action_only": "the bench sends well-formed commands only",
    "negotiates_again": "the model has no wire",
    "knows_no_unknown_command": "the model has no wire",
    "tells_no_version": "the model has no wire",
    "wants_an_action": "each transaction of the bench has its backups",
    "completes_a_broken_backup": "the bench breaks no snapshot",
    "misses_nothing": "the bench sends well-formed commands only",
    "takes_a_negative_speed": "the bench sends well-formed commands only",
    "takes_any_form": "the bench sends well-formed commands only",
    "takes_any_number": "the bench sends well-formed commands only",
    "takes_any_type": "the bench sends well-formed commands only",
    "takes_any_word": "the bench sends well-formed commands only",
}


@pytest.mark.slow
@pytest.mark.parametrize("name", PARTS)
def test_a_wrong_engine_parts_from_the_model(name: str) -> None:
    instance, words = PARTS[name]
    found = agree_with(name, SMALL[instance])
    told = found.disagreement or f"only the model takes {dict(found.left_out)}"
    assert words in told, (found, found.schedule)


def test_each_wrong_engine_has_its_place() -> None:
    """In PARTS, in NOT_THERE with the reason, or in the grid as a bug of the model."""
    in_grid = {mutant.engine for mutant in MUTANTS.values()}
    assert WRONG.keys() == PARTS.keys() | NOT_THERE.keys() | in_grid


def part_with(name: str, options: Options, results: Any) -> None:
    try:
        WRONG[name].patch()
        results.put(agree(options, processes=1))
    except BaseException as error:
        results.put(error)


def agree_with(name: str, options: Options) -> Agreement:
    """In a process of its own, which keeps the patch to itself."""
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    process = context.Process(target=part_with, args=(name, options, results))
    process.start()
    found: Agreement | BaseException = results.get(timeout=120)
    process.join()
    if isinstance(found, BaseException):
        raise found
    return found


# ---- freezing


def containers(state: Any, seen: set[int]) -> Iterator[int]:
    """The mutable containers in a state, each as often as it is held."""
    if isinstance(state, (list, dict, set, bytearray, deque)):
        yield id(state)
    if id(state) in seen or isinstance(state, (str, bytes, int, type(None))):
        return
    seen.add(id(state))
    if isinstance(state, dict):
        parts = list(state.values())
    elif isinstance(state, (list, tuple, set, deque)):
        parts = list(state)
    elif is_dataclass(state):
        parts = [getattr(state, field.name) for field in fields(state)]
    else:
        parts = list(getattr(state, "__dict__", {}).values())
    for part in parts:
        yield from containers(part, seen)


@pytest.mark.parametrize("seed", range(8))
def test_a_state_that_was_frozen_goes_on_as_before(seed: int) -> None:
    """And so does one that was put back; what is held twice is no container: they would be two."""
    choose = random.Random(seed)
    options = Options(2, 2, 2, 2, 1, "stop", grouped=bool(seed % 2), monitor=True)
    product = Product(options)
    joint = product.first()
    for _ in range(60):
        bench = product.freezer.thaw(joint.engine)
        held = list(containers(bench, set()))
        assert len(held) == len(set(held)), "a container is held twice"
        assert product.freezer.freeze(bench) == joint.engine
        again = product.freezer.open(joint.engine)
        for place, step in enumerate(again.state.steps()):
            again.fresh().take(step)
            other = product.freezer.thaw(joint.engine)
            other.take(other.steps()[place])
            assert product.freezer.freeze(again.state) == product.freezer.freeze(other)
            assert not again.is_unchanged()
            assert product.freezer.freeze(again.fresh()) == joint.engine and again.is_unchanged()
        again.give_up()  # what it was made of is what the next states are made of
        taken = list(product.expand(joint))
        if not taken:
            break
        joint = choose.choice(taken).after


def test_hidden_state_is_refused_by_name() -> None:
    bench = build(Options(1, 1))
    bench.engine.current = partial(lambda: 1)  # type: ignore[assignment]
    freezer = Freezer([type(bench), *map(type, (bench.engine, bench.disk))], {})
    with pytest.raises(HiddenStateError, match="lambda"):
        freezer.freeze(bench.engine.current)


def test_what_an_annotation_does_not_say_is_refused() -> None:
    product = Product(SMALL["one drive"])
    bench = product.freezer.thaw(product.first().engine)
    bench.outcome = Status.RUNNING  # a StrEnum where a plain text should be
    with pytest.raises(HiddenStateError, match="a Status is no plain value"):
        product.freezer.freeze(bench)


# ---- the command


def test_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--drives", "1", "--clusters", "1", "--errors", "1"]
    assert main(["explore", "--subject", "reference", *options]) == 0
    assert "model: 289 states, 663 steps: the same" in capsys.readouterr().out


def test_instances_are_listed_and_chosen(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["agree", "--list"]) == 0
    listed = capsys.readouterr().out
    assert all(f"{name} " in listed for name in (*INSTANCES, "two-by-two", "two-by-two-grouped"))
    assert main(["agree", "two-by-two", "--max-states", "200"]) == 3
    assert "the same so far" in capsys.readouterr().out
    assert main(["agree", "three-by-three"]) == 2
    assert "no instance 'three-by-three'" in capsys.readouterr().err


def test_a_process_that_dies_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Product, "expand", lambda *_: os._exit(7))
    assert main(["agree", "speed"]) == 2
    assert "ended with 7" in capsys.readouterr().err


def test_an_engine_that_raises_is_a_disagreement(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise KeyError("nothing there")

    monkeypatch.setattr(Bench, "take", fails)
    found = agree(SMALL["one drive"], processes=2)
    assert re.match("KeyError in test_exhaustive.py, line .*: 'nothing there'", found.disagreement)
    assert found.schedule


def test_steps_that_only_the_model_takes_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    """Without `monitor` the model's client does not wait for answers, as one with two might."""
    status, _ = follow("", Options(1, 1, 2, 1, 0), 1, 0, quiet=False)
    assert status == 1
    assert "only the model takes resume" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["--subject", "qemu"], 2, "no subject 'qemu'; there are reference"),
        (["--subject", "reference", "--with", "dies"], 2, "not followed in instances with the pro"),
        (["--subject", "reference", "--drives", "1", "--max-states", "50"], 3, "the same so far"),
    ],
)
def test_wrong_use(
    arguments: list[str], code: int, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["explore", *arguments]) == code
    captured = capsys.readouterr()
    assert text in captured.out + captured.err
