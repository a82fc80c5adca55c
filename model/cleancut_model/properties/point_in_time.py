"""One cut, copied before it is overwritten."""

from z3 import And, Implies, Not, Or

from cleancut_model.backup import Backup
from cleancut_model.language import State, Term
from cleancut_model.properties.registry import (
    always,
    clusters,
    each_step,
    enabled,
    tx_is,
)
from cleancut_spec import cites


@always
@cites("PIT-ONE-1", "PIT-ALL-1")
def completed_backups_share_the_cut(p: Backup, s: State) -> Term:
    """Each completed target equals its drive at the one instant of the first commit.

    No action makes the cut: the drives are drained, committed and released one by one.
    """
    return clusters(
        p,
        lambda d, c: Implies(s.final[d] == p.event.COMPLETED, s.tgt[d, c] == s.cut[d, c]),
    )


@each_step("commit")
@cites("PIT-BEFORE-1")
def the_cut_holds_what_was_written_before(p: Backup, s: State, t: State) -> Term:
    """At the first commit the cut is what each drive holds then."""
    return clusters(p, lambda d, c: Implies(tx_is(p, s, "PREPARE"), t.cut[d, c] == s.src[d, c]))


@each_step()
@cites("PIT-AFTER-1", "PIT-ALL-1")
def the_cut_does_not_move(p: Backup, s: State, t: State) -> Term:
    """After the first commit no write changes the cut."""
    return clusters(p, lambda d, c: Implies(tx_is(p, s, "COMMIT DONE"), t.cut[d, c] == s.cut[d, c]))


@always
@cites("CBW-COPY-1")
def old_data_is_somewhere(p: Backup, s: State) -> Term:
    """Where a started job's drive has left the cut, the target holds it."""
    return clusters(
        p,
        lambda d, c: Implies(
            And(p.started(s, d), s.src[d, c] != s.cut[d, c]), s.tgt[d, c] == s.cut[d, c]
        ),
    )


@always
@cites("CBW-PAUSE-1")
def a_paused_job_keeps_the_cut(p: Backup, s: State) -> Term:
    """The same of a job that is paused or pending: its filter does not rest."""
    return clusters(
        p,
        lambda d, c: Implies(
            And(p.job_is(s, d, "PAUSED PENDING"), Not(s.copied[d, c])),
            s.src[d, c] == s.cut[d, c],
        ),
    )


@each_step()
@cites("CBW-ONCE-1")
def a_copied_cluster_is_left_alone(p: Backup, s: State, t: State) -> Term:
    """No step changes a cluster of the target that has been copied."""
    return clusters(p, lambda d, c: Implies(s.copied[d, c], t.tgt[d, c] == s.tgt[d, c]))


@always
@cites("CBW-OVERLAP-1")
def requests_take_turns(p: Backup, s: State) -> Term:
    """No guest write and background copy hold one cluster at once."""
    return p.every(
        lambda d: Not(
            And(
                s.b[d] != p.copy.B_IDLE,
                p.guest_is(s, d, "CBW_READ CBW_WRITE WRITING"),
                s.bc[d] == s.gc[d],
            )
        )
    )


@each_step("fail_cbw_read", "fail_cbw_write")
@cites("CBW-ERROR-1")
def a_refused_write_changes_nothing(p: Backup, s: State, t: State) -> Term:
    """When copy-before-write fails, drive, target and job are as before."""
    return And(
        clusters(
            p,
            lambda d, c: And(
                t.src[d, c] == s.src[d, c],
                t.tgt[d, c] == s.tgt[d, c],
                t.copied[d, c] == s.copied[d, c],
            ),
        ),
        p.every(lambda d: t.js[d] == s.js[d]),
    )


@each_step()
@cites("GUEST-WRITE-1", "EV-SOURCE-1")
def only_guest_writes_change_a_drive(p: Backup, s: State, t: State) -> Term:
    """A drive changes only where its guest's own write ends, and to what that wrote."""
    return clusters(
        p,
        lambda d, c: Or(
            t.src[d, c] == s.src[d, c],
            And(
                s.g[d] == p.guest.WRITING,
                t.g[d] == p.guest.G_IDLE,
                s.gc[d] == c,
                t.src[d, c] == s.gv[d],
            ),
        ),
    )


@each_step("guest_done")
@cites("GUEST-WRITE-1")
def an_ended_write_is_on_the_drive(p: Backup, s: State, t: State) -> Term:
    """A guest write that ends well is what the drive holds."""
    return p.every(
        lambda d: Implies(
            And(s.g[d] == p.guest.WRITING, t.g[d] == p.guest.G_IDLE),
            t.src[d, s.gc[d]] == s.gv[d],
        )
    )


@always
@cites("GUEST-LIVE-1")
def a_guest_request_can_go_on(p: Backup, s: State) -> Term:
    """Unless its drive is drained, a guest's request has a step, or the copy it waits for has."""
    return p.every(
        lambda d: Implies(
            And(s.g[d] != p.guest.G_IDLE, Or(Not(s.drained[d]), Not(p.quiet(s, d)))),
            Or(
                *[enabled(p, s, name, d) for name in ("guest_start", "cbw_claim", "guest_done")],
                *[enabled(p, s, name, d, s.gc[d]) for name in ("cbw_read", "cbw_write")],
                *[enabled(p, s, name, d, s.bc[d]) for name in ("copy_read", "copy_write")],
            ),
        )
    )


@always
@cites("TX-RELEASE-1", "GUEST-LIVE-1")
def a_drain_ends(p: Backup, s: State) -> Term:
    """A drive is drained only while its transaction is under way."""
    return p.every(lambda d: Implies(s.drained[d], tx_is(p, s, "PREPARE ROLLBACK COMMIT")))
