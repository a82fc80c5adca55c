"""Bitmap actions beside the backups: made under the drive's drain, taken back on failure."""

from z3 import If

from cleancut_model.language import State, Term
from cleancut_model.protocol.words import Words, action
from cleancut_model.terms import Implies, Not, Or


class Bitmaps(Words):
    """Each drive has at most one bitmap, and a transaction at most one action for it.

    The action stands in the list before or after the drive's backup.
    """

    def _may_change(self, s: State, d: Term) -> None:
        """The drive is quiet, so no write falls between the change and its undoing."""
        s.when(preparing=s.tx == self.tx.PREPARE, unchanged=self.unchanged(s, d))
        s.when(drained=s.drained[d], quiet=self.quiet(s, d))

    @action("d", "changes")
    def prepare_add(self, s: State, d: Term) -> None:
        """A new bitmap is made, empty and enabled."""
        self._may_change(s, d)
        s.when(absent=Not(s.there[d]))
        s.change[d], s.there[d], s.on[d] = self.change.ADD, True, True

    @action("d", "changes")
    def prepare_clear(self, s: State, d: Term) -> None:
        """The bitmap is cleared, and its bits are kept until the transaction is over."""
        self._may_change(s, d)
        s.when(there=s.there[d])
        s.change[d] = self.change.CLEAR
        s.backup[d, :] = lambda x, c: s.dirty[x, c]
        s.dirty[d, :] = False

    @action("d", "changes")
    def prepare_enable(self, s: State, d: Term) -> None:
        """The bitmap records from here on."""
        self._may_change(s, d)
        s.when(there=s.there[d], off=Not(s.on[d]))
        s.change[d], s.on[d] = self.change.ENABLE, True

    @action("d", "changes")
    def prepare_disable(self, s: State, d: Term) -> None:
        """The bitmap records nothing from here on."""
        self._may_change(s, d)
        s.when(there=s.there[d], on=s.on[d])
        s.change[d], s.on[d] = self.change.DISABLE, False

    @action("d", "changes")
    def prepare_merge(self, s: State, d: Term) -> None:
        """The bits of another bitmap of the drive are added, and its own are kept."""
        self._may_change(s, d)
        s.when(there=s.there[d])
        s.change[d] = self.change.MERGE
        s.backup[d, :] = lambda x, c: s.dirty[x, c]
        s.dirty[d, :] = lambda x, c: Or(s.dirty[x, c], s.more[x, c])

    @action("d", "changes")
    def fail_bitmap(self, s: State, d: Term) -> None:
        """The action is refused: the bitmap is not there, or is there already."""
        self._may_change(s, d)
        s.tx = self.tx.ROLLBACK

    @action("d", "changes")
    def rollback_bitmap(self, s: State, d: Term) -> None:
        """The bitmap is as it was, newest first."""
        later = self.every(lambda x: Implies(self.m.less(d, x), self.unchanged(s, x)))
        s.when(rolling=s.tx == self.tx.ROLLBACK, changed=Not(self.unchanged(s, d)), newest=later)

        def was(name: str) -> Term:
            return s.change[d] == getattr(self.change, name)

        kept = Or(was("CLEAR"), was("MERGE"))
        s.there[d] = If(was("ADD"), False, s.there[d])
        s.on[d] = If(Or(was("ADD"), was("ENABLE")), False, Or(s.on[d], was("DISABLE")))
        s.dirty[d, :] = lambda x, c: If(kept, s.backup[x, c], s.dirty[x, c])
        self.forget(s, "change", d)
        self.forget(s, "backup", d, slice(None))
