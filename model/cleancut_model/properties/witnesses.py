"""Where runs may end, and what must be reachable."""

from collections.abc import Callable

from cleancut_model.backup import Backup
from cleancut_model.language import State, Term
from cleancut_model.properties.registry import sometimes
from cleancut_model.terms import And, Not, Or


def ended(p: Backup, s: State) -> Term:
    """Where a run may stop: the transaction is over, no job is left, no guest waits."""
    jobs = p.every(lambda d: p.job_is(s, d, "NONE GONE"))
    guests = p.m.all(p.drive, p.request, lambda d, r: s.g[d, r] == p.guest.G_IDLE)
    over = And(p.tx_is(s, "DONE FAILED"), jobs, guests)
    return Or(over, p.tx_is(s, "DEAD"))


def waits(p: Backup, s: State) -> Term:
    """Where only the client can go on: before the transaction, and with a job that is its turn."""
    its_turn = "PAUSED CONCLUDED"
    if p.options.manual:
        its_turn += " PENDING"
    if not p.options.ends:
        its_turn += " RUNNING"
    waiting = p.m.any(p.drive, lambda d: p.job_is(s, d, its_turn))
    return Or(s.tx == p.tx.IDLE, waiting)


def _some(p: Backup, body: Callable[[Term], Term]) -> Term:
    """For some drive."""
    return p.m.any(p.drive, body)


def _some_cluster(p: Backup, body: Callable[[Term, Term], Term]) -> Term:
    """For some cluster of some drive."""
    return p.m.any(p.drive, p.cluster, body)


def _some_request(p: Backup, body: Callable[[Term, Term], Term]) -> Term:
    """For some guest request of some drive."""
    return p.m.any(p.drive, p.request, body)


@sometimes("ends")
def both_complete(p: Backup, s: State) -> Term:
    """Every backup completes."""
    return p.every(lambda d: s.final[d] == p.event.COMPLETED)


@sometimes(drives=2)
def a_transaction_fails_late(p: Backup, s: State) -> Term:
    """A transaction fails when some action has been prepared."""
    created = p.m.any(p.drive, lambda d: s.js[d] == p.job.CREATED)
    return And(p.tx_is(s, "ROLLBACK"), created)


@sometimes()
def a_guest_waits_for_a_drain(p: Backup, s: State) -> Term:
    """A guest's write waits for the end of the drain."""
    return p.m.any(
        p.drive,
        p.request,
        lambda d, r: And(s.drained[d], s.g[d, r] == p.guest.ARRIVED, p.tx_is(s, "COMMIT")),
    )


@sometimes()
def a_drive_leaves_the_cut(p: Backup, s: State) -> Term:
    """A guest changes a drive while its job still copies."""
    return p.m.any(
        p.drive,
        p.cluster,
        lambda d, c: And(s.js[d] == p.job.RUNNING, s.src[d, c] != s.cut[d, c]),
    )


@sometimes(drives=2)
def one_runs_while_the_other_is_drained(p: Backup, s: State) -> Term:
    """A job has started while another drive of its transaction is still drained."""
    return p.m.any(
        p.drive,
        p.drive,
        lambda d, x: And(s.js[d] == p.job.RUNNING, s.drained[x], p.m.less(d, x)),
    )


@sometimes()
def a_job_runs_after_the_reply(p: Backup, s: State) -> Term:
    """A transaction has succeeded, and a job of it runs."""
    return And(p.tx_is(s, "DONE"), _some(p, lambda d: s.js[d] == p.job.RUNNING))


@sometimes()
def a_guest_writes_after_a_failure(p: Backup, s: State) -> Term:
    """A guest's write is on its way to a drive after the transaction has failed."""
    return And(p.tx_is(s, "FAILED"), _some_request(p, lambda d, r: s.g[d, r] == p.guest.WRITING))


@sometimes("repeats")
def an_earlier_backup_survives_a_failure(p: Backup, s: State) -> Term:
    """A transaction has failed whose target holds an earlier backup."""
    return And(p.tx_is(s, "FAILED"), _some_cluster(p, lambda d, c: s.tgt[d, c] != p.value.zero))


