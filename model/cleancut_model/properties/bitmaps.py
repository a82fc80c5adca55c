"""Dirty bitmaps: what an incremental backup must copy, and what a chain of backups restores."""

from cleancut_model.backup import Backup
from cleancut_model.language import State, Term
from cleancut_model.properties import witnesses as seen
from cleancut_model.properties.registry import always, clusters, each_step
from cleancut_model.terms import And, Implies, Or
from cleancut_spec import cites


@always("partial", shown_by=[seen.a_bitmap_has_lost_no_bit])
@cites("BITMAP-KEEP-1")
def no_bit_is_lost(p: Backup, s: State) -> Term:
    """Where the drive differs from its earlier backups the bitmap has a bit, or the job has it."""
    alive = p.tx_is(s, "IDLE PREPARE ROLLBACK COMMIT DONE FAILED")

    def has_it(d: Term, c: Term) -> Term:
        frozen = And(p.started(s, d), s.todo[d, c])
        return Or(s.dirty[d, c], frozen) if p.options.bitmaps else s.dirty[d, c]

    return clusters(p, lambda d, c: Implies(And(alive, s.src[d, c] != s.base[d, c]), has_it(d, c)))


@always("clears", shown_by=[seen.a_cleared_bitmap_records])
@cites("BITMAP-CHAIN-1")
def a_cleared_bitmap_begins_at_the_cut(p: Backup, s: State) -> Term:
    """Where a drive has left the cut since its bitmap was cleared with the backup, it has a bit."""
    return clusters(
        p,
        lambda d, c: Implies(And(s.cleared[d], s.src[d, c] != s.cut[d, c]), s.dirty[d, c]),
    )


@each_step(needs=("bitmaps",), shown_by=[seen.a_chain_has_a_link])
@cites("BITMAP-CHAIN-1")
def a_chain_restores_the_cut(p: Backup, s: State, t: State) -> Term:
    """When an incremental backup completes, it and the earlier ones together are the cut."""
    kept = p.options.bitmap_mode == "never"
    return clusters(
        p,
        lambda d, c: Implies(
            And(s.final[d] != t.final[d], t.final[d] == p.event.COMPLETED),
            And(
                p.restored(s, d, c) == s.cut[d, c],
                t.base[d, c] == (s.base[d, c] if kept else s.cut[d, c]),
            ),
        ),
    )


@each_step("abort", needs=("bitmaps",), shown_by=[seen.a_bitmap_has_lost_no_bit])
@cites("BITMAP-KEEP-1")
def a_failed_backup_keeps_its_bits(p: Backup, s: State, t: State) -> Term:
    """After a failure or a cancel the bitmap has all bits that it had, except with mode always."""

    def had(d: Term, c: Term) -> Term:
        return p.needed(s, d, c) if p.options.bitmap_mode == "always" else s.todo[d, c]

    return clusters(
        p,
        lambda d, c: Implies(
            And(s.js[d] == p.job.ABORTING, p.over(t, d), Or(s.dirty[d, c], had(d, c))),
            t.dirty[d, c],
        ),
    )
