"""The protocol once more, by hand and in plain Python: a second opinion on the state counts.

It shares nothing with the model's package, not even the order of its variables.
"""

from collections.abc import Iterator
from typing import NamedTuple

ACTIVE = ("created", "running", "paused", "pending", "aborting")


class Drive(NamedTuple):
    job: str
    drained: bool
    final: str
    failed: bool
    guest: tuple[str, int, int, int]  # phase, cluster, value, old content
    copy: tuple[str, int, int]  # phase, cluster, content
    source: tuple[int, ...]
    target: tuple[int, ...]
    copied: tuple[bool, ...]
    cut: tuple[int, ...]
    errors: int


IDLE_GUEST, IDLE_COPY = ("idle", 0, 0, 0), ("idle", 0, 0)
State = tuple[str, int, tuple[Drive, ...]]


def put(row: tuple, at: int, value: object) -> tuple:  # type: ignore[type-arg]
    return (*row[:at], value, *row[at + 1 :])


def successors(state: State, values: int, policy: str) -> Iterator[State]:
    tx, writes, drives = state
    yield from transaction_steps(tx, writes, drives)
    for i, d in enumerate(drives):
        if d.guest[0] == "idle" and writes > 0:
            for c in range(len(d.source)):
                for v in range(values):
                    asked = d._replace(guest=("arrived", c, v, 0))
                    yield tx, writes - 1, put(drives, i, asked)
        steps = [*guest_steps(d), *copy_steps(d, policy), *job_steps(d, tx)]
        for after in steps:
            yield tx, writes, put(drives, i, after)


def transaction_steps(tx: str, writes: int, drives: tuple[Drive, ...]) -> Iterator[State]:
    jobs = [d.job for d in drives]
    if tx == "idle":
        yield "prepare", writes, drives
    elif tx == "prepare" and "none" in jobs:
        yield from prepare_steps(tx, writes, drives, jobs.index("none"))
    elif tx == "rollback" and "created" in jobs:
        i = max(i for i, job in enumerate(jobs) if job == "created")
        yield tx, writes, put(drives, i, drives[i]._replace(job="none"))
    elif tx in ("prepare", "commit") and "created" in jobs:
        if tx == "prepare":
            drives = tuple(d._replace(cut=d.source) for d in drives)
        i = jobs.index("created")
        empty = (0,) * len(drives[i].target)
        yield "commit", writes, put(drives, i, drives[i]._replace(job="running", target=empty))
    elif tx in ("rollback", "commit"):
        yield release_step(tx, writes, drives)


def prepare_steps(tx: str, writes: int, drives: tuple[Drive, ...], i: int) -> Iterator[State]:
    d, quiet = drives[i], drives[i].guest[0] in ("idle", "arrived")
    if not d.drained:
        yield tx, writes, put(drives, i, d._replace(drained=True))
    elif quiet:
        yield tx, writes, put(drives, i, d._replace(job="created"))
    if not d.drained or quiet:
        yield "rollback", writes, drives


def release_step(tx: str, writes: int, drives: tuple[Drive, ...]) -> State:
    drained = [i for i, d in enumerate(drives) if d.drained]
    if not drained:
        return "failed" if tx == "rollback" else "done", writes, drives
    return tx, writes, put(drives, drained[0], drives[drained[0]]._replace(drained=False))


def guest_steps(d: Drive) -> Iterator[Drive]:
    phase, c, v, old = d.guest
    if phase == "arrived" and not d.drained and not (d.copy[0] != "idle" and d.copy[1] == c):
        needed = d.job in ACTIVE and not d.copied[c]
        yield d._replace(guest=("cbw-read" if needed else "writing", c, v, 0))
    if phase == "cbw-read":
        yield d._replace(guest=("cbw-write", c, v, d.source[c]))
    if phase == "cbw-write":
        target, copied = put(d.target, c, old), put(d.copied, c, True)
        yield d._replace(guest=("writing", c, v, 0), target=target, copied=copied)
    if phase in ("cbw-read", "cbw-write") and d.errors:
        yield d._replace(guest=IDLE_GUEST, errors=d.errors - 1)
    if phase == "writing":
        yield d._replace(guest=IDLE_GUEST, source=put(d.source, c, v))


def copy_steps(d: Drive, policy: str) -> Iterator[Drive]:
    phase, c, content = d.copy
    if phase == "idle" and d.job == "running" and not d.drained:
        for cluster, copied in enumerate(d.copied):
            held = d.guest[0] in ("cbw-read", "cbw-write", "writing") and d.guest[1] == cluster
            if not copied and not held:
                yield d._replace(copy=("read", cluster, 0))
    if phase == "read":
        yield d._replace(copy=("write", c, d.source[c]))
    if phase == "write":
        target, copied = put(d.target, c, content), put(d.copied, c, True)
        yield d._replace(copy=IDLE_COPY, target=target, copied=copied)
    if phase != "idle" and d.errors:
        after = d._replace(copy=IDLE_COPY, errors=d.errors - 1)
        if policy != "ignore" and d.job in ("running", "paused"):
            stop = policy == "stop"
            after = after._replace(job="paused" if stop else "aborting", failed=not stop)
        yield after


def job_steps(d: Drive, tx: str) -> Iterator[Drive]:
    in_cbw = d.guest[0] in ("cbw-read", "cbw-write")
    if tx == "done":
        if d.job == "running":
            yield d._replace(job="paused")
        if d.job == "paused":
            yield d._replace(job="running")
        if d.job in ("running", "pending"):
            yield d._replace(job="aborting")  # cancel
        if d.job in ("running", "paused", "pending"):
            yield d._replace(job="aborting")  # forced
    settled = d.copy[0] == "idle" and not in_cbw and not d.drained
    none = (False,) * len(d.copied)
    if d.job == "running" and settled and all(d.copied):
        yield d._replace(job="pending")
    if d.job == "pending":
        yield d._replace(job="gone", final="completed", copied=none)
    if d.job == "aborting" and settled:
        final = "failed" if d.failed else "cancelled"
        yield d._replace(job="gone", final=final, copied=none)


def count(
    drives: int, clusters: int, values: int, writes: int, errors: int, policy: str
) -> tuple[int, int]:
    """The numbers of states and transitions."""
    zero = (0,) * clusters
    one = Drive("none", False, "", False, IDLE_GUEST, IDLE_COPY, zero, zero,
                (False,) * clusters, zero, errors)  # fmt: skip
    first: State = ("idle", writes, (one,) * drives)
    seen, todo, transitions = {first}, [first], 0
    while todo:
        for after in successors(todo.pop(), values, policy):
            transitions += 1
            if after not in seen:
                seen.add(after)
                todo.append(after)
    return len(seen), transitions


#: drives, clusters, values, writes, errors, policy -> states, transitions
GOLDEN = {
    (1, 2, 2, 1, 1, "report"): (1019, 3232),
    (2, 1, 2, 1, 1, "report"): (6594, 29649),
    (2, 1, 2, 1, 1, "stop"): (11923, 62048),
    (2, 1, 2, 2, 1, "ignore"): (64888, 356980),
    (2, 2, 2, 1, 0, "report"): (41140, 225054),
}
