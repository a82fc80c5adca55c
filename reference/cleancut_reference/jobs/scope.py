"""What of its source a backup copies, and what becomes of the bitmap that says so.

`full` copies all, `top` what the top image holds itself, `bitmap` (and `incremental`) what a dirty
bitmap has, `none` only what guest writes are about to change. A job freezes its bitmap: a successor
records meanwhile, and takes its place if what was frozen is done with. Otherwise both are merged,
so that nothing is lost.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from cleancut_reference.block.dirty_bitmap import (
    DirtyBitmap,
    abdicate,
    check_free,
    check_usable,
    freeze,
    reclaim,
)
from cleancut_reference.block.node import Node
from cleancut_reference.errors import generic
from cleancut_spec import cites

if TYPE_CHECKING:
    from cleancut_reference.jobs.job import Job


class Sync(StrEnum):
    """What is copied."""

    FULL = "full"
    TOP = "top"
    NONE = "none"
    INCREMENTAL = "incremental"
    BITMAP = "bitmap"


class BitmapMode(StrEnum):
    """When what was copied leaves the bitmap."""

    ON_SUCCESS = "on-success"
    NEVER = "never"
    ALWAYS = "always"


@dataclass(frozen=True, slots=True)
class Scope:
    """What a command says of it; `bitmap` is a name."""

    sync: Sync = Sync.FULL
    bitmap: str | None = None
    mode: BitmapMode | None = None

    @property
    def by_bitmap(self) -> bool:
        """Whether only what a bitmap has is copied."""
        return self.sync in (Sync.INCREMENTAL, Sync.BITMAP)

    def of(self, source: Node) -> Scope:
        """The scope for this source: without a backing image the top layer is all of it."""
        if self.sync is Sync.TOP and "backing" not in source.unfiltered.children:
            return Scope(Sync.FULL, self.bitmap, self.mode)
        return self

    @cites("BITMAP-MODE-1")
    def find_bitmap(self, source: Node) -> DirtyBitmap | None:
        """The bitmap, if the scope makes sense for the source; raises QmpError."""
        if self.by_bitmap and self.bitmap is None:
            raise generic(f"must provide a valid bitmap name for '{self.sync}' sync mode")
        if self.sync is Sync.INCREMENTAL and self.mode not in (None, BitmapMode.ON_SUCCESS):
            what = "Bitmap sync mode must be 'on-success' when using sync mode 'incremental'"
            raise generic(what)
        if self.bitmap is None:
            if self.mode is not None:
                raise generic("Cannot specify bitmap sync mode without a bitmap")
            return None
        bitmap = source.bitmap(self.bitmap)
        if bitmap is None:
            raise generic(f"Bitmap '{self.bitmap}' could not be found")
        if self.mode is None and self.sync is not Sync.INCREMENTAL:
            raise generic("Bitmap sync mode must be given when providing a bitmap")
        check_usable(bitmap)
        self._check_use()
        return bitmap

    def _check_use(self) -> None:
        """Refuse a bitmap that would neither be read nor changed; raises QmpError."""
        if self.sync is Sync.NONE:
            raise generic("sync mode 'none' does not produce meaningful bitmap outputs")
        if self.mode is BitmapMode.NEVER and not self.by_bitmap:
            what = "Bitmap sync mode 'never' has no meaningful effect when combined with sync mode"
            raise generic(f"{what} '{self.sync}'")

    def check_bitmap(self, bitmap: DirtyBitmap | None) -> None:
        """Refuse a bitmap that is to be changed and cannot be; raises QmpError."""
        if bitmap is not None and self.mode is not BitmapMode.NEVER:
            check_free(bitmap)

    def clears(self, well: bool) -> bool:
        """Whether a job that ends so takes what it has copied out of the bitmap."""
        return self.mode is BitmapMode.ALWAYS or (well and self.mode is not BitmapMode.NEVER)


def take_bitmap(job: Job, bitmap: DirtyBitmap | None) -> None:
    """The job is made: it freezes its bitmap, and is to copy what the scope says."""
    job.bitmap = bitmap
    if bitmap is None:
        return
    freeze(job.source, bitmap)
    if job.settings.scope.by_bitmap:
        job.copy_only(bitmap.runs())


@cites("BITMAP-KEEP-1", "BITMAP-CHAIN-1")
def release_bitmap(job: Job, well: bool, taken_back: bool = False) -> None:
    """The job is over: what it has not copied is to be copied next time."""
    bitmap, job.bitmap = job.bitmap, None
    if bitmap is None:
        return
    if taken_back or not job.settings.scope.clears(well):
        reclaim(job.source, bitmap)
        return
    successor = abdicate(job.source, bitmap)
    for first, end in [] if well else job.uncopied_runs():
        successor.mark(first, end - first)
