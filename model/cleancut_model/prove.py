"""Proof by induction: for any number of drives, clusters and values, and for given numbers."""

import itertools
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final

import z3

from cleancut_model.backup import Backup, Options
from cleancut_model.bugs import mutations
from cleancut_model.finite import Finite
from cleancut_model.language import Action, State, Term
from cleancut_model.lemmas import LEMMAS
from cleancut_model.properties import STATES, STEPS, of_instance
from cleancut_model.properties.registry import Claim, Step
from cleancut_model.terms import And, Implies, Not
from cleancut_model.unbounded import Unbounded

#: Where a goal is to hold if it is not after an action.
FIRST, ANY = "the first state", "no step"
#: What z3 may spend on a goal where it keeps what it has learnt of a place, by its own count.
QUICK: Final = 200_000


@dataclass(frozen=True, slots=True)
class Verdict:
    """One claim: `proved`, `refuted` (induction fails) or `unknown`, and where."""

    name: str
    status: str
    action: str
    seconds: float
    picture: str = ""


class Prover:
    """The protocol without bounds, with what is known of its reachable states."""

    def __init__(self, options: Options, timeout_s: float, without: tuple[str, ...] = ()) -> None:
        self.language = Unbounded(single=_single(options))
        self.protocol = Backup(self.language, options, mutations(options.bug))
        self._timeout_ms = int(timeout_s * 1000)
        known = of_instance({**STATES, **LEMMAS}, options)
        self._claims = {name: each for name, each in known.items() if name not in without}
        self._steps = of_instance(STEPS, options)
        self._before = self.language.state()
        self._known = _facts(self._claims, self.protocol, self._before)
        self._elaborated: dict[str, tuple[Term, State, dict[str, Term]]] = {}
        self._at: dict[str, tuple[z3.Solver, int]] = {}  # by place, and how many axioms it has

    def _elaborate(self, action: Action) -> tuple[Term, State, dict[str, Term]]:
        """An action's guard, the state after it and its arguments; all claims share them."""
        if action.name not in self._elaborated:
            self._elaborated[action.name] = self.language.elaborate(action)
        return self._elaborated[action.name]

    def claims(self) -> list[str]:
        """All that is proved: the state claims, the lemmas, the step claims."""
        return [*self._claims, *self._steps]

    def prove(self, name: str) -> Verdict:
        """One claim: it holds at first and every step keeps it, or every step has it."""
        started = time.monotonic()
        goals = self._step_goals(name) if name in self._steps else self._state_goals(name)
        for place, goal in goals:
            if self._follows(place, goal):
                continue
            solver = self._solver(*self._facts_at(place), Not(goal))
            answer = solver.check()
            if answer != z3.unsat:
                picture = show(solver.model(), self.protocol) if answer == z3.sat else ""
                return _failed(name, place, answer, picture, started)
        return Verdict(name, "proved", "", time.monotonic() - started)

    def _follows(self, place: str, goal: Term) -> bool:
        """Whether a goal follows, asked of one solver for each place, which is quick to say yes."""
        axioms = self.language.axioms
        if place not in self._at:
            self._at[place] = self._solver(*self._facts_at(place)), len(axioms)
            self._at[place][0].set("rlimit", QUICK)
        solver, known = self._at[place]
        solver.add(axioms[known:])  # of orders that were not asked for before
        self._at[place] = solver, len(axioms)
        solver.push()
        solver.add(Not(goal))
        answer = solver.check()
        solver.pop()
        return bool(answer == z3.unsat)

    def _facts_at(self, place: str) -> list[Term]:
        """What is known where a goal is to hold: at first, in any state, or after an action."""
        if place == FIRST:
            return [self.language.initial()]
        if place == ANY:
            return self._known
        return [*self._known, self._elaborated[place][0]]

    def _state_goals(self, name: str) -> Iterator[tuple[str, Term]]:
        claim = self._claims[name].claim
        if self._claims[name].implied:
            yield ANY, claim(self.protocol, self._before)
            return
        yield FIRST, claim(self.protocol, self._before)
        spoken_of = self.language.footprint(partial(claim, self.protocol))
        for action in self.language.actions:
            _, after, _ = self._elaborate(action)
            if spoken_of.isdisjoint(of.name for of, _, _ in after.writes):
                continue  # the goal is one of the facts, for the action writes nothing of it
            yield action.name, claim(self.protocol, after)

    def _step_goals(self, name: str) -> Iterator[tuple[str, Term]]:
        step = self._steps[name]
        idle = self._idle(step)
        for action in self.language.actions:
            if step.speaks_of(action.name):
                _, after, arguments = self._elaborate(action)
                if not idle.issuperset(of.name for of, _, _ in after.writes):
                    yield action.name, step.of_step(self.protocol, self._before, after, arguments)

    def _idle(self, step: Step) -> set[str]:
        """Variables that a step may write, and the claim holds as it does where nothing changes."""
        if step.asks_for:
            return set()
        of_step = partial(step.of_step, self.protocol, self._before, arguments={})
        if not self._follows(ANY, of_step(self._before)):
            return set()
        return self.language.fields.keys() - self.language.footprint(of_step)

    def unreachable(self) -> list[str]:
        """The actions that no state with all that is known allows: their proofs would be empty."""
        found = []
        for action in self.language.actions:
            guard, _, _ = self._elaborate(action)
            if self._solver(*self._known, guard).check() != z3.sat:
                found.append(action.name)
        return found

    def _solver(self, *facts: Term) -> z3.Solver:
        solver = z3.Solver()
        solver.set("timeout", self._timeout_ms)
        solver.add(self.language.axioms)
        solver.add(*facts)
        return solver


