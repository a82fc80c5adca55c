"""Bounded model checking in SMT-LIB: `sat` if a claim breaks within so many steps."""

import z3

from cleancut_model.elaborated import Elaborated
from cleancut_model.finite import Name, spell
from cleancut_model.language import Term
from cleancut_model.terms import And, Not, Or, Substitution

DEPTH = 8


def bounded(model: Elaborated, depth: int = DEPTH) -> z3.Solver:
    """The question whether a run of at most `depth` steps breaks a claim about states or steps."""
    solver = z3.SolverFor("QF_LIA")
    at = [_copy(model, step) for step in range(depth + 1)]
    for name, symbol in at[0].items():
        solver.add(symbol == model.language.constant_of(name, model.initial[name]))
    for name, symbol in (item for step in at for item in step.items()):
        solver.add(model.language.in_range(name, symbol))
    broken: list[Term] = []
    claims = model.invariants.values()
    for now, then in zip(at, [*at[1:], None], strict=True):
        here = Substitution((model.language.symbol(name), symbol) for name, symbol in now.items())
        broken += [Not(here(claim)) for claim in claims]
        if then is None:
            break
        choices = []
        for number, instance in enumerate(model.instances):
            after = [
                symbol == (here(instance.next[name]) if name in instance.next else now[name])
                for name, symbol in then.items()
            ]
            choices.append(And(here(instance.guard), *after))
            broken += [Not(here(claim)) for claim in model.steps[number].values()]
        stays = And([then[name] == now[name] for name in now])  # a shorter run
        solver.add(Or(stays, *choices))
    solver.add(Or(broken))
    return solver


def _copy(model: Elaborated, step: int) -> dict[Name, Term]:
    """The variables after so many steps, as `name@step`."""
    return {
        name: z3.Const(f"{spell(name)}@{step}", model.language.symbol(name).sort())
        for name in model.names
    }


def smtlib(model: Elaborated, depth: int = DEPTH) -> str:
    """The question as a script; the model of a `sat` is the run."""
    head = f"; {model.options.describe()}\n; does a claim break within {depth} steps?\n"
    return head + str(bounded(model, depth).to_smt2())
