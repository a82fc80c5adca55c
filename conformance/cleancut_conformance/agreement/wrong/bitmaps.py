"""Wrong with dirty bitmaps."""

from cleancut_conformance.agreement.wrong.table import caught_by, replace
from cleancut_reference.actions.bitmap import BitmapAction
from cleancut_reference.block import guest
from cleancut_reference.block.dirty_bitmap import abdicate
from cleancut_reference.jobs import ending
from cleancut_reference.jobs.job import Job


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
