"""The model: golden counts, proofs for any size, and bugs that must be found."""

import re
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from cleancut_conformance.cli import main
from cleancut_model.backup import Options
from cleancut_model.bugs import BUGS, instance_of
from cleancut_model.commands import proving
from cleancut_model.compiled import compile_model
from cleancut_model.concrete import Run
from cleancut_model.elaborated import elaborate
from cleancut_model.explore import (
    Exploration,
    How,
    Limits,
    build,
    explore,
    explore_in_python,
    fast,
)
from cleancut_model.explore.build import built, run
from cleancut_model.explore.graph import Graph
from cleancut_model.explore.layout import Layout, lay_out
from cleancut_model.lemmas import LEMMAS
from cleancut_model.options import POLICIES, PRESETS
from cleancut_model.properties import STATES, STATUS, STEPS, WITNESSES, follows, of_instance
from cleancut_model.properties.liveness import ENDS
from cleancut_model.protocol.words import JOBS
from cleancut_model.prove import FiniteProver, Prover
from cleancut_spec.schedule import STEPS as LABELS
from cleancut_spec.schedule import Label, LabelError, parse_label, parse_schedule
from tests.handwritten import GOLDEN, Instance, count


@cache
def found(instance: tuple[int, int, int, int, int, str], bug: str = "") -> Exploration:
    drives, clusters, values, writes, errors, policy = instance
    options = Options(drives, clusters, values, writes, errors, policy, bug=bug)
    return explore_in_python(compile_model(options))


@pytest.mark.slow
@pytest.mark.parametrize("instance", GOLDEN, ids=str)
def test_golden_counts(instance: tuple[int, int, int, int, int, str]) -> None:
    result = found(instance)
    assert (result.broken, result.complete) == ("", True)
    assert (result.states, result.transitions) == GOLDEN[instance]


@pytest.mark.slow
@pytest.mark.parametrize("instance", GOLDEN, ids=str)
def test_the_model_written_by_hand_counts_the_same(
    instance: tuple[int, int, int, int, int, str],
) -> None:
    assert count(Instance(*instance)) == GOLDEN[instance]


HOWS = [How(1), How(2), How(2, rows=False), How(2, compact=True)]


def always_optimized(monkeypatch: pytest.MonkeyPatch) -> None:
    """Programs of small instances, too, are optimized from the beginning."""
    monkeypatch.setattr(fast, "attempts", lambda states: [(states, True)])


@pytest.mark.slow
@pytest.mark.parametrize("optimized", [False, True])
@pytest.mark.parametrize("how", HOWS, ids=str)
@pytest.mark.parametrize("instance", [(2, 1, 2, 1, 1, "stop"), (2, 2, 2, 1, 0, "report")], ids=str)
def test_the_generated_program_counts_the_same(
    instance: tuple[int, int, int, int, int, str],
    how: How,
    optimized: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if optimized:
        always_optimized(monkeypatch)
    found_fast, slow = explore(Options(*instance), how), found(instance)
    assert (found_fast.states, found_fast.transitions) == GOLDEN[instance]
    assert (found_fast.complete, found_fast.depth) == (True, slow.depth)
    assert (found_fast.taken, found_fast.witnesses) == (slow.taken, slow.witnesses)
    assert (found_fast.loss > 0) == how.compact


@pytest.mark.slow
@pytest.mark.parametrize("how", [How(), How(rows=False), How(symmetry=True)], ids=str)
def test_what_turns_out_large_is_searched_by_an_optimized_program(
    how: How, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_once = explore(PRESETS["core"], how)
    assert [*build.attempts(0)] == [(build.FEW, False), (0, True)]
    assert [*build.attempts(7)] == [(7, False)]
    monkeypatch.setattr(build, "FEW", 1000)
    later = explore(PRESETS["core"], how)
    assert at_once.complete and later.complete
    for what in ("states", "transitions", "depth", "taken", "witnesses", "represented"):
        assert getattr(at_once, what) == getattr(later, what)
    assert explore(PRESETS["core"], how, Limits(states=2000)).limit == "states"
    bug = explore(instance_of("rollback-stuck"), how)
    assert bug.broken in BUGS["rollback-stuck"].breaks and bug.schedule


@pytest.mark.slow
def test_a_graph_that_turns_out_large_is_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "FEW", 1000)
    whole, graph = explore(PRESETS["core"]), Graph(PRESETS["core"])
    assert (graph.size, len(graph.before)) == (whole.states, whole.transitions)


def packed(options: Options) -> Layout:
    model = elaborate(options)
    return lay_out(model.language, model.instances)


@pytest.mark.slow
def test_states_of_several_words_are_told_apart() -> None:
    options = Options(3, 1, 2, 0, 1)
    assert packed(options).words > 1
    for how in HOWS:
        result = explore(options, how)
        assert (result.states, result.transitions) == count(Instance(3, 1, 2, 0, 1))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["client", "grouped-bitmaps", "monitor", "clear"])
