"""The protocol of the transactional backup, written once.

A transaction prepares its drives one after the other, each under its own drain, commits them one
after the other, and lets their guests go on only then. A job copies its drive in the background
while guest writes copy before they write. Any request may fail.

Each action states its guards (`s.when`) and what changes; all else stays. Its name is the label of
the step in a schedule; `d` is a drive, `c` a cluster, `v` a value, `e` an errno.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from z3 import And, BoolVal, If, Implies, Not, Or

from cleancut_model.language import Action, Language, Mutation, Sort, State, Term

Body = Callable[..., None]


@dataclass(frozen=True, slots=True)
class Options:
    """An instance; `writes` and `errors` None: no limit. Sizes count only for finite models."""

    drives: int = 2
    clusters: int = 2
    values: int = 2
    writes: int | None = 1
    errors: int | None = 0  # for each drive
    policy: str = "report"  # what is done about an error: report, ignore, stop or enospc
    errnos: tuple[str, ...] = ("EIO",)
    control: bool = True  # the client pauses, resumes and cancels
    bug: str = ""

    def sizes(self) -> dict[str, int]:
        """The sizes of the sorts."""
        return {
            "Drive": self.drives,
            "Cluster": self.clusters,
            "Value": self.values,
            "Writes": self.writes or 0,
            "Errors": self.errors or 0,
        }

    def describe(self) -> str:
        """The instance in a line."""
        limits = [f"{'any' if n is None else n} {w}" for n, w in
                  ((self.writes, "guest writes"), (self.errors, "errors a drive"))]  # fmt: skip
        parts = [f"{self.drives} drives", f"{self.clusters} clusters", f"{self.values} values"]
        parts += [*limits, f"policy {self.policy}"]
        parts += ["pause, resume, cancel"] if self.control else []
        parts += [f"bug {self.bug}"] if self.bug else []
        return ", ".join(parts)


PARAMETERS = {"d": "drive", "c": "cluster", "v": "value", "e": "errno"}

_ACTIONS: list[tuple[str, str, Callable[..., Any]]] = []


def action(parameters: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Mark a method as an action with these parameters."""

    def mark(method: Callable[..., Any]) -> Callable[..., Any]:
        _ACTIONS.append((method.__name__, parameters, method))
        return method

    return mark


