"""Bugs of dirty bitmaps, and of what else tells which clusters are to be copied."""

from typing import Final

from cleancut_model.backup import Backup
from cleancut_model.bugs.bug import ALL, Bug
from cleancut_model.language import Mutation, State, Term
from cleancut_model.terms import And, Implies, Not, Or


def _clears_the_bitmap(p: Backup, s: State, d: Term) -> None:
    s.dirty[d, ALL] = False


def _freezes_the_bitmap(p: Backup, s: State, d: Term) -> None:
    s.todo[d, ALL] = lambda x, c: s.dirty[x, c]
    if p.options.bitmaps:
        s.dirty[d, ALL] = False


def _has_no_bit_for_the_tail(p: Backup, s: State, d: Term, r: Term) -> None:
    c = s.gc[d, r]
    s.dirty[d, c] = Or(s.dirty[d, c], Not(s.tail[d, c]))


def _records_all(p: Backup, s: State, d: Term, r: Term) -> None:
    s.dirty[d, s.gc[d, r]] = True


def _replaces_the_bits(p: Backup, s: State, d: Term) -> None:
    s.dirty[d, ALL] = lambda x, c: s.more[x, c]


def _skips_what_follows(p: Backup, s: State, d: Term) -> None:
    def all_before(x: Term, c: Term) -> Term:
        return p.m.all(p.cluster, lambda y: Implies(p.m.less(y, c), s.dirty[x, y]))

    s.todo[d, ALL] = lambda x, c: And(s.dirty[x, c], all_before(x, c))


BUGS: Final = (
    Bug(
        "top-by-the-first",
        "clusters of the top layer are skipped because one before them is not in it",
        ("completed_backups_share_the_cut",),
        (Mutation("commit", extra=_skips_what_follows),),
        "top",
    ),
    Bug(
        "bitmap-not-restored",
        "a failed transaction leaves the bitmap cleared that one of its actions has cleared",
        ("a_failed_transaction_leaves_the_bitmaps", "bitmaps_change_as_asked"),
        (Mutation("rollback_bitmap", (), ("dirty",)),),
        "bitmap-actions",
    ),
    Bug(
        "bitmap-changed-early",
        "a bitmap is cleared before the drive is quiet: a failure undoes the writes since, too",
        ("bitmaps_change_as_asked", "a_failed_transaction_leaves_the_bitmaps"),
        (Mutation("prepare_clear", ("drained", "quiet")),),
        "bitmap-actions",
    ),
    Bug(
        "disabled-records",
        "a disabled bitmap goes on recording",
        ("only_an_enabled_bitmap_records",),
        (Mutation("guest_done", extra=_records_all),),
        "bitmap-actions",
    ),
    Bug(
        "merge-replaces",
        "a merge puts the bits of the other bitmap in place of the own ones",
        ("bitmaps_change_as_asked",),
        (Mutation("prepare_merge", extra=_replaces_the_bits),),
        "bitmap-actions",
    ),
    Bug(
        "tail-not-recorded",
        "the bitmap's length is rounded down: it has no bit for the partial last cluster",
        ("no_bit_is_lost",),
        (Mutation("guest_done", (), ("dirty",), _has_no_bit_for_the_tail),),
        "tail",
    ),
    Bug(
        "bits-thrown-away",
        "a backup that fails takes the bits of its bitmap with it",
        ("no_bit_is_lost", "a_failed_backup_keeps_its_bits"),
        (Mutation("abort", (), ("dirty",)),),
        "incremental",
    ),
    Bug(
        "bitmap-cleared-late",
        "the bitmap is cleared when the backup completes: writes since the cut are forgotten",
        ("no_bit_is_lost",),
        (Mutation("complete", extra=_clears_the_bitmap),),
        "incremental",
    ),
    Bug(
        "bitmap-before-drain",
        "the bitmap is frozen before the drive is quiet",
        ("no_bit_is_lost", "completed_backups_share_the_cut", "a_chain_restores_the_cut"),
        (
            Mutation("drain", extra=_freezes_the_bitmap),
            Mutation("commit", (), ("todo", "dirty")),
        ),
        "incremental",
    ),
    Bug(
        "bitmap-trusted",
        "after a crash the bitmap of an unfinished backup is taken as it is on disk",
        ("no_bit_is_lost",),
        (Mutation("restart", (), ("dirty",)),),
        "death",
    ),
    Bug(
        "cleared-late",
        "guests go on before the bitmaps that begin at the cut are cleared",
        ("a_cleared_bitmap_begins_at_the_cut",),
        (Mutation("undrain", ("bitmaps",)), Mutation("reply", ("bitmaps",))),
        "clear",
    ),
    Bug(
        "top-too-early",
        "which clusters the top layer has is asked before the drive is quiet",
        ("completed_backups_share_the_cut",),
        (Mutation("drain", extra=_freezes_the_bitmap), Mutation("commit", (), ("todo",))),
        "top",
    ),
)
