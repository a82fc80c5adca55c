"""All that can happen, step by step."""

from collections import Counter
from collections.abc import Callable, Sequence
from functools import cache

from tests.handwritten.jobs import client_steps, commanded, ending_steps
from tests.handwritten.requests import copy_steps, submit_steps, write_steps
from tests.handwritten.state import Drive, Instance, State, Steps, first_state, having
from tests.handwritten.transaction import surrounding_steps, transaction_steps

OwnSteps = Callable[[Drive, bool, bool], Sequence[tuple[str, Drive]]]


def own_steps(i: Instance) -> OwnSteps:
    """Each step of a drive that depends on no other drive, computed once for the states it has."""

    @cache
    def found(d: Drive, group_ends: bool, asked: bool) -> Sequence[tuple[str, Drive]]:
        own = [*write_steps(i, d, group_ends), *copy_steps(i, d, group_ends)]
        return [*own, *client_steps(i, d)] if asked else own

    return found


def steps(i: Instance, s: State, own: OwnSteps) -> Steps:
    """Every step that is possible, with the state after it."""
    yield from transaction_steps(i, s)
    yield from surrounding_steps(i, s)
    yield from submit_steps(i, s)
    yield from ending_steps(i, s)
    group_ends = i.grouped and any(d.job == "aborting" for d in s.drives)
    for n, d in enumerate(s.drives):
        for name, after in own(d, group_ends, commanded(i, s)):
            yield name, having(s, n, after)


def steps_by_name(i: Instance) -> tuple[int, Counter[str]]:
    """How many states there are, and how many transitions bear each step's name."""
    first, own = first_state(i), own_steps(i)
    seen, todo, taken = {first}, [first], Counter[str]()
    while todo:
        for name, after in steps(i, todo.pop(), own):
            taken[name] += 1
            if after not in seen:
                seen.add(after)
                todo.append(after)
    return len(seen), taken


def count(i: Instance) -> tuple[int, int]:
    """The numbers of states and transitions."""
    states, taken = steps_by_name(i)
    return states, taken.total()