def _failed(
    name: str, action: str, answer: z3.CheckSatResult, picture: str, started: float
) -> Verdict:
    """What is said of a claim that one action was not shown to keep."""
    status = "refuted" if answer == z3.sat else "unknown"
    return Verdict(name, status, action, time.monotonic() - started, picture)


def _facts(claims: Mapping[str, Claim], protocol: Backup, state: State) -> list[Term]:
    """What may be taken for granted of a state: all that is proved by induction."""
    return [each.claim(protocol, state) for each in claims.values() if not each.implied]


def _single(options: Options) -> frozenset[str]:
    """The sorts of which there is but one value: the instance has one request at once."""
    sizes = {"Request": options.requests, "Worker": options.workers}
    return frozenset(name for name, size in sizes.items() if size == 1)


class FiniteProver:
    """The same induction for given sizes, with no quantifier: a cross-check of the other."""

    def __init__(self, options: Options, timeout_s: float) -> None:
        self.language = Finite(sizes=options.sizes())
        self.protocol = Backup(self.language, options, mutations(options.bug))
        self._timeout_ms = int(timeout_s * 1000)
        self._claims = of_instance({**STATES, **LEMMAS}, options)
        self._steps = of_instance(STEPS, options)
        self._instances = list(self.language.instances())
        before = self.language.state()
        self._before = before
        self._known = _facts(self._claims, self.protocol, before)

    def claims(self) -> list[str]:
        """All that is proved."""
        return [*self._claims, *self._steps]

    def prove(self, name: str) -> Verdict:
        """One claim, for every action with every choice of arguments."""
        started = time.monotonic()
        solver = z3.Solver()
        solver.set("timeout", self._timeout_ms)
        solver.add(self._ranges(), *self._known)
        for action, goal in self._goals(name):
            solver.push()
            solver.add(Not(goal))
            answer = solver.check()
            if answer != z3.unsat:
                picture = f"  {solver.model()}" if answer == z3.sat else ""
                return _failed(name, action, answer, picture, started)
            solver.pop()
        return Verdict(name, "proved", "", time.monotonic() - started)

    def _goals(self, name: str) -> Iterator[tuple[str, Term]]:
        known = self._claims.get(name)
        if known is not None and known.implied:
            yield "no step", known.claim(self.protocol, self._before)
            return
        if known is not None:
            first = [
                self.language.symbol(n) == self.language.constant_of(n, value)
                for n, value in self.language.initial().items()
            ]
            goal = known.claim(self.protocol, self._before)
            yield "the first state", Implies(And(first), goal)
        step = self._steps.get(name)
        for instance in self._instances:
            if step is not None and not step.speaks_of(instance.name):
                continue
            if step is not None:
                goal = step.of_step(self.protocol, self._before, instance.after, instance.terms)
            else:
                goal = self._claims[name].claim(self.protocol, instance.after)
            if not z3.is_true(simple := z3.simplify(Implies(instance.guard, goal))):
                yield instance.name, simple

    def _ranges(self) -> Term:
        language = self.language
        return And([language.in_range(n, language.symbol(n)) for n in language.names()])

    def unreachable(self) -> list[str]:
        """Which actions are possible is what `explore` tells of a finite instance."""
        return []


def show(model: z3.ModelRef, protocol: Backup) -> str:
    """The state from which a step breaks a claim, one variable a line."""
    lines = []
    functions = {f.name(): f for f in model.decls()}
    for field in protocol.m.fields.values():
        if field.name not in functions:
            continue
        of = functions[field.name]
        if not field.index:
            lines.append(f"  {field.name} = {model.eval(of())}")
            continue
        rows = [sort.values or model.get_universe(sort.sort) or [] for sort in field.index]
        cells = [f"{_short(key)}: {model.eval(of(*key))}" for key in itertools.product(*rows)]
        if cells:
            lines.append(f"  {field.name} = {{{', '.join(cells)}}}")
    return "\n".join(lines).replace("!val!", "")


def _short(key: tuple[Term, ...]) -> str:
    return " ".join(str(part) for part in key)
