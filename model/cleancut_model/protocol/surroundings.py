"""What surrounds a transaction: other jobs, a client that leaves, a process that dies."""

from cleancut_model.language import State, Term
from cleancut_model.protocol.transaction import Transaction
from cleancut_model.protocol.words import action
from cleancut_model.terms import Not


class Surroundings(Transaction):
    """Events that the transaction does not cause."""

    @action("d", "busy")
    def other_start(self, s: State, d: Term) -> None:
        """Another command starts a job on the drive."""
        self.alive(s)
        s.when(free=Not(s.busy[d]), no_job=Not(self.active(s, d)), open=Not(s.drained[d]))
        s.busy[d] = True

    @action("d", "busy")
    def other_end(self, s: State, d: Term) -> None:
        """That job ends."""
        s.when(busy=s.busy[d])
        s.busy[d] = False

    @action("", "leaves")
    def disconnect(self, s: State) -> None:
        """The client goes; what it has started goes on."""
        s.when(connected=s.connected)
        s.connected = False

    @action("", "leaves")
    def reconnect(self, s: State) -> None:
        """The client is back."""
        self.alive(s)
        s.when(gone=Not(s.connected))
        s.connected = True

    @action("", "dies")
    def die(self, s: State) -> None:
        """The process ends: only what is on the disks is left, and no connection."""
        self.alive(s)
        s.tx = self.tx.DEAD
        if self.options.leaves:
            s.connected = False
        everywhere = slice(None)
        self.forget(
            s, "js drained error busy broken cleared change there on cancelling", everywhere
        )
        self.forget(s, "g gc gv gbuf glen b bc bbuf blen copied backup", everywhere, everywhere)
        if self.options.changes:  # these bitmaps are in memory only
            self.forget(s, "was_there was_on", everywhere)
            self.forget(s, "dirty was", everywhere, everywhere)

    @action("", "dies", "repeats")
    def restart(self, s: State) -> None:
        """A new process begins; a bitmap that was in use is not trusted, so all is dirty."""
        s.when(dead=s.tx == self.tx.DEAD)
        self._clear(s)
        if self.options.bitmaps or self.options.clears:
            s.dirty[:, :] = True
