"""Deliberate bugs: each a small change of the protocol, and the claims that it breaks.

They are modelled on real ones of this area.
"""

from dataclasses import dataclass
from typing import Final

from cleancut_model.backup import Backup
from cleancut_model.language import Mutation, State, Term


@dataclass(frozen=True, slots=True)
class Bug:
    """A change of the protocol, what went wrong with it in the field, and what it breaks."""

    name: str
    what: str
    breaks: tuple[str, ...]
    mutations: tuple[Mutation, ...]


def _loses_the_data(p: Backup, s: State, d: Term, c: Term, **_: Term) -> None:
    s.copied[d, c] = True


def _skips_the_copy(p: Backup, s: State, d: Term, r: Term, **_: Term) -> None:
    s.g[d, r] = p.guest.WRITING


CUT: Final = (
    "completed_backups_share_the_cut",
    "old_data_is_somewhere",
    "a_reader_sees_the_cut",
)

BUGS: Final[dict[str, Bug]] = {
    bug.name: bug
    for bug in (
        Bug(
            "start-early",
            "a job starts when the first action is prepared, not when all are",
            (
                "none_runs_before_all_are_prepared",
                "a_failed_action_fails_the_transaction",
            ),
            (Mutation("commit", ("ready",)),),
        ),
        Bug(
            "no-drain",
            "a drive is prepared although its guest's write is still in flight",
            CUT,
            (Mutation("prepare", ("quiet",)),),
        ),
        Bug(
            "undrain-early",
            "guests go on as soon as their own drive is committed: no common instant",
            CUT,
            (Mutation("undrain", ("settled", "turn")),),
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
            "leaked-drain",
            "a failed transaction is answered with a drive still drained",
            ("failure_leaves_nothing", "a_drain_ends"),
            (Mutation("refuse", ("released",)),),
        ),
        Bug(
            "late-finish",
            "a job finishes with clusters that are not copied",
            ("completed_backups_share_the_cut",),
            (Mutation("finish", ("all",)),),
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
            "early-event",
            "a job that is cancelled says so while its requests are still in flight",
            ("what_is_gone_is_gone",),
            (Mutation("abort", ("at_rest",)),),
        ),
        Bug(
            "leaked-job",
            "a failed transaction is answered with a job still on its drive",
            ("failure_leaves_nothing", "all_or_nothing"),
            (
                Mutation("rollback", (), ("js",)),
                Mutation("undrain", ("settled",)),
                Mutation("refuse", ("all",)),
            ),
        ),
        Bug(
            "second-event",
            "a job that has completed is cancelled, too",
            ("one_final_event", "what_is_gone_is_gone"),
            (Mutation("force_cancel", ("live",)),),
        ),
    )
}


def mutations(name: str) -> tuple[Mutation, ...]:
    """The changes of a bug; none for the empty name."""
    return BUGS[name].mutations if name else ()
