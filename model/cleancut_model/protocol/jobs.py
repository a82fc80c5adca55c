"""The client's commands to jobs, and how jobs end: each for itself, or grouped."""

from typing import Any, Final

from z3 import If

from cleancut_model.language import State, Term
from cleancut_model.protocol.words import Words, action
from cleancut_model.terms import And, Not, Or

ALL: Final = slice(None)


class Jobs(Words):
    """From running to the final event, and until the job is gone."""

    def _asked(self, s: State) -> None:
        """The client's commands come one at a time, after the transaction, while it is there."""
        s.when(done=s.tx == self.tx.DONE)
        self.by_client(s)
        if self.options.monitor:
            s.when(answered=self.every(lambda x: Not(self._unanswered(s, x))))

    def _unanswered(self, s: State, x: Term) -> Term:
        """The client waits for a job that it has paused to stand still, or to be over."""
        copies = self.m.any(self.worker, lambda w: s.b[x, w] != self.copy.B_IDLE)
        return Or(And(s.js[x] == self.job.PAUSED, copies), s.cancelling[x])

    def _cancel(self, s: State, d: Term) -> None:
        if self.options.monitor:  # one that copies no more is cancelled when it is over
            s.cancelling[d] = self.job_is(s, d, "WAITING PENDING")
        s.js[d] = self.job.ABORTING

    @action("d", "control")
    def pause(self, s: State, d: Term) -> None:
        """The client pauses the job."""
        self._asked(s)
        s.when(running=s.js[d] == self.job.RUNNING)
        s.js[d] = self.job.PAUSED

    @action("d", "control")
    def resume(self, s: State, d: Term) -> None:
        """The client resumes a job that was paused by it or by an error."""
        self._asked(s)
        s.when(paused=s.js[d] == self.job.PAUSED)
        s.js[d] = self.job.RUNNING

    @action("d", "control")
    def cancel(self, s: State, d: Term) -> None:
        """The client cancels a job that is not paused."""
        self._asked(s)
        s.when(live=self.job_is(s, d, "RUNNING WAITING PENDING"))
        self._cancel(s, d)

    @action("d", "control")
    def force_cancel(self, s: State, d: Term) -> None:
        """The client cancels a job, paused or not."""
        self._asked(s)
        s.when(live=self.job_is(s, d, "RUNNING PAUSED WAITING PENDING"))
        self._cancel(s, d)

    @action("d", "speed")
    def set_speed(self, s: State, d: Term) -> None:
        """The client limits the job's rate; the protocol knows no time, so nothing changes."""
        self._asked(s)
        s.when(live=self.job_is(s, d, "RUNNING PAUSED"))

    @action("d", "ends")
    def finish(self, s: State, d: Term) -> None:
        """All is copied, and nothing is in flight: the job is pending, or waits for its group."""
        s.when(running=s.js[d] == self.job.RUNNING, open=Not(s.drained[d]))
        s.when(at_rest=self.at_rest(s, d))
        s.when(all=self.m.all(self.cluster, lambda c: Not(self.needed(s, d, c))))
        s.js[d] = self.job.WAITING if self.options.grouped else self.job.PENDING

    @action("", "grouped", "ends")
    def group_pending(self, s: State) -> None:
        """The last of the group has copied all: none can fail from here on."""
        s.when(all=self.every(lambda x: s.js[x] == self.job.WAITING))
        s.js[:] = self.job.PENDING

    @action("d", "alone", "auto", "ends")
    def complete(self, s: State, d: Term) -> None:
        """The job ends well."""
        s.when(pending=s.js[d] == self.job.PENDING)
        self.succeed(s, d)

    @action("", "grouped", "auto", "ends")
    def group_complete(self, s: State) -> None:
        """The jobs of the group end well, all at once."""
        s.when(pending=self.every(lambda x: s.js[x] == self.job.PENDING))
        self.succeed(s, ALL)

    @action("d", "manual", "ends")
    def finalize(self, s: State, d: Term) -> None:
        """The client finalizes a pending job, and with it its group."""
        self._asked(s)
        s.when(pending=s.js[d] == self.job.PENDING)
        if self.options.grouped:
            s.when(group=self.every(lambda x: s.js[x] == self.job.PENDING))
        self.succeed(s, ALL if self.options.grouped else d)

    @action("d", "manual")
    def dismiss(self, s: State, d: Term) -> None:
        """The client dismisses a job that is over."""
        self._asked(s)
        s.when(concluded=s.js[d] == self.job.CONCLUDED)
        s.js[d] = self.job.GONE

    @action("", "grouped")
    def group_cancel(self, s: State) -> None:
        """One of the group fails or is cancelled: so are the others."""
        live = "RUNNING PAUSED WAITING PENDING"
        s.when(failed=self.m.any(self.drive, lambda x: s.js[x] == self.job.ABORTING))
        s.when(others=self.m.any(self.drive, lambda x: self.job_is(s, x, live)))
        s.js[:] = lambda x: If(self.job_is(s, x, live), self.job.ABORTING, s.js[x])

    @action("d")
    def abort(self, s: State, d: Term) -> None:
        """The job ends, failed or cancelled, once nothing of it is in flight."""
        s.when(aborting=s.js[d] == self.job.ABORTING, open=Not(s.drained[d]))
        s.when(at_rest=self.at_rest(s, d))
        if self.options.grouped:
            s.when(group=self.every(lambda x: Or(self.job_is(s, x, "ABORTING"), self.over(s, x))))
        self._end(s, d, lambda x: If(s.error[x], self.event.FAILED, self.event.CANCELLED))
        self._keep_bits(s, d)
        if self.options.monitor:
            s.cancelling[d] = False

    def succeed(self, s: State, d: Any) -> None:
        """The job, or all jobs, complete; the bitmap mode says what becomes of the frozen bits."""
        self._end(s, d, lambda _: self.event.COMPLETED)
        if self.options.bitmaps:
            if self.options.bitmap_mode == "never":
                s.dirty[d, :] = lambda x, c: Or(s.dirty[x, c], s.todo[x, c])
            else:
                s.base[d, :] = lambda x, c: self.restored(s, x, c)

    def _keep_bits(self, s: State, d: Any) -> None:
        """What was not backed up is to be backed up next time."""
        if not self.options.bitmaps:
            return
        if self.options.bitmap_mode != "always":
            s.dirty[d, :] = lambda x, c: Or(s.dirty[x, c], s.todo[x, c])
            return
        s.dirty[d, :] = lambda x, c: Or(s.dirty[x, c], self.needed(s, x, c))
        s.base[d, :] = lambda x, c: If(And(s.todo[x, c], s.copied[x, c]), s.tgt[x, c], s.base[x, c])

    def _end(self, s: State, d: Any, event: Any) -> None:
        none = self.event.NO_EVENT
        s.js[d] = self.job.CONCLUDED if self.options.manual else self.job.GONE
        s.final[d] = lambda x: If(s.final[x] == none, event(x), self.event.TWICE)
        s.copied[d, :] = False
