"""The transaction: all is prepared, then all is committed; or all is taken back."""

from z3 import If

from cleancut_model.language import Row, State, Term
from cleancut_model.protocol.words import Words, action
from cleancut_model.terms import And, Implies, Not, Or


class Transaction(Words):
    """Ordered prepare, each drive under its own drain; commit in order, or reverse rollback."""

    @action("")
    def begin(self, s: State) -> None:
        """The client's transaction is taken up."""
        self.by_client(s)
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
        if self.options.busy:
            s.when(free=Not(s.busy[d]))
        s.js[d] = self.job.CREATED

    @action("d")
    def fail_prepare(self, s: State, d: Term) -> None:
        """The action is refused, before its drain or under it."""
        s.when(preparing=s.tx == self.tx.PREPARE, turn=self.is_next(s, d))
        s.when(settled=Or(Not(s.drained[d]), self.quiet(s, d)))
        s.tx = self.tx.ROLLBACK

    @action("d", "busy")
    def find_busy(self, s: State, d: Term) -> None:
        """The drive has a job of another command: the action is refused."""
        self.fail_prepare(s, d)
        s.when(busy=s.busy[d])

    @action("", "other")
    def fail_other(self, s: State) -> None:
        """An action after the backups fails, as `abort` always does."""
        s.when(preparing=s.tx == self.tx.PREPARE)
        s.when(last=self.every(lambda x: s.js[x] == self.job.CREATED))
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
        self.forget(s, "reach", d, slice(None))
        s.cut[:, :] = lambda x, c: If(first, s.src[x, c], s.cut[x, c])
        self._freeze(s, d)
        if self.options.changes:
            self._settle(s, first)

    def _settle(self, s: State, first: Term) -> None:
        """The first commit decides: nothing can fail, so the bitmaps stay as they are now."""
        s.was_there[:] = lambda x: If(first, s.there[x], s.was_there[x])
        s.was_on[:] = lambda x: If(first, s.on[x], s.was_on[x])
        s.was[:, :] = lambda x, c: If(first, s.dirty[x, c], s.was[x, c])
        s.since[:, :] = lambda x, c: And(Not(first), s.since[x, c])
        s.backup[:, :] = lambda x, c: And(Not(first), s.backup[x, c])

    def _freeze(self, s: State, d: Term) -> None:
        """The bitmap is frozen for the job, and an empty one takes over from it."""
        if self.options.partial:
            s.todo[d, :] = lambda x, c: s.dirty[x, c]
        if self.options.bitmaps:
            s.dirty[d, :] = False

    @action("d", "snapshot")
    def commit_snapshot(self, s: State, d: Term) -> None:
        """The snapshot is taken: what the drive holds now is its base from here on."""
        self._in_turn(s, d, s.snapped)
        s.snap[d, :] = lambda x, c: s.src[x, c]

    @action("d", "clears")
    def commit_clear(self, s: State, d: Term) -> None:
        """The bitmap is cleared: from here on it records what differs from the cut."""
        self._in_turn(s, d, s.cleared)
        s.dirty[d, :] = False

    def _in_turn(self, s: State, d: Term, done: Row) -> None:
        """Drive by drive, when all jobs have been started."""
        s.when(committing=s.tx == self.tx.COMMIT, started=self.none_created(s))
        s.when(due=Not(done[d]), turn=self.earlier(d, lambda x: done[x]))
        done[d] = True

    def extras(self, s: State) -> dict[str, Term]:
        """That the snapshots are taken and the bitmaps cleared, in instances that have them."""
        found = {}
        if self.options.snapshot:
            found["snapshots"] = self.every(lambda x: s.snapped[x])
        if self.options.clears:
            found["bitmaps"] = self.every(lambda x: s.cleared[x])
        return found

    @action("d")
    def undrain(self, s: State, d: Term) -> None:
        """Guest requests of the drive start again, when all are committed or all taken back."""
        s.when(settled=And(self.tx_is(s, "COMMIT ROLLBACK"), self.none_created(s)))
        s.when(drained=s.drained[d], turn=self.earlier(d, lambda x: Not(s.drained[x])))
        rolling = s.tx == self.tx.ROLLBACK
        s.when(**{name: Or(rolling, done) for name, done in self.extras(s).items()})
        if self.options.changes:
            s.when(undone=Or(Not(rolling), self.every(lambda x: self.unchanged(s, x))))
        s.drained[d] = False

    @action("")
    def reply(self, s: State) -> None:
        """The transaction has succeeded."""
        s.when(committed=s.tx == self.tx.COMMIT, all=self.none_created(s))
        s.when(released=self.every(lambda x: Not(s.drained[x])))
        s.when(**self.extras(s))
        s.tx = self.tx.DONE

    @action("")
    def refuse(self, s: State) -> None:
        """The transaction has failed, and nothing of it is left."""
        s.when(rolled=s.tx == self.tx.ROLLBACK, all=self.none_created(s))
        s.when(released=self.every(lambda x: Not(s.drained[x])))
        s.tx = self.tx.FAILED

    @action("", "repeats")
    def begin_again(self, s: State) -> None:
        """The client comes with another transaction, when the jobs of the last one are gone."""
        self.by_client(s)
        s.when(over=self.tx_is(s, "DONE FAILED"))
        s.when(gone=self.every(lambda x: self.job_is(s, x, "NONE GONE")))
        self._clear(s)

    def _clear(self, s: State) -> None:
        """Nothing but the drives, the targets and the bitmaps is left of the last transaction."""
        if self.options.again is not None:
            s.when(budget=s.again_left > 0)
            s.again_left = s.again_left - 1
        s.tx = self.tx.IDLE
        self.forget(s, "js final error snapped cleared broken change", slice(None))
        s.old[:, :] = lambda x, c: s.tgt[x, c]
