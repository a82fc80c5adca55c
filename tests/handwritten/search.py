"""All that can happen, step by step."""

from collections import Counter

from tests.handwritten.jobs import client_steps, commanded, ending_steps
from tests.handwritten.requests import copy_steps, submit_steps, write_steps
from tests.handwritten.state import Instance, State, Steps, first_state, put
from tests.handwritten.transaction import surrounding_steps, transaction_steps


def steps(i: Instance, s: State) -> Steps:
    """Every step that is possible, with the state after it."""
    yield from transaction_steps(i, s)
    yield from surrounding_steps(i, s)
    yield from submit_steps(i, s)
    yield from ending_steps(i, s)
    group_ends = i.grouped and any(d.job == "aborting" for d in s.drives)
    for n, d in enumerate(s.drives):
        own = [*write_steps(i, d, group_ends), *copy_steps(i, d, group_ends)]
        if commanded(i, s):
            own += client_steps(i, d)
        for name, after in own:
            yield name, s._replace(drives=put(s.drives, n, after))


def steps_by_name(i: Instance) -> tuple[int, Counter[str]]:
    """How many states there are, and how many transitions bear each step's name."""
    first = first_state(i)
    seen, todo, taken = {first}, [first], Counter[str]()
    while todo:
        for name, after in steps(i, todo.pop()):
            taken[name] += 1
            if after not in seen:
                seen.add(after)
                todo.append(after)
    return len(seen), taken


def count(i: Instance) -> tuple[int, int]:
    """The numbers of states and transitions."""
    states, taken = steps_by_name(i)
    return states, taken.total()