def test_by_rows_and_state_by_state_it_finds_the_same(name: str) -> None:
    by_rows, by_state = explore(PRESETS[name]), explore(PRESETS[name], How(rows=False))
    for what in ("states", "transitions", "depth", "taken", "witnesses", "broken", "complete"):
        assert getattr(by_rows, what) == getattr(by_state, what)
    assert by_rows.bytes < by_state.bytes


def told_by_rows(options: Options, **build: int) -> dict[str, Any]:
    source = fast.source_of(elaborate(options), How(2))
    with built(source, {**How(2).build(rows=True), **build}) as program:
        return run(program, ["0", "0", "0"], None)


@pytest.mark.parametrize("bug", ["copy-twice", "no-drain", "rollback-stuck"])
def test_the_search_by_rows_sees_what_breaks(bug: str) -> None:
    options = instance_of(bug)
    assert fast.broken_in(elaborate(options), told_by_rows(options)) in BUGS[bug].breaks


@pytest.mark.slow
def test_where_rows_are_of_no_use_it_goes_state_by_state(monkeypatch: pytest.MonkeyPatch) -> None:
    assert told_by_rows(PRESETS["core"], FEW=0, SPARSE=1)["limit"] == fast.SPARSE
    plain = How.build
    narrow = {"FEW": 0, "SPARSE": 1}
    monkeypatch.setattr(How, "build", lambda how, rows=False: {**plain(how, rows), **narrow})
    result = explore(PRESETS["core"])
    assert (result.complete, result.states) == (True, 6594)


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [Options(2, 2, 2, 1, 0, control=False), Options(1, 3, 2, 1, 1), Options(3, 1, 2, 0, 1),
     *(PRESETS[name] for name in ("core", "requests", "bitmap-always", "grouped")),
     replace(PRESETS["again"], errors=0),
     PRESETS["tail"], replace(PRESETS["tail"], clusters=3, again=0, sync="full", errors=0),
     replace(PRESETS["bitmap-actions"], again=0)],
    ids=lambda options: options.describe(),
)  # fmt: skip
def test_symmetry_keeps_one_of_each_kind(options: Options) -> None:
    model = compile_model(options)
    todo, found = [model.initial], {model.initial}
    for state in todo:
        new = {after for _, after in model.successors(state)} - found
        found |= new
        todo += new
    hows = (How(1, symmetry=True), How(2, symmetry=True), How(2, symmetry=True, rows=False))
    kinds: dict[bool, set[object]] = {how.by_rows(options): set() for how in hows}
    for state in map(model.read, found):
        for by_rows, seen in kinds.items():
            seen.add(kind_of(state, options, drives=not by_rows))
    for how in hows:
        result, kept = explore(options, how), len(kinds[how.by_rows(options)])
        assert (result.states, result.represented) == (kept, len(found))


