"""Partial order: steps that may be taken at once, alone, since no order with others matters.

An action is safe if whatever else is possible beside it may as well come after it: in either order
they lead to the same state, or the other one leads to where it leads without (as the end of the
process does). z3 proves that of each pair, for all states in which claims and lemmas hold. From a
state with a safe action the search takes that one only. A run to a state that breaks a claim can be
put in an order in which the safe action comes first, and breaks it still (Peled, 1993; Clarke,
Grumberg, Peled, Model Checking, chapter 10):

- The search checks claims and lemmas in every state. A run's states hold them but for the last.
- Where a bug lets an action break a claim, no safe action may mend it: z3 is asked for that, too.
- Safe steps do not go round: each moves some variable on, and none moves it back.
- A safe action is the implementation's own, so that a stuck state stays one.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache

import z3

from cleancut_model.elaborated import Elaborated, elaborate, hold
from cleancut_model.finite import Instance, Name, spell
from cleancut_model.language import Term
from cleancut_model.lemmas import LEMMAS
from cleancut_model.options import Options
from cleancut_model.printing import Variables, conjuncts
from cleancut_model.terms import And, Implies, Not, Or, Substitution


@dataclass(frozen=True, slots=True)
class Safe:
    """An action, by number, that is safe wherever the condition holds."""

    action: int
    condition: Term


@cache
def safe_actions(options: Options) -> tuple[Safe, ...]:
    """The safe actions of an instance."""
    return tuple(_Independence(elaborate(options)).safe())


def lemmas(options: Options) -> Mapping[str, Term]:
    """What the search must check besides the claims."""
    model = elaborate(options)
    return hold(LEMMAS, model.protocol, model.language.state())


class _Independence:
    def __init__(self, model: Elaborated) -> None:
        self._model, self._language = model, model.language
        self._instances = model.instances
        self._variables = Variables()
        self._changes: dict[int, Substitution] = {}  # by action
        self._named = {spell(name): name for name in model.names}
        self._known = [*model.states.values(), *lemmas(model.options).values()]
        self._writes = [set(instance.next) for instance in self._instances]
        self._reads = [
            self._names_in([instance.guard, *instance.next.values()])
            for instance in self._instances
        ]
        self._solver = z3.Solver()
        for name in model.names:
            self._solver.add(self._language.in_range(name, self._language.symbol(name)))
        self._solver.add(*self._known)
        # What breaks the claims: actions after which one does not hold, actions with such a step.
        self._breaking = [
            instance
            for instance in self._instances
            if not self._always(Implies(instance.guard, self._after(instance, self._known)))
        ]
        self._broken_steps = [
            (number, term)
            for number, claims in enumerate(model.steps)
            for term in claims.values()
            if not self._always(term)
        ]

    def safe(self) -> Iterator[Safe]:
        """Each safe action, under the weakest condition that is known to do."""
        left = [safe for number in range(len(self._instances)) for safe in self._safe(number)]
        while left:
            on = self._moving_on([self._instances[safe.action] for safe in left])
            stuck = [safe for safe in left if not self._writes[safe.action] & on]
            if len(stuck) == len(left):
                return
            yield from (safe for safe in left if safe not in stuck)
            left = stuck

    def _safe(self, number: int) -> Iterator[Safe]:
        if not self._model.goes_on[number]:
            return
        for condition in self._conditions(self._instances[number]):
            if self._stands_alone(number, condition):
                yield Safe(number, condition)
                return

    def _conditions(self, instance: Instance) -> Iterator[Term]:
        """Anywhere; where the drive has no error left."""
        yield z3.BoolVal(True)
        left = ("errors_left", (instance.arguments.get("d", -1),))
        if left in self._model.names:
            yield self._language.symbol(left) == 0

    def _stands_alone(self, number: int, condition: Term) -> bool:
        instance = self._instances[number]
        assumed = And(instance.guard, condition)
        return all(
            self._always(Implies(And(assumed, self._instances[other].guard), goal))
            for other in range(len(self._instances))
            if other != number and self._share(number, other)
            for goal in [self._in_any_order(instance, self._instances[other], condition)]
        ) and self._mends_nothing(number, assumed)

    def _share(self, one: int, other: int) -> bool:
        written, others = self._writes[one], self._writes[other]
        return bool(written & (self._reads[other] | others) or others & self._reads[one])

    def _in_any_order(self, one: Instance, other: Instance, condition: Term) -> Term:
        """`one` may go first: then `other` leads to where it leads without it, or before it."""
        same, alone = [], []
        for name in set(one.next) | set(other.next):
            old = self._language.symbol(name)
            ends = self._after(one, [other.next.get(name, old)])
            same.append(ends == self._after(other, [one.next.get(name, old)]))
            alone.append(ends == other.next.get(name, old))
        keeps = self._after(other, [one.guard, condition])
        orders = Or(And(keeps, *same), And(alone))
        return And(self._after(one, [other.guard]), orders)

    def _mends_nothing(self, number: int, assumed: Term) -> bool:
        """A claim that another action has broken, or whose step breaks one, is so afterwards.

        A claim that reads nothing which the action writes says the same as before.
        """
        instance, writes = self._instances[number], self._writes[number]
        touched = [claim for claim in self._known if writes & self._names_in([claim])]
        for other in self._breaking:
            for claim in touched:
                broken, still = self._after(other, [claim]), self._after(instance, [claim])
                mended = And(Not(broken), self._after(other, [still]))
                if not self._always(Implies(And(assumed, other.guard), Not(mended))):
                    return False
        return all(
            other != number
            and (
                writes.isdisjoint(self._names_in([term]))
                or self._always(Implies(assumed, Or(term, Not(self._after(instance, [term])))))
            )
            for other, term in self._broken_steps
        )

    def _after(self, instance: Instance, terms: list[Term]) -> Term:
        """What the terms are after an action: all of them, or the one."""
        key = id(instance)  # the model keeps it
        if key not in self._changes:
            changes = ((self._language.symbol(name), new) for name, new in instance.next.items())
            self._changes[key] = Substitution(changes)
        after = [self._changes[key](term) for term in terms]
        return after[0] if len(after) == 1 else And(after)

    def _always(self, goal: Term) -> bool:
        """Whether it holds in every state in which the claims and lemmas do."""
        self._solver.push()
        self._solver.add(Not(goal))
        answer = self._solver.check()
        self._solver.pop()
        return bool(answer == z3.unsat)

    def _names_in(self, terms: list[Term]) -> set[Name]:
        return {self._named[name] for term in terms for name in self._variables(term)}

    def _moving_on(self, actions: list[Instance]) -> set[Name]:
        """The variables that these actions only move from value to value, and never back.

        So no run of these actions alone that comes back to a state has one that writes them.
        """
        return {name for name in self._model.names if self._moves_on(name, actions)}

    def _moves_on(self, name: Name, actions: list[Instance]) -> bool:
        steps: dict[int, set[int]] = {}
        for action in actions:
            if name in action.next:
                before = self._value_before(name, action)
                after = z3.simplify(action.next[name])
                if before is None or not (z3.is_int_value(after) or _is_constant(after)):
                    return False
                steps.setdefault(before, set()).add(_number(after))
        return bool(steps) and not _has_circle(steps)

    def _value_before(self, name: Name, action: Instance) -> int | None:
        """The one value that the guard leaves a variable."""
        symbol = self._language.symbol(name)
        sort = self._language.fields[name[0]].sort
        guard = And(conjuncts(action.guard))
        for value in range(len(sort.values)):
            is_value = symbol == self._language.constant_of(name, value)
            if self._implies(And(guard, self._language.in_range(name, symbol)), is_value):
                return value
        return None

    @staticmethod
    def _implies(assumed: Term, goal: Term) -> bool:
        solver = z3.Solver()
        solver.add(assumed, Not(goal))
        return bool(solver.check() == z3.unsat)


def _is_constant(term: Term) -> bool:
    return bool(z3.is_true(term) or z3.is_false(term))


def _number(term: Term) -> int:
    return int(term.as_long()) if z3.is_int_value(term) else int(z3.is_true(term))


def _has_circle(steps: Mapping[int, set[int]]) -> bool:
    """Whether one can come back to a value."""
    return any(value in _reached(steps, value) for value in steps)


def _reached(steps: Mapping[int, set[int]], start: int) -> set[int]:
    found: set[int] = set()
    todo = [start]
    while todo:
        for after in steps.get(todo.pop(), ()):
            if after not in found:
                found.add(after)
                todo.append(after)
    return found
