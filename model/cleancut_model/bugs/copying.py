"""Bugs of copying: guest writes, copy-before-write, the background copy."""

from typing import Final

from cleancut_model.backup import Backup
from cleancut_model.bugs.bug import CUT, Bug
from cleancut_model.language import Mutation, State, Term


def _loses_the_data(p: Backup, s: State, d: Term, c: Term, **_: Term) -> None:
    s.copied[d, c] = True


def _skips_the_copy(p: Backup, s: State, d: Term, r: Term, **_: Term) -> None:
    s.g[d, r] = p.guest.WRITING


def _writes_first(p: Backup, s: State, d: Term, r: Term, c: Term) -> None:
    s.g[d, r] = p.guest.WRITING


def _goes_past_the_end(p: Backup, s: State, d: Term, r: Term) -> None:
    s.glen[d, r] = p.extent.WHOLE


def _stops_short(p: Backup, s: State, d: Term, w: Term, c: Term) -> None:
    s.blen[d, w] = p.extent.TO_END


BUGS: Final = (
    Bug(
        "past-the-end",
        "copy-before-write of the last cluster goes beyond the drive's end",
        ("no_copy_passes_the_end", "nothing_is_written_beyond_the_end"),
        (Mutation("cbw_claim", (), ("glen",), _goes_past_the_end),),
        "tail",
    ),
    Bug(
        "short-copy",
        "a copy leaves out the end of a cluster that is then marked as copied",
        ("no_copy_passes_the_end", "completed_backups_reach_the_end"),
        (Mutation("copy_claim", (), ("blen",), _stops_short),),
        "tail",
    ),
    Bug(
        "filter-late",
        "a write does not copy first, as if the filter were not there yet",
        CUT,
        (Mutation("guest_start", ("no_copy",)),),
    ),
    Bug(
        "no-wait",
        "a write does not wait for the copy of its cluster that is under way",
        ("requests_take_turns",),
        (
            Mutation("guest_start", ("no_overlap",)),
            Mutation("cbw_claim", ("no_overlap",)),
        ),
    ),
    Bug(
        "copy-over-write",
        "the background copy takes a cluster that copy-before-write holds",
        ("requests_take_turns",),
        (Mutation("copy_claim", ("no_overlap",)),),
    ),
    Bug(
        "copy-twice",
        "the background copies again what a guest write has copied, now with new data",
        ("a_copied_cluster_is_left_alone",),
        (Mutation("copy_claim", ("needed",)),),
    ),
    Bug(
        "hole",
        "a cluster whose write failed is marked as copied",
        ("ignore_leaves_no_hole",),
        (Mutation("fail_copy_write", extra=_loses_the_data),),
    ),
    Bug(
        "lost-write",
        "a guest write whose copy failed is written all the same",
        CUT,
        (Mutation("fail_cbw_write", (), ("g", "gc", "gv", "gbuf"), _skips_the_copy),),
    ),
    Bug(
        "write-before-copy",
        "the guest's write goes on when the old data has been read, not when it is safe",
        CUT,
        (Mutation("cbw_read", extra=_writes_first),),
    ),
    Bug(
        "unwritten",
        "a cluster is marked as copied though nothing reached the target",
        (*CUT, "completed_backups_share_the_cut"),
        (Mutation("copy_write", (), ("tgt",)),),
    ),
    Bug(
        "two-copies",
        "two background copies take the same cluster",
        ("requests_take_turns",),
        (Mutation("copy_claim", ("not_twice",)),),
        "requests",
    ),
    Bug(
        "write-passes-copy",
        "a write does not wait for another one's copy of the same cluster",
        ("writes_wait_for_copies",),
        (
            Mutation("guest_start", ("no_copy_ahead",)),
            Mutation("cbw_claim", ("no_copy_ahead",)),
        ),
        "requests",
    ),
    Bug(
        "broken-but-kept",
        "a guest's write goes on though its copy failed, and the backup still completes",
        (*CUT, "a_broken_snapshot_ends_the_job"),
        (Mutation("fail_cbw_write", (), ("broken", "js", "error")),),
        "break-snapshot",
    ),
)