def kind_of(state: dict[str, Any], options: Options, drives: bool) -> tuple[object, ...]:
    """A state without the names of its clusters, and, if so, of its drives once all is over."""
    parts = []
    for d in range(options.drives):
        rest = [(n, v[d]) for n, v in sorted(state.items()) if n in PER_DRIVE]
        requests = []
        for phase, at, *more in (("g", "gc", "gv", "gbuf"), ("b", "bc", "bbuf")):
            several = isinstance(state[phase][d], list)
            rows = zip(*(state[n][d] if several else [state[n][d]] for n in (phase, at, *more)),
                       strict=True)  # fmt: skip
            requests += [(number, phase, *row) for number, row in enumerate(rows)]
        cells = []
        for c in range(options.clusters):
            held = [(n, v[d][c]) for n, v in sorted(state.items()) if n in PER_CLUSTER]
            here = [(r[0], r[1]) for r in requests if r[3] == c and "IDLE" not in str(r[2])]
            cells.append((tuple(held), tuple(here)))
        plain = tuple((number, phase, now, *more) for number, phase, now, _, *more in requests)
        parts.append((tuple(rest), plain, tuple(sorted(cells))))
    ordered = options.repeats or options.changes  # then the first drive is not like the others
    if state["tx"] in ("DONE", "FAILED", "DEAD") and drives and not ordered:
        parts.sort(key=repr)
    single = ("tx", "writes_left", "again_left", "connected")
    return (*(state.get(name) for name in single), *parts)


PER_DRIVE = {
    *("js", "drained", "final", "error", "errors_left", "snapped", "cleared", "busy", "broken"),
    *("there", "on", "change", "was_there", "was_on"),
}
PER_CLUSTER = {
    *("src", "old", "tgt", "copied", "cut", "base", "dirty", "todo", "snap", "tail", "reach"),
    *("more", "backup", "was", "since"),
}


def test_a_packed_state_is_read_back() -> None:
    model = elaborate(Options(3, 2, 3, 1, 1))
    layout = packed(model.options)
    top = {name: len(model.language.fields[name[0]].sort.values) - 1 for name in model.names}
    for values in (dict(model.initial), top):
        words = layout.pack(values)
        assert words[0] < 1 << 63 and layout.unpack(words).items() <= values.items()


@pytest.mark.slow
@pytest.mark.parametrize("bug", ["undrain-early", "early-event", "leaked-drain", "start-early"])
def test_the_shortest_runs_are_equally_long(bug: str) -> None:
    instance = (2, 1, 2, 1, 1, "report")
    fast, slow = explore(Options(*instance, bug=bug)), found(instance, bug)
    assert fast.broken in BUGS[bug].breaks
    run = Run(Options(*instance, bug=bug))
    for label, value in zip(fast.schedule[:-1], fast.values, strict=False):
        run.step(label, value)  # each step of it is one of the model's
    assert len(fast.schedule) == len(slow.schedule)


def test_without_a_compiler_the_way_out_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.delenv("CC", raising=False)
    assert main(["explore"]) == 2
    assert "--engine python" in capsys.readouterr().err


@pytest.mark.slow
def test_every_action_is_taken_and_every_interesting_state_seen() -> None:
    taken: set[str] = set()
    shown: dict[str, set[str]] = {name: set() for name in (*STATES, *STEPS, *ENDS)}
    for options in PRESETS.values():
        result = explore(options)
        assert (result.broken, result.complete) == ("", True), options
        assert result.witnesses == of_instance(WITNESSES, options).keys(), options
        taken |= result.taken
        for name, seen in shown.items():
            claim = STATES.get(name) or STEPS.get(name) or ENDS[name]
            seen |= result.witnesses if options.has(*claim.needs) else set()
    assert taken == set(LABELS)
    for name, seen in shown.items():  # each claim's interesting case is one of the cases of it
        claim = STATES.get(name) or STEPS.get(name) or ENDS[name]
        assert claim.shown_by and set(claim.shown_by) <= seen, name


def test_every_witness_shows_a_claim() -> None:
    named = {
        name for claims in (STATES, STEPS, ENDS) for c in claims.values() for name in c.shown_by
    }
    assert named == WITNESSES.keys()


@pytest.mark.slow
@pytest.mark.parametrize("name", proving.of_policies())
def test_every_claim_about_policies_is_proved_for_any_size(name: str) -> None:
    check_proof(proving.of_policies()[name])


