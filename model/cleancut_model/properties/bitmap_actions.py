"""Bitmap actions: what a transaction does to bitmaps beside its backups, and what is undone."""

from cleancut_model.backup import Backup
from cleancut_model.language import State, Term
from cleancut_model.properties import witnesses as seen
from cleancut_model.properties.registry import always, clusters, each_step
from cleancut_model.terms import And, Implies, Not, Or
from cleancut_spec import cites


@always("changes", shown_by=[seen.a_changed_bitmap_is_taken_back])
@cites("BITMAP-TX-1")
def a_failed_transaction_leaves_the_bitmaps(p: Backup, s: State) -> Term:
    """Before and after a transaction, but for one that succeeds, bitmaps are as without it."""
    kind = p.every(lambda d: And(s.there[d] == s.was_there[d], s.on[d] == s.was_on[d]))
    same = And(kind, clusters(p, lambda d, c: s.dirty[d, c] == s.was[d, c]))
    return Implies(Not(p.tx_is(s, "PREPARE ROLLBACK")), same)


@always("changes", shown_by=[seen.a_merge_adds_bits, seen.a_changed_bitmap_is_taken_back])
@cites("BITMAP-TX-1", "BITMAP-OFF-1")
def bitmaps_change_as_asked(p: Backup, s: State) -> Term:
    """Until the first commit a bitmap differs from before by the transaction's action alone."""

    def does(d: Term, name: str) -> Term:
        return s.change[d] == getattr(p.change, name)

    def kind(d: Term) -> Term:
        on = Or(does(d, "ADD"), does(d, "ENABLE"), And(s.was_on[d], Not(does(d, "DISABLE"))))
        return And(s.there[d] == Or(s.was_there[d], does(d, "ADD")), s.on[d] == on)

    def bits(d: Term, c: Term) -> Term:
        merged = Or(s.was[d, c], And(does(d, "MERGE"), s.more[d, c]))
        return s.dirty[d, c] == And(Not(does(d, "CLEAR")), merged)

    return Implies(p.tx_is(s, "PREPARE ROLLBACK"), And(p.every(kind), clusters(p, bits)))


@always("changes", shown_by=[seen.a_new_bitmap_records])
@cites("BITMAP-CUT-1", "BITMAP-CHAIN-1")
def a_bitmap_begins_at_the_cut(p: Backup, s: State) -> Term:
    """A bitmap that was added or cleared beside a backup has the clusters written since the cut.

    It has these and no others, so a full backup and what the bitmap tells restore the drive.
    """

    def begun(d: Term) -> Term:
        new = Or(s.change[d] == p.change.ADD, s.change[d] == p.change.CLEAR)
        return And(p.tx_is(s, "COMMIT DONE"), new, s.on[d])

    return clusters(p, lambda d, c: Implies(begun(d), s.dirty[d, c] == s.since[d, c]))


@each_step("guest_done", needs=("changes",), shown_by=[seen.a_disabled_bitmap_misses_a_write])
@cites("BITMAP-OFF-1")
def only_an_enabled_bitmap_records(p: Backup, s: State, t: State, d: Term, r: Term) -> Term:
    """A guest's write sets the bit of its cluster if the bitmap is enabled, and else none."""

    def recorded(x: Term, c: Term) -> Term:
        here = And(x == d, c == s.gc[d, r], s.on[d])
        return t.dirty[x, c] == Or(s.dirty[x, c], here)

    return clusters(p, recorded)