@sometimes()
def a_drain_waits_for_a_write(p: Backup, s: State) -> Term:
    """A drive is being prepared while a guest's write is in flight."""
    return And(p.tx_is(s, "PREPARE"), _some(p, lambda d: And(s.drained[d], Not(p.quiet(s, d)))))


@sometimes()
def a_write_is_in_the_cut(p: Backup, s: State) -> Term:
    """The cut holds what a guest has written before."""
    return And(p.tx_is(s, "DONE"), _some_cluster(p, lambda d, c: s.cut[d, c] != p.value.zero))


@sometimes("ends")
def a_completed_backup_differs_from_its_drive(p: Backup, s: State) -> Term:
    """A guest has changed a drive since the cut of a backup that has completed."""
    done = p.event.COMPLETED
    return _some_cluster(p, lambda d, c: And(s.final[d] == done, s.src[d, c] != s.cut[d, c]))


@sometimes("partial")
def a_cluster_is_left_below(p: Backup, s: State) -> Term:
    """A job runs that leaves a cluster to what lies below its target."""
    return _some_cluster(p, lambda d, c: And(s.js[d] == p.job.RUNNING, Not(s.todo[d, c])))


# ---- requests that meet


@sometimes()
def a_write_was_copied_first(p: Backup, s: State) -> Term:
    """A guest's write goes to the drive of a running job, and the old cluster is safe."""

    def safe(d: Term, r: Term) -> Term:
        writing = And(s.js[d] == p.job.RUNNING, s.g[d, r] == p.guest.WRITING)
        return And(writing, s.copied[d, s.gc[d, r]])

    return _some_request(p, safe)


@sometimes("control")
def a_paused_job_copies_before_a_write(p: Backup, s: State) -> Term:
    """A guest's write copies first although the job is paused."""
    return _some_request(p, lambda d, r: And(s.js[d] == p.job.PAUSED, p.in_cbw(s, d, r)))


@sometimes("ends")
def a_write_waits_for_a_copy(p: Backup, s: State) -> Term:
    """A guest's write waits for the background copy of its cluster."""

    def waits(d: Term, r: Term) -> Term:
        arrived = And(s.g[d, r] == p.guest.ARRIVED, Not(s.drained[d]))
        return And(arrived, p.m.any(p.worker, lambda w: p.copies(s, d, w, s.gc[d, r])))

    return _some_request(p, waits)


@sometimes(requests=2)
def a_write_waits_for_another(p: Backup, s: State) -> Term:
    """A guest's write waits for another one that copies the same cluster first."""

    def waits(d: Term, r: Term, x: Term) -> Term:
        arrived = And(s.g[d, r] == p.guest.ARRIVED, Not(s.drained[d]))
        return And(arrived, p.in_cbw(s, d, x), s.gc[d, x] == s.gc[d, r])

    return p.m.any(p.drive, p.request, p.request, waits)


@sometimes("ends")
def a_copy_waits_for_a_write(p: Backup, s: State) -> Term:
    """A running job still needs a cluster that a guest's write is copying."""

    def waits(d: Term, r: Term) -> Term:
        running = And(s.js[d] == p.job.RUNNING, Not(s.drained[d]))
        return And(running, p.in_cbw(s, d, r), p.needed(s, d, s.gc[d, r]))

    return _some_request(p, waits)


@sometimes("errors")
def a_write_meets_a_job_with_errors(p: Backup, s: State) -> Term:
    """A guest's write copies first, and that may fail."""
    return _some_request(p, lambda d, r: And(p.in_cbw(s, d, r), s.errors_left[d] > 0))


@sometimes("breaks", "errors")
def a_backup_is_given_up(p: Backup, s: State) -> Term:
    """A job ends because a guest's write went on without its copy."""
    return _some(p, lambda d: And(s.broken[d], s.js[d] == p.job.ABORTING))