class Backup:
    """The protocol, elaborated in a language: its variables, words and actions."""

    def __init__(self, m: Language, options: Options, mutations: tuple[Mutation, ...] = ()) -> None:
        self.m, self.options = m, options
        self.drive, self.cluster = m.index("Drive"), m.index("Cluster")
        self.value = m.index("Value")
        self.errno = m.enum("Errno", " ".join(options.errnos))
        self.tx = m.enum("Tx", "IDLE PREPARE ROLLBACK COMMIT DONE FAILED")
        self.job = m.enum("Job", "NONE CREATED RUNNING PAUSED PENDING ABORTING GONE")
        self.event = m.enum("Event", "NO_EVENT COMPLETED FAILED CANCELLED TWICE")
        self.guest = m.enum("Guest", "G_IDLE ARRIVED CBW_READ CBW_WRITE WRITING")
        self.copy = m.enum("Copy", "B_IDLE READ WRITE")
        self._declare()
        for name, parameters, method in _ACTIONS:
            if options.control or name not in ("pause", "resume", "cancel", "force_cancel"):
                self._add(name, parameters, method, mutations)

    def _declare(self) -> None:
        m, drive, cluster, value = self.m, self.drive, self.cluster, self.value
        m.variable("tx", self.tx)
        m.variable("js", self.job, drive)  # the job
        m.variable("drained", m.boolean, drive, init=False)
        m.variable("final", self.event, drive)  # its final event
        m.variable("error", m.boolean, drive, init=False)  # it ends because of an error
        m.variable("g", self.guest, drive)  # the guest's request: its phase,
        m.variable("gc", cluster, drive)  # its cluster,
        m.variable("gv", value, drive)  # what it writes,
        m.variable("gbuf", value, drive)  # and the old content that it carries to the target
        m.variable("b", self.copy, drive)  # the background copy, in the same way
        m.variable("bc", cluster, drive)
        m.variable("bbuf", value, drive)
        m.variable("src", value, drive, cluster, init=None)  # the drive
        m.variable("old", value, drive, cluster, init=None)  # ghost: the target at first
        m.variable("tgt", value, drive, cluster, init="old")  # the target
        m.variable("copied", m.boolean, drive, cluster, init=False)
        m.variable("cut", value, drive, cluster)  # ghost: all drives at the first commit
        if self.options.writes is not None:
            m.variable("writes_left", m.budget("Writes"), init=self.options.writes)
        if self.options.errors is not None:
            m.variable("errors_left", m.budget("Errors"), drive, init=self.options.errors)

    def _add(
        self, name: str, letters: str, method: Callable[..., Any], bugs: tuple[Mutation, ...]
    ) -> None:
        sorts: dict[str, Sort] = {x: getattr(self, PARAMETERS[x]) for x in letters}

        def body(s: State, **arguments: Term) -> None:
            method(self, s, **arguments)

        mutated: Body = body
        for bug in bugs:
            if bug.action == name:
                mutated = bug.apply(mutated)
        self.m.actions.append(Action(name, sorts, mutated))

    # ---- words

    def is_in(self, value: Term, sort: Sort, names: str) -> Term:
        """Whether a value is one of these."""
        return Or([value == getattr(sort, name) for name in names.split()])

    def job_is(self, s: State, d: Term, names: str) -> Term:
        """Whether the drive's job is in one of these states."""
        return self.is_in(s.js[d], self.job, names)

    def guest_is(self, s: State, d: Term, names: str) -> Term:
        """Whether the drive's guest request is in one of these phases."""
        return self.is_in(s.g[d], self.guest, names)

    def active(self, s: State, d: Term) -> Term:
        """There is a job, so its filter stands before the drive."""
        return self.job_is(s, d, "CREATED RUNNING PAUSED PENDING ABORTING")

    def started(self, s: State, d: Term) -> Term:
        """There is a job, and it has been started."""
        return self.job_is(s, d, "RUNNING PAUSED PENDING ABORTING")

    def quiet(self, s: State, d: Term) -> Term:
        """No guest request is in flight."""
        return self.guest_is(s, d, "G_IDLE ARRIVED")

    def in_cbw(self, s: State, d: Term) -> Term:
        """The guest's request is copying before it writes."""
        return self.guest_is(s, d, "CBW_READ CBW_WRITE")

    def every(self, body: Callable[[Term], Term]) -> Term:
        """For every drive."""
        return self.m.all(self.drive, body)

    def none_created(self, s: State) -> Term:
        """No job waits for its commit or its rollback."""
        return self.every(lambda x: s.js[x] != self.job.CREATED)

    def earlier(self, d: Term, body: Callable[[Term], Term]) -> Term:
        """For every drive before this one in the transaction's list."""
        return self.every(lambda x: Implies(self.m.less(x, d), body(x)))

    def is_next(self, s: State, d: Term) -> Term:
        """It is this drive's turn to be prepared."""
        created = self.job.CREATED
        return And(s.js[d] == self.job.NONE, self.earlier(d, lambda x: s.js[x] == created))

    # ---- the transaction

    @action("")
    def begin(self, s: State) -> None:
        """The client's transaction is taken up."""
        s.when(idle=s.tx == self.tx.IDLE)
        s.tx = self.tx.PREPARE

    @action("d")
    def drain(self, s: State, d: Term) -> None:
        """From now on no guest request of the drive starts; those in flight go on."""
        s.when(preparing=s.tx == self.tx.PREPARE, turn=self.is_next(s, d), open=Not(s.drained[d]))
        s.drained[d] = True

    @action("d")
    def prepare(self, s: State, d: Term) -> None:
        """The drive is quiet: the job and its filter are made."""
        s.when(preparing=s.tx == self.tx.PREPARE, turn=self.is_next(s, d))
        s.when(drained=s.drained[d], quiet=self.quiet(s, d))
        s.js[d] = self.job.CREATED

    @action("d")
    def fail_prepare(self, s: State, d: Term) -> None:
        """The action is refused, before its drain or under it."""
        s.when(preparing=s.tx == self.tx.PREPARE, turn=self.is_next(s, d))
        s.when(settled=Or(Not(s.drained[d]), self.quiet(s, d)))
        s.tx = self.tx.ROLLBACK

    @action("d")
    def rollback(self, s: State, d: Term) -> None:
        """The newest job is taken back; its target is as it was, since only commit empties it."""
        later = self.every(lambda x: Implies(self.m.less(d, x), s.js[x] != self.job.CREATED))
        s.when(rolling=s.tx == self.tx.ROLLBACK, created=s.js[d] == self.job.CREATED, newest=later)
        s.js[d] = self.job.NONE

    @action("d")
    def commit(self, s: State, d: Term) -> None:
        """All are prepared: the job starts with an empty target. The first commit is the cut."""
        created = self.job.CREATED
        all_created = self.every(lambda x: s.js[x] == created)
        first = s.tx == self.tx.PREPARE
        s.when(ready=Or(And(first, all_created), s.tx == self.tx.COMMIT))
        s.when(created=s.js[d] == created)
        s.when(turn=self.earlier(d, lambda x: s.js[x] != created))
        s.tx = self.tx.COMMIT
        s.js[d] = self.job.RUNNING
        s.tgt[d, :] = 0
        s.cut[:, :] = lambda x, c: If(first, s.src[x, c], s.cut[x, c])

    @action("d")
    def undrain(self, s: State, d: Term) -> None:
        """Guest requests of the drive start again, when all are committed or all taken back."""
        settled = self.is_in(s.tx, self.tx, "COMMIT ROLLBACK")
        s.when(settled=And(settled, self.none_created(s)), drained=s.drained[d])
        s.when(turn=self.earlier(d, lambda x: Not(s.drained[x])))
        s.drained[d] = False

    @action("")
    def reply(self, s: State) -> None:
        """The transaction has succeeded."""
        s.when(committed=s.tx == self.tx.COMMIT, all=self.none_created(s))
        s.when(released=self.every(lambda x: Not(s.drained[x])))
        s.tx = self.tx.DONE

    @action("")
    def refuse(self, s: State) -> None:
        """The transaction has failed, and nothing of it is left."""
        s.when(rolled=s.tx == self.tx.ROLLBACK, all=self.none_created(s))
        s.when(released=self.every(lambda x: Not(s.drained[x])))
        s.tx = self.tx.FAILED

    # ---- guest writes

    @action("dcv")
    def guest_write(self, s: State, d: Term, c: Term, v: Term) -> None:
        """The guest submits a write; a drained drive lets it wait."""
        s.when(idle=s.g[d] == self.guest.G_IDLE)
        s.g[d], s.gc[d], s.gv[d] = self.guest.ARRIVED, c, v
        if self.options.writes is not None:
            s.when(budget=s.writes_left > 0)
            s.writes_left = s.writes_left - 1

    def _may_start(self, s: State, d: Term) -> None:
        s.when(arrived=s.g[d] == self.guest.ARRIVED, open=Not(s.drained[d]))
        s.when(no_overlap=Or(s.b[d] == self.copy.B_IDLE, s.bc[d] != s.gc[d]))

    @action("d")
    def guest_start(self, s: State, d: Term) -> None:
        """No copy is needed: the write goes to the drive."""
        self._may_start(s, d)
        s.when(no_copy=Or(Not(self.active(s, d)), s.copied[d, s.gc[d]]))
        s.g[d] = self.guest.WRITING

    @action("d")
    def cbw_claim(self, s: State, d: Term) -> None:
        """The old cluster is still needed: it is copied first."""
        self._may_start(s, d)
        s.when(copy=And(self.active(s, d), Not(s.copied[d, s.gc[d]])))
        s.g[d] = self.guest.CBW_READ

    @action("dc")
    def cbw_read(self, s: State, d: Term, c: Term) -> None:
        """The old cluster has been read."""
        s.when(reading=s.g[d] == self.guest.CBW_READ, cluster=s.gc[d] == c)
        s.g[d], s.gbuf[d] = self.guest.CBW_WRITE, s.src[d, c]

    @action("dc")
    def cbw_write(self, s: State, d: Term, c: Term) -> None:
        """It is on the target; now the guest's own write goes on."""
        s.when(writing=s.g[d] == self.guest.CBW_WRITE, cluster=s.gc[d] == c)
        s.tgt[d, c], s.copied[d, c] = s.gbuf[d], True
        s.g[d], s.gbuf[d] = self.guest.WRITING, 0

    @action("d")
    def guest_done(self, s: State, d: Term) -> None:
        """The write is on the drive."""
        s.when(writing=s.g[d] == self.guest.WRITING)
        s.src[d, s.gc[d]] = s.gv[d]
        self._forget_guest(s, d)

    def _forget_guest(self, s: State, d: Term) -> None:
        s.g[d], s.gc[d], s.gv[d], s.gbuf[d] = self.guest.G_IDLE, 0, 0, 0

    def _spend_error(self, s: State, d: Term) -> None:
        if self.options.errors is not None:
            s.when(budget=s.errors_left[d] > 0)
            s.errors_left[d] = s.errors_left[d] - 1

    @action("dce")
    def fail_cbw_read(self, s: State, d: Term, c: Term, e: Term) -> None:
        """The guest's write fails with the read; the drive is as it was, the job goes on."""
        s.when(reading=s.g[d] == self.guest.CBW_READ, cluster=s.gc[d] == c)
        self._spend_error(s, d)
        self._forget_guest(s, d)

    @action("dce")
    def fail_cbw_write(self, s: State, d: Term, c: Term, e: Term) -> None:
        """The same, when the target refuses."""
        s.when(writing=s.g[d] == self.guest.CBW_WRITE, cluster=s.gc[d] == c)
        self._spend_error(s, d)
        self._forget_guest(s, d)

    # ---- the background copy

    @action("dc")
    def copy_claim(self, s: State, d: Term, c: Term) -> None:
        """A running job takes a cluster that nobody has copied or is copying."""
        s.when(running=s.js[d] == self.job.RUNNING, open=Not(s.drained[d]))
        s.when(idle=s.b[d] == self.copy.B_IDLE, needed=Not(s.copied[d, c]))
        held = And(self.guest_is(s, d, "CBW_READ CBW_WRITE WRITING"), s.gc[d] == c)
        s.when(no_overlap=Not(held))
        s.b[d], s.bc[d] = self.copy.READ, c

    @action("dc")
    def copy_read(self, s: State, d: Term, c: Term) -> None:
        """The cluster has been read; requests in flight finish whatever the job does."""
        s.when(reading=s.b[d] == self.copy.READ, cluster=s.bc[d] == c)
        s.b[d], s.bbuf[d] = self.copy.WRITE, s.src[d, c]

    @action("dc")
    def copy_write(self, s: State, d: Term, c: Term) -> None:
        """The cluster is on the target."""
        s.when(writing=s.b[d] == self.copy.WRITE, cluster=s.bc[d] == c)
        s.tgt[d, c], s.copied[d, c] = s.bbuf[d], True
        self._forget_copy(s, d)

    def _forget_copy(self, s: State, d: Term) -> None:
        s.b[d], s.bc[d], s.bbuf[d] = self.copy.B_IDLE, 0, 0

    @action("dce")
    def fail_copy_read(self, s: State, d: Term, c: Term, e: Term) -> None:
        """The read fails; the cluster stays to be copied."""
        s.when(reading=s.b[d] == self.copy.READ, cluster=s.bc[d] == c)
        self._fail_copy(s, d, e)

    @action("dce")
    def fail_copy_write(self, s: State, d: Term, c: Term, e: Term) -> None:
        """The write fails; the cluster stays to be copied."""
        s.when(writing=s.b[d] == self.copy.WRITE, cluster=s.bc[d] == c)
        self._fail_copy(s, d, e)

    def stops(self, e: Term) -> Term:
        """Whether the policy pauses the job for this errno; otherwise it ends it, or retries."""
        if self.options.policy == "enospc":
            return Or([e == self.errno.ENOSPC] if "ENOSPC" in self.errno.names else [])
        return BoolVal(self.options.policy == "stop")

    def _fail_copy(self, s: State, d: Term, e: Term) -> None:
        self._spend_error(s, d)
        self._forget_copy(s, d)
        if self.options.policy == "ignore":
            return
        hit = self.job_is(s, d, "RUNNING PAUSED")
        after = If(self.stops(e), self.job.PAUSED, self.job.ABORTING)
        s.js[d] = If(hit, after, s.js[d])
        s.error[d] = Or(s.error[d], And(hit, Not(self.stops(e))))

    # ---- the client, and the job's end

    @action("d")
    def pause(self, s: State, d: Term) -> None:
        """The client pauses the job. Its commands come one at a time, after the transaction."""
        s.when(done=s.tx == self.tx.DONE, running=s.js[d] == self.job.RUNNING)
        s.js[d] = self.job.PAUSED

    @action("d")
    def resume(self, s: State, d: Term) -> None:
        """The client resumes a job that was paused by it or by an error."""
        s.when(done=s.tx == self.tx.DONE, paused=s.js[d] == self.job.PAUSED)
        s.js[d] = self.job.RUNNING

    @action("d")
    def cancel(self, s: State, d: Term) -> None:
        """The client cancels a job that is not paused."""
        s.when(done=s.tx == self.tx.DONE, live=self.job_is(s, d, "RUNNING PENDING"))
        s.js[d] = self.job.ABORTING

    @action("d")
    def force_cancel(self, s: State, d: Term) -> None:
        """The client cancels a job, paused or not."""
        s.when(done=s.tx == self.tx.DONE, live=self.job_is(s, d, "RUNNING PAUSED PENDING"))
        s.js[d] = self.job.ABORTING

    @action("d")
    def finish(self, s: State, d: Term) -> None:
        """All is copied, and nothing is in flight."""
        s.when(running=s.js[d] == self.job.RUNNING, open=Not(s.drained[d]))
        s.when(idle=s.b[d] == self.copy.B_IDLE, no_cbw=Not(self.in_cbw(s, d)))
        s.when(all=self.m.all(self.cluster, lambda c: s.copied[d, c]))
        s.js[d] = self.job.PENDING

    @action("d")
    def complete(self, s: State, d: Term) -> None:
        """The job ends well."""
        s.when(pending=s.js[d] == self.job.PENDING)
        self._end(s, d, self.event.COMPLETED)

    @action("d")
    def abort(self, s: State, d: Term) -> None:
        """The job ends, failed or cancelled, once nothing of it is in flight."""
        s.when(aborting=s.js[d] == self.job.ABORTING, open=Not(s.drained[d]))
        s.when(idle=s.b[d] == self.copy.B_IDLE, no_cbw=Not(self.in_cbw(s, d)))
        self._end(s, d, If(s.error[d], self.event.FAILED, self.event.CANCELLED))

    def _end(self, s: State, d: Term, event: Term) -> None:
        s.js[d] = self.job.GONE
        s.final[d] = If(s.final[d] == self.event.NO_EVENT, event, self.event.TWICE)
        s.copied[d, :] = False
