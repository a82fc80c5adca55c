"""The protocol once more, by hand and in plain Python: a second opinion on what can happen.

It is written from the clauses, and shares nothing with the model's package: neither its terms nor
its variables. `count` tells how many states and transitions an instance has.
"""

from tests.handwritten.search import count, steps_by_name
from tests.handwritten.state import Instance

__all__ = ["GOLDEN", "Instance", "count", "steps_by_name"]

#: drives, clusters, values, writes, errors, policy -> states, transitions
GOLDEN = {
    (1, 2, 2, 1, 1, "report"): (1019, 3232),
    (2, 1, 2, 1, 1, "report"): (6594, 29649),
    (2, 1, 2, 1, 1, "stop"): (11923, 62048),
    (2, 1, 2, 2, 1, "ignore"): (64888, 356980),
    (2, 2, 2, 1, 0, "report"): (41140, 225054),
}
