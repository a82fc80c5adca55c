"""Terms made without z3py's conversions are those that z3py makes; what is left out holds."""

from collections.abc import Callable

import pytest
import z3

from cleancut_model import terms
from cleancut_model.bugs import instance_of
from cleancut_model.elaborated import elaborate
from cleancut_model.language import Term
from cleancut_model.options import PRESETS, Options
from cleancut_model.printing import PYTHON, Printer, conjuncts, disjuncts, variables
from cleancut_model.properties import STEPS, of_instance

A, B, C = z3.Bools("a b c")
N = z3.Int("n")


@pytest.mark.parametrize(
    ("ours", "of_z3"),
    [
        (terms.And(A, B, C), z3.And(A, B, C)),
        (terms.And([A, N == 1]), z3.And([A, N == 1])),
        (terms.And([]), z3.And([])),
        (terms.And(A), z3.And(A)),
        (terms.Or(A, B), z3.Or(A, B)),
        (terms.Or([]), z3.Or([])),
        (terms.Not(A), z3.Not(A)),
        (terms.Implies(A, terms.Or(B, C)), z3.Implies(A, z3.Or(B, C))),
    ],
)
def test_connectives_are_those_of_z3py(ours: Term, of_z3: Term) -> None:
    assert ours.eq(of_z3) and type(ours) is type(of_z3)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: terms.And(A, N),
        lambda: terms.Not(N),
        lambda: terms.Implies(A, N),
        lambda: terms.Or(N),
    ],
)
def test_what_is_no_truth_is_refused(wrong: Callable[[], Term]) -> None:
    with pytest.raises(z3.Z3Exception):
        wrong()


def test_a_term_is_taken_apart() -> None:
    term = z3.Implies(z3.And(A, z3.Not(z3.Or(B, N != 2))), z3.If(C, N, z3.IntVal(-3)) == 4)
    assert terms.operands(term)[0].eq(term.arg(0)) and terms.operands(term)[1].eq(term.arg(1))
    assert variables(term) == {"a", "b", "c", "n"}
    left, right = "(a and (not (b or (n != 2))))", "((n if c else -3) == 4)"
    assert Printer(PYTHON)(term) == f"(not {left} or {right})"
    assert [str(each) for each in disjuncts(term)] == [
        "Not(a)", "b", "n != 2", "If(c, n, -3) == 4"
    ]  # fmt: skip
    assert [str(each) for each in conjuncts(term.arg(0))] == ["a", "Not(b)", "Not(n != 2)"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [PRESETS["enospc"], PRESETS["grouped-bitmaps"], instance_of("paused-copies")],
    ids=Options.parts,
)
def test_a_claim_about_a_step_is_left_out_only_where_it_holds(options: Options) -> None:
    """Each is built for each action here, whether the action writes what it reads or not."""
    model = elaborate(options)
    state, solver = model.language.state(), z3.Solver()
    for instance, said in zip(model.instances, model.steps, strict=True):
        for name, step in of_instance(STEPS, options).items():
            if step.speaks_of(instance.name):
                claim = step.of_step(model.protocol, state, instance.after, instance.terms)
                whole = z3.Implies(instance.guard, claim)
                assert solver.check(whole != said.get(name, z3.BoolVal(True))) == z3.unsat, name
            else:
                assert name not in said
