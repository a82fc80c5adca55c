"""Wrong with dirty bitmaps."""

from typing import Any

from cleancut_conformance.agreement.wrong.table import caught_by, mutates, no_case, replace
from cleancut_reference import transaction
from cleancut_reference.actions.bitmap import BitmapAction
from cleancut_reference.arithmetic import cluster_span
from cleancut_reference.block import guest
from cleancut_reference.block.dirty_bitmap import DirtyBitmap, abdicate
from cleancut_reference.jobs import ending
from cleancut_reference.jobs.job import Job
from cleancut_reference.jobs.scope import release_bitmap


@mutates("bits-thrown-away")
@caught_by("bitmaps/cancelled", "BITMAP-KEEP-1")
def forgets_what_it_has_frozen() -> None:
    """An incremental backup that fails takes its bits with it."""

    def wrong(job: Job, well: bool, taken_back: bool = False) -> None:
        bitmap, job.bitmap = job.bitmap, None
        if bitmap is not None:
            abdicate(job.source, bitmap)

    replace(ending, "release_bitmap", wrong)


@caught_by("bitmaps/chain", "BITMAP-CHAIN-1")
def copies_too_much() -> None:
    """A backup by bitmap copies the whole drive."""
    replace(Job, "copy_only", lambda self, runs: None)


@caught_by("bitmaps/undone", "BITMAP-TX-1")
def keeps_what_a_bitmap_action_did() -> None:
    """A failed transaction leaves bitmaps cleared."""
    replace(BitmapAction, "roll_back", lambda self, state: None)


@caught_by("bitmaps/disabled", "BITMAP-OFF-1")
def records_nothing() -> None:
    """No write reaches a bitmap."""
    replace(guest, "record", lambda node, offset_bytes, length_bytes: None)


# ---- bugs of the model


@mutates("bitmap-not-restored")
@caught_by("bitmaps/undone", "BITMAP-TX-1")
def restores_no_bits() -> None:
    """A failed transaction takes back that a bitmap is there, and not what was in it."""
    right = BitmapAction._roll_back

    def wrong(self: BitmapAction, outcome: Any) -> Any:
        if self.before is not None and self.before.bitmap is not None:
            self.before.bits = bytes(self.before.bitmap.bits)
        return right(self, outcome)

    replace(BitmapAction, "_roll_back", wrong)


@mutates("bitmap-changed-early", refuse_next=True)
@no_case("a client cannot put a write between the steps of a transaction")
def changes_bitmaps_undrained() -> None:
    """A bitmap is changed before its drive is quiet."""
    right = transaction.Transaction._prepare_next

    def wrong(self: transaction.Transaction, state: Any, action: Any) -> Any:
        if isinstance(action, BitmapAction):
            return self._or_fail(state, action, action.prepare(state))
        return right(self, state, action)

    replace(transaction.Transaction, "_prepare_next", wrong)


@mutates(
    "disabled-records",
    no_replay="the model's run writes to a drive without a bitmap, of which the engine has no bits",
)
@caught_by("bitmaps/disabled", "BITMAP-OFF-1")
def records_disabled() -> None:
    """A disabled bitmap goes on recording."""

    def wrong(node: Any, offset_bytes: int, length_bytes: int) -> None:
        for each in node.same_bytes():
            for bitmap in each.bitmaps:
                bitmap.mark(offset_bytes, length_bytes)

    replace(guest, "record", wrong)


@mutates("merge-replaces")
@caught_by("bitmaps/merge", "BITMAP-TX-1")
def merges_by_replacing() -> None:
    """A merge puts the bits of the other bitmap in place of the own ones."""
    right = DirtyBitmap.merge

    def wrong(self: DirtyBitmap, other: DirtyBitmap) -> None:
        if other is not self.successor:
            self.clear()
        right(self, other)

    replace(DirtyBitmap, "merge", wrong)


@mutates("tail-not-recorded")
@caught_by("bitmaps/partial-last-cluster", "BITMAP-KEEP-1")
def records_no_tail() -> None:
    """A bitmap has no bit for the partial last cluster."""

    def wrong(self: DirtyBitmap, offset_bytes: int, length_bytes: int) -> None:
        first, end = cluster_span(offset_bytes, length_bytes, self.granularity_bytes)
        end = min(end, self.size_bytes // self.granularity_bytes)
        self.bits[first:end] = b"\1" * max(0, end - first)

    replace(DirtyBitmap, "mark", wrong)


@mutates("bitmap-cleared-late")
@caught_by("bitmaps/modes", "BITMAP-MODE-1")
def clears_at_the_end() -> None:
    """The bitmap is cleared when the backup completes, with what was written since the cut."""
    right = release_bitmap

    def wrong(job: Job, well: bool, taken_back: bool = False) -> None:
        name = job.bitmap.name if job.bitmap else ""
        right(job, well, taken_back)
        bitmap = job.source.bitmap(name)
        if well and bitmap is not None:
            bitmap.clear()

    replace(ending, "release_bitmap", wrong)