@sometimes("tail", "ends")
def a_tail_is_copied(p: Backup, s: State) -> Term:
    """A backup has completed of which the partial last cluster is a part."""
    return _some_cluster(
        p,
        lambda d, c: And(
            s.final[d] == p.event.COMPLETED, s.tail[d, c], s.reach[d, c] == p.extent.TO_END
        ),
    )


@sometimes("tail")
def a_tail_is_copied_before_a_write(p: Backup, s: State) -> Term:
    """A guest's write to the partial last cluster copies it first."""
    return _some_request(p, lambda d, r: And(p.in_cbw(s, d, r), s.tail[d, s.gc[d, r]]))


# ---- jobs


@sometimes("control")
def a_job_is_cancelled(p: Backup, s: State) -> Term:
    """A job has been cancelled."""
    return _some(p, lambda d: s.final[d] == p.event.CANCELLED)


@sometimes("errors", "ends", "fails")
def a_job_fails(p: Backup, s: State) -> Term:
    """A job has failed."""
    return _some(p, lambda d: s.final[d] == p.event.FAILED)


@sometimes("control")
def a_job_ends_with_requests_in_flight(p: Backup, s: State) -> Term:
    """A job that is to end waits for its requests in flight."""
    return _some(p, lambda d: And(s.js[d] == p.job.ABORTING, Not(p.at_rest(s, d))))


@sometimes()
def a_drive_is_written_after_its_job(p: Backup, s: State) -> Term:
    """A guest's write is on its way to a drive whose job is over."""
    return _some_request(p, lambda d, r: And(p.over(s, d), s.g[d, r] == p.guest.WRITING))


@sometimes("manual", "ends")
def a_guest_writes_while_a_job_is_pending(p: Backup, s: State) -> Term:
    """A guest's write is on its way to a drive whose job waits to be finalized."""
    return _some_request(
        p, lambda d, r: And(s.js[d] == p.job.PENDING, s.g[d, r] == p.guest.WRITING)
    )


@sometimes("control")
def a_paused_job_has_more_to_copy(p: Backup, s: State) -> Term:
    """A job is paused, at rest, and has not copied all."""
    return _some_cluster(
        p, lambda d, c: And(s.js[d] == p.job.PAUSED, p.at_rest(s, d), p.needed(s, d, c))
    )


@sometimes("control")
def a_paused_job_has_copied(p: Backup, s: State) -> Term:
    """A job is paused that has copied something."""
    return _some_cluster(p, lambda d, c: And(s.js[d] == p.job.PAUSED, s.copied[d, c]))


@sometimes("errors", "ends", "stops")
def an_error_pauses_a_job(p: Backup, s: State) -> Term:
    """A job is paused before the client has had its reply, so by nothing but an error."""
    return And(p.tx_is(s, "COMMIT"), _some(p, lambda d: s.js[d] == p.job.PAUSED))


@sometimes("errors", "ends", "policies=ignore")
def an_error_is_ignored(p: Backup, s: State) -> Term:
    """A job runs on after an error; there was no guest's write nor client's command yet."""
    before = And(p.tx_is(s, "COMMIT"), s.writes_left == p.options.writes)
    return And(
        before,
        _some(p, lambda d: And(s.js[d] == p.job.RUNNING, s.errors_left[d] < p.options.errors)),
    )


@sometimes("grouped", drives=2)
def one_waits_for_its_group(p: Backup, s: State) -> Term:
    """A job has copied all while another of its group has not."""
    return p.m.any(
        p.drive, p.drive, lambda d, x: And(p.job_is(s, d, "WAITING"), p.job_is(s, x, "RUNNING"))
    )


@sometimes("grouped", "control", "fails", drives=2)
def one_takes_the_others_with_it(p: Backup, s: State) -> Term:
    """A job of a group fails, and another is cancelled with it."""
    return p.m.any(
        p.drive,
        p.drive,
        lambda d, x: And(s.error[d], p.over(s, d), s.final[x] == p.event.CANCELLED),
    )


