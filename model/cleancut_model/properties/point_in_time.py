"""One cut, copied before it is overwritten."""

from cleancut_model.backup import Backup
from cleancut_model.language import State, Term
from cleancut_model.properties import witnesses as seen
from cleancut_model.properties.registry import (
    always,
    clusters,
    copies,
    each_step,
    enabled,
    intact,
    requests,
)
from cleancut_model.terms import And, Implies, Not, Or
from cleancut_spec import cites


@always(shown_by=[seen.a_completed_backup_differs_from_its_drive])
@cites("PIT-ONE-1", "PIT-ALL-1", "PIT-BEFORE-1", "PIT-AFTER-1", "SYNC-TOP-1")
def completed_backups_share_the_cut(p: Backup, s: State) -> Term:
    """Each completed target, with what lies below it, is its drive at the first commit.

    That comes after the command and before the reply. No action makes the cut: the drives are
    drained, committed and released one by one.
    """
    return clusters(
        p,
        lambda d, c: Implies(s.final[d] == p.event.COMPLETED, p.restored(s, d, c) == s.cut[d, c]),
    )


@each_step("commit", shown_by=[seen.a_write_is_in_the_cut])
@cites("PIT-BEFORE-1")
def the_cut_holds_what_was_written_before(p: Backup, s: State, t: State) -> Term:
    """At the first commit the cut is what each drive holds then."""
    return clusters(p, lambda d, c: Implies(p.tx_is(s, "PREPARE"), t.cut[d, c] == s.src[d, c]))


@each_step(shown_by=[seen.a_drive_leaves_the_cut])
@cites("PIT-AFTER-1", "PIT-ALL-1")
def the_cut_does_not_move(p: Backup, s: State, t: State) -> Term:
    """After the first commit no write changes the cut."""
    return clusters(p, lambda d, c: Implies(p.tx_is(s, "COMMIT DONE"), t.cut[d, c] == s.cut[d, c]))


@always(shown_by=[seen.a_drive_leaves_the_cut])
@cites("CBW-COPY-1")
def old_data_is_somewhere(p: Backup, s: State) -> Term:
    """Where a started job's drive has left the cut, the target holds it."""
    return clusters(
        p,
        lambda d, c: Implies(
            And(p.started(s, d), intact(p, s, d), p.kept(s, d, c), s.src[d, c] != s.cut[d, c]),
            s.tgt[d, c] == s.cut[d, c],
        ),
    )


@always(shown_by=[seen.a_paused_job_copies_before_a_write])
@cites("CBW-PAUSE-1", "SYNC-NONE-1")
def a_reader_sees_the_cut(p: Backup, s: State) -> Term:
    """While the filter stands, paused or not, what is not copied is still on the drive."""
    return clusters(
        p,
        lambda d, c: Implies(
            And(p.job_is(s, d, "RUNNING PAUSED WAITING PENDING"), p.needed(s, d, c)),
            s.src[d, c] == s.cut[d, c],
        ),
    )


@each_step(shown_by=[seen.a_drive_leaves_the_cut])
@cites("CBW-ONCE-1")
def a_copied_cluster_is_left_alone(p: Backup, s: State, t: State) -> Term:
    """No step changes a cluster of the target that has been copied."""
    return clusters(p, lambda d, c: Implies(s.copied[d, c], t.tgt[d, c] == s.tgt[d, c]))


@each_step(needs=("partial",), shown_by=[seen.a_cluster_is_left_below])
@cites("SYNC-TOP-1", "BITMAP-COPY-1")
def nothing_else_is_copied(p: Backup, s: State, t: State) -> Term:
    """With sync top, or by a bitmap, no other cluster of the target changes."""
    return clusters(
        p,
        lambda d, c: Implies(And(p.started(s, d), Not(s.todo[d, c])), t.tgt[d, c] == s.tgt[d, c]),
    )


@always("sync=none", shown_by=[seen.a_write_was_copied_first])
@cites("SYNC-NONE-1")
def sync_none_copies_only_before_writes(p: Backup, s: State) -> Term:
    """With sync none there is no background copy, and no end but by cancel or error."""
    return And(
        copies(p, lambda d, w: s.b[d, w] == p.copy.B_IDLE),
        p.every(lambda d: Not(p.job_is(s, d, "WAITING PENDING"))),
        p.every(lambda d: s.final[d] != p.event.COMPLETED),
    )


@always(shown_by=[seen.a_write_waits_for_a_copy, seen.a_copy_waits_for_a_write])
@cites("CBW-OVERLAP-1")
def requests_take_turns(p: Backup, s: State) -> Term:
    """No guest write and background copy hold one cluster at once, nor two copies."""

    def busy(d: Term, w: Term) -> Term:
        return s.b[d, w] != p.copy.B_IDLE

    return And(
        p.m.all(
            p.drive,
            p.worker,
            p.request,
            lambda d, w, r: Not(And(busy(d, w), p.holds(s, d, r, s.bc[d, w]))),
        ),
        p.m.all(
            p.drive,
            p.worker,
            p.worker,
            lambda d, w, x: Not(And(w != x, busy(d, w), p.copies(s, d, x, s.bc[d, w]))),
        ),
    )


