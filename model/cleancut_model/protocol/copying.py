"""The background copy: reads and writes of clusters, several at once, each of which may fail."""

from z3 import BoolVal, If

from cleancut_model.language import State, Term
from cleancut_model.protocol.guest import Guest
from cleancut_model.protocol.words import action
from cleancut_model.terms import And, Not


class Copying(Guest):
    """What a running job does by itself."""

    @action("dwc", "ends")
    def copy_claim(self, s: State, d: Term, w: Term, c: Term) -> None:
        """A running job takes a cluster that nobody has copied or is copying."""
        s.when(running=s.js[d] == self.job.RUNNING, open=Not(s.drained[d]))
        s.when(idle=s.b[d, w] == self.copy.B_IDLE, needed=self.needed(s, d, c))
        s.when(no_overlap=self.each_request(lambda r: Not(self.holds(s, d, r, c))))
        s.when(not_twice=self.each_worker(lambda x: Not(And(x != w, self.copies(s, d, x, c)))))
        s.b[d, w], s.bc[d, w] = self.copy.READ, c
        if self.options.tail:
            s.blen[d, w] = self.length(s, d, c)

    @action("dwc", "ends")
    def copy_read(self, s: State, d: Term, w: Term, c: Term) -> None:
        """The cluster has been read; requests in flight finish whatever the job does."""
        s.when(reading=s.b[d, w] == self.copy.READ, cluster=s.bc[d, w] == c)
        s.b[d, w], s.bbuf[d, w] = self.copy.WRITE, s.src[d, c]

    @action("dwc", "ends")
    def copy_write(self, s: State, d: Term, w: Term, c: Term) -> None:
        """The cluster is on the target."""
        s.when(writing=s.b[d, w] == self.copy.WRITE, cluster=s.bc[d, w] == c)
        s.tgt[d, c], s.copied[d, c] = s.bbuf[d, w], True
        if self.options.tail:
            self.reaches(s, d, c, s.blen[d, w])
        self.forget(s, "b bc bbuf blen", d, w)

    @action("dwce", "ends")
    def fail_copy_read(self, s: State, d: Term, w: Term, c: Term, e: Term) -> None:
        """The read fails; the cluster stays to be copied, and the source's policy decides."""
        s.when(reading=s.b[d, w] == self.copy.READ, cluster=s.bc[d, w] == c)
        self.fail_copy(s, d, w, e, self.options.on_source_error)

    @action("dwce", "ends")
    def fail_copy_write(self, s: State, d: Term, w: Term, c: Term, e: Term) -> None:
        """The write fails; the same, and the target's policy decides."""
        s.when(writing=s.b[d, w] == self.copy.WRITE, cluster=s.bc[d, w] == c)
        self.fail_copy(s, d, w, e, self.options.on_target_error)

    def fail_copy(self, s: State, d: Term, w: Term, e: Term, policy: str) -> None:
        """What a policy does about an error: nothing, or it pauses the job, or ends it."""
        self.spend_error(s, d)
        self.forget(s, "b bc bbuf blen", d, w)
        if policy == "ignore":
            return
        hit, stops = self.job_is(s, d, "RUNNING PAUSED"), self.stops(policy, e)
        s.js[d] = If(hit, If(stops, self.job.PAUSED, self.job.ABORTING), s.js[d])
        self.blame(s, d, And(hit, Not(stops)))

    def stops(self, policy: str, e: Term) -> Term:
        """Whether a policy pauses the job for this errno; otherwise it ends it."""
        if policy in ("enospc", "auto"):
            return self.no_space(e)
        return BoolVal(policy == "stop")
