"""The guest's writes: each copies the old cluster first where the backup still needs it."""

from z3 import If

from cleancut_model.language import State, Term
from cleancut_model.protocol.words import Words, action
from cleancut_model.terms import And, Not, Or


class Guest(Words):
    """Guest requests: they arrive, wait for drains and overlaps, copy, and write."""

    @action("drcv")
    def guest_write(self, s: State, d: Term, r: Term, c: Term, v: Term) -> None:
        """The guest submits a write; a drained drive lets it wait."""
        s.when(idle=s.g[d, r] == self.guest.G_IDLE)
        self.alive(s)
        s.g[d, r], s.gc[d, r], s.gv[d, r] = self.guest.ARRIVED, c, v
        if self.options.writes is not None:
            s.when(budget=s.writes_left > 0)
            s.writes_left = s.writes_left - 1

    def _may_start(self, s: State, d: Term, r: Term) -> None:
        c = s.gc[d, r]
        s.when(arrived=s.g[d, r] == self.guest.ARRIVED, open=Not(s.drained[d]))
        s.when(no_overlap=self.each_worker(lambda w: Not(self.copies(s, d, w, c))))
        s.when(no_copy_ahead=self.each_request(
            lambda x: Not(And(x != r, self.in_cbw(s, d, x), s.gc[d, x] == c))
        ))  # fmt: skip

    def _copy_first(self, s: State, d: Term, r: Term) -> Term:
        """The filter must save the old cluster before this write."""
        copy = And(self.active(s, d), self.needed(s, d, s.gc[d, r]))
        return And(copy, Not(s.broken[d])) if self.options.breaks else copy

    @action("dr")
    def guest_start(self, s: State, d: Term, r: Term) -> None:
        """No copy is needed: the write goes to the drive."""
        self._may_start(s, d, r)
        s.when(no_copy=Not(self._copy_first(s, d, r)))
        s.g[d, r] = self.guest.WRITING

    @action("dr")
    def cbw_claim(self, s: State, d: Term, r: Term) -> None:
        """The old cluster is still needed: it is copied first."""
        self._may_start(s, d, r)
        s.when(copy=self._copy_first(s, d, r))
        s.g[d, r] = self.guest.CBW_READ
        if self.options.tail:
            s.glen[d, r] = self.length(s, d, s.gc[d, r])

    @action("drc")
    def cbw_read(self, s: State, d: Term, r: Term, c: Term) -> None:
        """The old cluster has been read."""
        s.when(reading=s.g[d, r] == self.guest.CBW_READ, cluster=s.gc[d, r] == c)
        s.g[d, r], s.gbuf[d, r] = self.guest.CBW_WRITE, s.src[d, c]

    @action("drc")
    def cbw_write(self, s: State, d: Term, r: Term, c: Term) -> None:
        """It is on the target; now the guest's own write goes on."""
        s.when(writing=s.g[d, r] == self.guest.CBW_WRITE, cluster=s.gc[d, r] == c)
        s.tgt[d, c], s.copied[d, c] = s.gbuf[d, r], True
        if self.options.tail:
            self.reaches(s, d, c, s.glen[d, r])
        s.g[d, r] = self.guest.WRITING
        self.forget(s, "gbuf glen", d, r)

    @action("dr")
    def guest_done(self, s: State, d: Term, r: Term) -> None:
        """The write is on the drive."""
        s.when(writing=s.g[d, r] == self.guest.WRITING)
        s.src[d, s.gc[d, r]] = s.gv[d, r]
        if self.options.records:
            self._record(s, d, s.gc[d, r])
        self.forget(s, "g gc gv gbuf", d, r)

    def _record(self, s: State, d: Term, c: Term) -> None:
        """The bitmap gets a bit, if it is enabled."""
        if not self.options.changes:
            s.dirty[d, c] = True
            return
        s.dirty[d, c], s.was[d, c] = Or(s.dirty[d, c], s.on[d]), Or(s.was[d, c], s.was_on[d])
        s.since[d, c] = True

    @action("drce")
    def fail_cbw_read(self, s: State, d: Term, r: Term, c: Term, e: Term) -> None:
        """The read fails. Either the guest's write fails with it, or the backup is given up."""
        s.when(reading=s.g[d, r] == self.guest.CBW_READ, cluster=s.gc[d, r] == c)
        self._fail_cbw(s, d, r)

    @action("drce")
    def fail_cbw_write(self, s: State, d: Term, r: Term, c: Term, e: Term) -> None:
        """The same, when the target refuses."""
        s.when(writing=s.g[d, r] == self.guest.CBW_WRITE, cluster=s.gc[d, r] == c)
        self._fail_cbw(s, d, r)

    def _fail_cbw(self, s: State, d: Term, r: Term) -> None:
        self.spend_error(s, d)
        if not self.options.breaks:
            self.forget(s, "g gc gv gbuf glen", d, r)
            return
        hit = self.job_is(s, d, "RUNNING PAUSED")
        s.g[d, r] = self.guest.WRITING
        self.forget(s, "gbuf glen", d, r)
        s.broken[d] = True
        s.js[d] = If(hit, self.job.ABORTING, s.js[d])
        self.blame(s, d, hit)

    def blame(self, s: State, d: Term, hit: Term) -> None:
        """An error ends the job; of a group that ends already, it counts as cancelled."""
        s.error[d] = Or(s.error[d], And(hit, self.to_blame(s)))

    def spend_error(self, s: State, d: Term) -> None:
        """One error fewer is left to this drive."""
        if self.options.errors is not None:
            s.when(budget=s.errors_left[d] > 0)
            s.errors_left[d] = s.errors_left[d] - 1