@sometimes("bitmaps", "repeats")
def a_bitmap_has_lost_no_bit(p: Backup, s: State) -> Term:
    """A backup by bitmap fails where its drive differs from the earlier ones."""
    return p.m.any(
        p.drive,
        p.cluster,
        lambda d, c: And(s.final[d] == p.event.FAILED, s.dirty[d, c], s.src[d, c] != s.base[d, c]),
    )


@sometimes("bitmaps", "repeats")
def a_chain_has_a_link(p: Backup, s: State) -> Term:
    """An incremental backup completes that had something to copy."""
    return p.m.any(
        p.drive, p.cluster, lambda d, c: And(s.final[d] == p.event.COMPLETED, s.todo[d, c])
    )


@sometimes("busy")
def a_busy_drive_is_refused(p: Backup, s: State) -> Term:
    """A transaction fails while one of its drives has another job."""
    return And(p.tx_is(s, "ROLLBACK"), p.m.any(p.drive, lambda d: s.busy[d]))


@sometimes("snapshot")
def a_snapshot_differs_from_its_drive(p: Backup, s: State) -> Term:
    """A guest writes to a drive after its snapshot."""
    return p.m.any(p.drive, p.cluster, lambda d, c: And(s.snapped[d], s.snap[d, c] != s.src[d, c]))


@sometimes("dies", "repeats")
def a_backup_survives_the_process(p: Backup, s: State) -> Term:
    """The process ends after a backup has completed."""
    done = p.m.any(p.drive, lambda d: s.final[d] == p.event.COMPLETED)
    return And(p.tx_is(s, "DEAD"), done)


@sometimes("clears")
def a_cleared_bitmap_records(p: Backup, s: State) -> Term:
    """A guest writes to a drive after its bitmap was cleared."""
    return _some_cluster(
        p, lambda d, c: And(s.cleared[d], s.dirty[d, c], s.src[d, c] != s.cut[d, c])
    )


@sometimes("changes")
def a_changed_bitmap_is_taken_back(p: Backup, s: State) -> Term:
    """A transaction fails after it has cleared bits."""
    return And(
        p.tx_is(s, "ROLLBACK"),
        _some_cluster(p, lambda d, c: And(s.change[d] == p.change.CLEAR, s.was[d, c])),
    )


@sometimes("changes", "repeats")
def a_merge_adds_bits(p: Backup, s: State) -> Term:
    """A bitmap has a bit by a merge alone."""
    merged = p.change.MERGE
    return _some_cluster(
        p, lambda d, c: And(s.change[d] == merged, p.tx_is(s, "PREPARE"), Not(s.was[d, c]),
                            s.dirty[d, c])
    )  # fmt: skip


@sometimes("changes")
def a_new_bitmap_records(p: Backup, s: State) -> Term:
    """A guest has written to a drive since its bitmap was added with the backup."""
    return And(
        p.tx_is(s, "DONE"),
        _some_cluster(p, lambda d, c: And(s.change[d] == p.change.ADD, s.dirty[d, c])),
    )


@sometimes("changes", drives=2)
def a_disabled_bitmap_misses_a_write(p: Backup, s: State) -> Term:
    """A guest has written to a drive since its bitmap was disabled with the backup."""

    def misses(d: Term, c: Term) -> Term:
        disabled = And(s.change[d] == p.change.DISABLE, p.tx_is(s, "DONE"))
        return And(disabled, s.since[d, c], Not(s.dirty[d, c]))

    return _some_cluster(p, misses)


@sometimes("leaves")
def a_job_runs_while_its_client_is_away(p: Backup, s: State) -> Term:
    """A job runs while its client is not connected."""
    return And(Not(s.connected), _some(p, lambda d: s.js[d] == p.job.RUNNING))


@sometimes("manual", "leaves")
def a_result_waits_for_the_client(p: Backup, s: State) -> Term:
    """A job is over, and still listed, while its client is away."""
    return And(p.m.any(p.drive, lambda d: p.job_is(s, d, "CONCLUDED")), Not(s.connected))
