"""The words in which the protocol's actions are written."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from z3 import If

from cleancut_model.language import Language, Sort, State, Term
from cleancut_model.options import Options
from cleancut_model.terms import And, Implies, Not, Or

#: What the parameters of an action are, by letter.
PARAMETERS: Final = {
    "d": "drive",
    "r": "request",
    "w": "worker",
    "c": "cluster",
    "v": "value",
    "e": "errno",
}

#: The states of a job; an instance has those that its parts can reach.
JOBS: Final = "NONE CREATED RUNNING PAUSED WAITING PENDING ABORTING CONCLUDED GONE"

#: Values and variables that only instances with some parts have; others leave them out.
PARTLY: Final = frozenset(
    (
        *("WAITING", "CONCLUDED", "DEAD", "snapped", "cleared", "broken", "busy"),
        *("glen", "blen", "reach", "change", "backup", "there", "on", "cancelling"),
    )
)


@dataclass(frozen=True, slots=True)
class Rule:
    """An action of the protocol: its parameters and the options that it needs."""

    name: str
    parameters: str
    needs: tuple[str, ...]
    method: Callable[..., None]

    def belongs_to(self, options: Options) -> bool:
        """Whether an instance has it."""
        return options.has(*self.needs)


RULES: Final[list[Rule]] = []


def action(parameters: str, *needs: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Mark a method as an action with these parameters, in instances with these options."""

    def mark(method: Callable[..., None]) -> Callable[..., None]:
        RULES.append(Rule(method.__name__, parameters, needs, method))
        return method

    return mark