def test_each_policy_is_that_of_each_side_and_of_both() -> None:
    found = [*PRESETS.values(), *proving.of_policies().values()]
    sides = {(options.on_source_error, options.on_target_error) for options in found}
    for policy in POLICIES:
        assert (policy, policy) in sides
        assert any(source == policy != target for source, target in sides)
        assert any(target == policy != source for source, target in sides)


@pytest.mark.slow
@pytest.mark.parametrize("preset", PRESETS)
def test_every_claim_about_every_part_is_proved_for_any_size(preset: str) -> None:
    check_proof(PRESETS[preset])


def check_proof(options: Options) -> None:
    prover = Prover(options.without_limits(), timeout_s=60)
    verdicts = {name: prover.prove(name).status for name in prover.claims()}
    assert set(verdicts.values()) == {"proved"}, verdicts
    assert prover.unreachable() == []


def test_every_claim_speaks_of_some_instance() -> None:
    for claims in (STATES, STEPS, LEMMAS, WITNESSES):
        spoken = {name for options in PRESETS.values() for name in of_instance(claims, options)}
        assert spoken == claims.keys()


@pytest.mark.slow
@pytest.mark.parametrize("lemma", LEMMAS)
def test_every_lemma_is_needed(lemma: str) -> None:
    speaks_of = (o for o in PRESETS.values() if o.has(*LEMMAS[lemma].needs))
    provers = (Prover(o.without_limits(), timeout_s=20, without=(lemma,)) for o in speaks_of)
    assert any(p.prove(name).status != "proved" for p in provers for name in p.claims())


@pytest.mark.slow
def test_the_finite_proof_agrees() -> None:
    prover = FiniteProver(Options(drives=2, clusters=1, errors=1), timeout_s=60)
    assert {prover.prove(name).status for name in prover.claims()} == {"proved"}


@pytest.mark.slow
@pytest.mark.parametrize("bug", BUGS)
def test_exploration_finds_every_bug(bug: str) -> None:
    result = explore(instance_of(bug))
    assert result.broken in BUGS[bug].breaks
    assert result.schedule


@pytest.mark.slow
@pytest.mark.parametrize("bug", BUGS)
def test_the_proof_rejects_every_bug(bug: str) -> None:
    prover = Prover(instance_of(bug).without_limits(), timeout_s=20)
    claims = sorted(prover.claims(), key=lambda name: name not in BUGS[bug].breaks)
    assert any(prover.prove(name).status == "refuted" for name in claims)


def test_each_real_bug_is_one_of_the_models_or_says_why_not() -> None:
    page = Path(__file__).parent.parent / "docs" / "real-bugs.md"
    rows = [line.split("|")[1:-1] for line in page.read_text().splitlines() if line[:1] == "|"]
    for what, _, bugs, reason in rows[2:]:
        named = re.findall("`(.+?)`", bugs)
        assert set(named) <= BUGS.keys(), what
        assert bool(named) != bool(reason.strip()), what


def test_the_claims_name_their_bugs_claims() -> None:
    assert {claim for bug in BUGS.values() for claim in bug.breaks} <= {
        *STATES,
        *STEPS,
        "no_deadlock",
    }


def test_the_status_table_allows_what_a_job_does_and_no_more() -> None:
    assert follows("RUNNING", "PENDING") and follows("CREATED", "NONE")
    assert follows("PENDING", "GONE") and follows("ABORTING", "GONE")
    for before, after in (("GONE", "RUNNING"), ("PENDING", "RUNNING"), ("ABORTING", "RUNNING"),
                          ("NONE", "RUNNING"), ("RUNNING", "CREATED")):  # fmt: skip
        assert not follows(before, after), (before, after)
    assert STATUS.keys() == set(JOBS.split())