@always(shown_by=[seen.a_write_waits_for_another])
@cites("CBW-OVERLAP-1")
def writes_wait_for_copies(p: Backup, s: State) -> Term:
    """While one guest request copies a cluster, no other holds it."""
    return p.m.all(
        p.drive,
        p.request,
        p.request,
        lambda d, r, x: Not(And(r != x, p.in_cbw(s, d, r), p.holds(s, d, x, s.gc[d, r]))),
    )


@each_step("fail_cbw_read", "fail_cbw_write", shown_by=[seen.a_write_meets_a_job_with_errors])
@cites("CBW-ERROR-1")
def a_refused_write_changes_nothing(p: Backup, s: State, t: State) -> Term:
    """When copy-before-write fails, drive and target are as before, and so is the job."""
    same = clusters(
        p,
        lambda d, c: And(
            t.src[d, c] == s.src[d, c],
            t.tgt[d, c] == s.tgt[d, c],
            t.copied[d, c] == s.copied[d, c],
        ),
    )
    if p.options.breaks:
        return same
    return And(same, p.every(lambda d: t.js[d] == s.js[d]))


@each_step(
    "fail_cbw_read", "fail_cbw_write", needs=("breaks",), shown_by=[seen.a_backup_is_given_up]
)
@cites("CBW-ERROR-1")
def a_broken_snapshot_ends_the_job(p: Backup, s: State, t: State) -> Term:
    """If the guest's write goes on where its copy failed, the backup ends with an error."""
    return p.every(
        lambda d: Implies(
            And(t.broken[d], p.job_is(s, d, "RUNNING PAUSED"), Not(s.broken[d])),
            And(p.job_is(t, d, "ABORTING"), t.error[d] == p.to_blame(s)),
        )
    )


@each_step(shown_by=[seen.a_drive_leaves_the_cut, seen.a_drive_is_written_after_its_job])
@cites("GUEST-WRITE-1", "EV-SOURCE-1")
def only_guest_writes_change_a_drive(p: Backup, s: State, t: State) -> Term:
    """A drive changes only where its guest's own write ends, and to what that wrote."""
    return clusters(
        p,
        lambda d, c: Or(
            t.src[d, c] == s.src[d, c],
            p.m.any(
                p.request,
                lambda r: And(
                    s.g[d, r] == p.guest.WRITING,
                    t.g[d, r] == p.guest.G_IDLE,
                    s.gc[d, r] == c,
                    t.src[d, c] == s.gv[d, r],
                ),
            ),
        ),
    )


@each_step("guest_done", shown_by=[seen.a_write_is_in_the_cut, seen.a_drive_leaves_the_cut])
@cites("GUEST-WRITE-1")
def an_ended_write_is_on_the_drive(p: Backup, s: State, t: State) -> Term:
    """A guest write that ends well is what the drive holds."""
    return requests(
        p,
        lambda d, r: Implies(
            And(s.g[d, r] == p.guest.WRITING, t.g[d, r] == p.guest.G_IDLE),
            t.src[d, s.gc[d, r]] == s.gv[d, r],
        ),
    )


@always(implied=True, shown_by=[seen.a_write_waits_for_a_copy])
@cites("GUEST-LIVE-1")
def a_guest_request_can_go_on(p: Backup, s: State) -> Term:
    """A guest's request has a step, or waits for a drain or for a copy that has one."""
    return requests(
        p,
        lambda d, r: Implies(
            And(s.g[d, r] != p.guest.G_IDLE, Not(And(s.drained[d], s.g[d, r] == p.guest.ARRIVED))),
            Or(_steps(p, s, d, r), _waits_for_a_copy(p, s, d, s.gc[d, r])),
        ),
    )


def _steps(p: Backup, s: State, d: Term, r: Term) -> Term:
    """The guest's request has a step of its own."""
    plain = [enabled(p, s, name, d, r) for name in ("guest_start", "cbw_claim", "guest_done")]
    copying = [enabled(p, s, name, d, r, s.gc[d, r]) for name in ("cbw_read", "cbw_write")]
    return Or(*plain, *copying)


def _waits_for_a_copy(p: Backup, s: State, d: Term, c: Term) -> Term:
    """The cluster is being copied, and that copy has a step."""

    def of_worker(w: Term) -> Term:
        steps = [enabled(p, s, name, d, w, c) for name in ("copy_read", "copy_write")]
        return And(p.copies(s, d, w, c), Or(*steps))

    def of_request(x: Term) -> Term:
        steps = [enabled(p, s, name, d, x, c) for name in ("cbw_read", "cbw_write")]
        return And(p.holds(s, d, x, c), Or(*steps))

    return Or(p.m.any(p.worker, of_worker), p.m.any(p.request, of_request))


@always(implied=True, shown_by=[seen.a_guest_waits_for_a_drain])
@cites("TX-RELEASE-1", "GUEST-LIVE-1")
def a_drain_ends(p: Backup, s: State) -> Term:
    """A drive is drained only while its transaction is under way."""
    return p.every(lambda d: Implies(s.drained[d], p.tx_is(s, "PREPARE ROLLBACK COMMIT")))