class Words:
    """The sorts of an instance, and what is said of its states."""

    m: Language
    options: Options
    drive: Sort
    cluster: Sort
    value: Sort
    request: Sort
    worker: Sort
    errno: Sort
    tx: Sort
    job: Sort
    event: Sort
    guest: Sort
    copy: Sort
    extent: Sort
    change: Sort
    _said: dict[tuple[int, str, str], tuple[Term, Term]]  # the value, which so keeps its number

    def is_in(self, value: Term, sort: Sort, names: str) -> Term:
        """Whether a value is one of these; names that only other instances have are left out."""
        key = value.get_id(), sort.name, names
        if key not in self._said:
            there = [n for n in names.split() if n in sort.names or n not in PARTLY]
            self._said[key] = value, Or([value == getattr(sort, name) for name in there])
        return self._said[key][1]

    def job_is(self, s: State, d: Term, names: str) -> Term:
        """Whether the drive's job is in one of these states."""
        return self.is_in(s.js[d], self.job, names)

    def tx_is(self, s: State, names: str) -> Term:
        """Whether the transaction is in one of these phases."""
        return self.is_in(s.tx, self.tx, names)

    def guest_is(self, s: State, d: Term, r: Term, names: str) -> Term:
        """Whether a guest request is in one of these phases."""
        return self.is_in(s.g[d, r], self.guest, names)

    def every(self, body: Callable[[Term], Term]) -> Term:
        """For every drive."""
        return self.m.all(self.drive, body)

    def each_request(self, body: Callable[[Term], Term]) -> Term:
        """For every guest request of a drive."""
        return self.m.all(self.request, body)

    def each_worker(self, body: Callable[[Term], Term]) -> Term:
        """For every background copy of a job."""
        return self.m.all(self.worker, body)

    # ---- jobs

    def active(self, s: State, d: Term) -> Term:
        """There is a job that is not over, so its filter stands before the drive."""
        return self.job_is(s, d, "CREATED RUNNING PAUSED WAITING PENDING ABORTING")

    def started(self, s: State, d: Term) -> Term:
        """There is a job that is not over, and it has been started."""
        return self.job_is(s, d, "RUNNING PAUSED WAITING PENDING ABORTING")

    def over(self, s: State, d: Term) -> Term:
        """The drive's job has ended."""
        return self.job_is(s, d, "CONCLUDED GONE")

    def to_blame(self, s: State) -> Term:
        """A job that fails now ends with that error: no other of its group ends already."""
        if not self.options.grouped:
            return self.m.boolean.values[1]
        return self.every(lambda x: s.js[x] != self.job.ABORTING)

    def none_created(self, s: State) -> Term:
        """No job waits for its commit or its rollback."""
        return self.every(lambda x: s.js[x] != self.job.CREATED)

    # ---- requests

    def quiet(self, s: State, d: Term) -> Term:
        """No guest request is in flight."""
        return self.each_request(lambda r: self.guest_is(s, d, r, "G_IDLE ARRIVED"))

    def in_cbw(self, s: State, d: Term, r: Term) -> Term:
        """The guest's request is copying before it writes."""
        return self.guest_is(s, d, r, "CBW_READ CBW_WRITE")

    def holds(self, s: State, d: Term, r: Term, c: Term) -> Term:
        """The guest's request is in flight on this cluster."""
        in_flight = self.guest_is(s, d, r, "CBW_READ CBW_WRITE WRITING")
        return And(in_flight, s.gc[d, r] == c)

    def copies(self, s: State, d: Term, w: Term, c: Term) -> Term:
        """The background copy is in flight on this cluster."""
        return And(s.b[d, w] != self.copy.B_IDLE, s.bc[d, w] == c)

    def at_rest(self, s: State, d: Term) -> Term:
        """Nothing of the job is in flight."""
        no_copy = self.each_worker(lambda w: s.b[d, w] == self.copy.B_IDLE)
        return And(no_copy, self.each_request(lambda r: Not(self.in_cbw(s, d, r))))

    def no_space(self, e: Term) -> Term:
        """Whether an errno is ENOSPC, in instances that have it."""
        return Or([e == self.errno.ENOSPC] if "ENOSPC" in self.errno.names else [])

    # ---- clusters

    def kept(self, s: State, d: Term, c: Term) -> Term:
        """The backup is of this cluster: of all, or of those that its bitmap or top layer has."""
        return s.todo[d, c] if self.options.partial else self.m.boolean.values[1]

    def needed(self, s: State, d: Term, c: Term) -> Term:
        """The old content of the cluster is still only on the drive."""
        return And(self.kept(s, d, c), Not(s.copied[d, c]))

    def is_first(self, d: Term) -> Term:
        """No drive comes before this one."""
        return self.every(lambda x: Not(self.m.less(x, d)))

    def unchanged(self, s: State, d: Term) -> Term:
        """The transaction has done nothing to the drive's bitmap."""
        return s.change[d] == self.change.UNCHANGED

    def is_last(self, c: Term) -> Term:
        """No cluster of the drive comes after this one."""
        return self.m.all(self.cluster, lambda x: Not(self.m.less(c, x)))

    def length(self, s: State, d: Term, c: Term) -> Term:
        """How far a copy of this cluster may go: a partial last one to the drive's end."""
        return If(s.tail[d, c], self.extent.TO_END, self.extent.WHOLE)

    def reaches(self, s: State, d: Term, c: Term, length: Term) -> None:
        """The target's cluster has been written so far; what lies beyond stays as it was."""
        whole = self.extent.WHOLE
        s.reach[d, c] = If(s.reach[d, c] == whole, whole, length)

    def restored(self, s: State, d: Term, c: Term) -> Term:
        """What the target, with what lies below it, holds."""
        if not self.options.partial:
            return s.tgt[d, c]
        return If(s.todo[d, c], s.tgt[d, c], s.base[d, c])

    # ---- the transaction's order

    def earlier(self, d: Term, body: Callable[[Term], Term]) -> Term:
        """For every drive before this one in the transaction's list."""
        return self.every(lambda x: Implies(self.m.less(x, d), body(x)))

    def is_next(self, s: State, d: Term) -> Term:
        """It is this drive's turn to be prepared."""
        created = self.job.CREATED
        return And(s.js[d] == self.job.NONE, self.earlier(d, lambda x: s.js[x] == created))

    def by_client(self, s: State) -> None:
        """The client asks for it, so it must be there."""
        if self.options.leaves:
            s.when(connected=s.connected)

    def alive(self, s: State) -> None:
        """It happens in a process that has not ended."""
        if self.options.dies:
            s.when(alive=s.tx != self.tx.DEAD)

    def forget(self, s: State, fields: str, *at: Any) -> None:
        """These variables, where the instance has them, have their first values again."""
        for name in fields.split():
            if name in s.fields or name not in PARTLY:
                getattr(s, name)[at if len(at) > 1 else at[0]] = 0