def test_a_limit_ends_the_search_and_says_so() -> None:
    options = Options(2, 2, 2, 1, 0)
    slow = explore_in_python(compile_model(options), Limits(states=1000))
    fast = explore(options, limits=Limits(states=1000))
    assert slow.limit == fast.limit == "states"
    assert not slow.complete and 1000 < slow.states < 1100 and fast.states > 1000


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["--drives", "1"], 0, "every claim holds"),
        (["--bug", "undrain-early", "--clusters", "1"], 1, "undrain d0"),
        (["--max-states", "100"], 3, "no claim breaks so far (limit of states)"),
        (["--engine", "python", "--clusters", "1"], 0, "every claim holds"),
        (["--symmetry"], 0, "by symmetry they stand for 41,140 states"),
        (["--symmetry", "--bug", "no-drain"], 1, "breaks after 9 steps"),
        (["--compact", "--clusters", "1"], 0, "probability of a lost state below"),
        (["--drives", "9"], 2, "9 is not in the range"),
        (["--bug", "nope"], 2, "'nope' is not one of"),
        (["--bugs"], 0, "no-drain"),
        (["--presets"], 0, "grouped completion"),
        (["--reach", "both_complete"], 0, "both_complete is reached after"),
        (["--reach", "nothing"], 2, "no witness 'nothing' here; there are both_complete"),
        (["--bug", "group-of-one"], 1, "a_group_ends_as_one breaks after"),
        (["--preset", "core", "--bug", "busy-not-seen"], 2, "prepare has no guard 'free' here"),
        (["--drives", "1", "--with", "manual", "--with", "leaves"], 0, "the client may disconnect"),
        (["--preset", "policies"], 0, "policy ignore for the source and stop for the target"),
        (["--preset", "policies", "--policy", "enospc"], 0, "policy enospc, pause"),
        (
            ["--clusters", "1", "--target-policy", "stop"],
            0,
            "policy report for the source and stop",
        ),
        (["--sync", "top", "--with", "changes"], 2, "part changes goes with sync full or none"),
        (["--bitmap-mode", "never"], 2, "bitmap mode never goes with sync bitmap only"),
    ],
)
def test_the_explore_command(
    arguments: list[str], code: int, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["explore", *arguments]) == code
    captured = capsys.readouterr()
    assert text in captured.out + captured.err


def test_the_prove_command(capsys: pytest.CaptureFixture[str]) -> None:
    claim = "completed_backups_share_the_cut"
    assert main(["prove", claim]) == 0
    assert "any number of drives, clusters and values: 1 of 1 proved" in capsys.readouterr().out
    assert main(["prove", "--bug", "no-drain", "a_drained_job_is_quiet"]) == 1
    assert "From this state prepare breaks" in capsys.readouterr().out
    assert main(["prove", "--preset", "grouped", "a_group_ends_as_one"]) == 0
    assert "grouped completion, any number of drives" in capsys.readouterr().out
    assert main(["prove", "nope"]) == 2
    assert "no claim 'nope'" in capsys.readouterr().err


@pytest.mark.slow
def test_all_presets_are_proved_in_one_go(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(proving, "PRESETS", {"none": PRESETS["none"]})
    monkeypatch.setattr(proving, "of_policies", dict)
    assert main(["prove", "--all"]) == 0
    assert "proved for any number of drives" in capsys.readouterr().out
    wrong = replace(PRESETS["none"], bug="leaked-drain")
    monkeypatch.setattr(proving, "PRESETS", {"wrong": wrong})
    assert main(["prove", "--all"]) == 1
    assert "wrong: refuted failure_leaves_nothing" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("jump d0", "no step is called 'jump'"),
        ("prepare", "prepare names a drive, as d0"),
        ("prepare 0", "prepare names a drive, as d0"),
        ("copy_read d0", "copy_read names a cluster, as c0"),
        ("fail_copy_read d0 c0", "fail_copy_read names an errno"),
        ("reply d0", "reply takes no 'd0'"),
    ],
)
def test_a_bad_label_is_named(text: str, error: str) -> None:
    with pytest.raises(LabelError, match=error):
        parse_label(text)


def test_a_schedule_is_read_back() -> None:
    labels = found((2, 1, 2, 1, 1, "report"), "undrain-early").schedule
    assert parse_schedule(["# a comment", "", *map(str, labels)]) == labels
    assert str(Label("fail_copy_write", 1, 0, "ENOSPC")) == "fail_copy_write d1 c0 ENOSPC"
    several = explore(instance_of("two-copies")).schedule
    assert parse_schedule(map(str, several)) == several
    assert any(label.request == 1 for label in several)
