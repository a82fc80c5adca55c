"""Where runs may end, and what must be reachable."""

from z3 import And, Not, Or

from cleancut_model.backup import Backup
from cleancut_model.language import State, Term
from cleancut_model.properties.registry import sometimes


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


@sometimes("grouped", drives=2)
def one_waits_for_its_group(p: Backup, s: State) -> Term:
    """A job has copied all while another of its group has not."""
    return p.m.any(
        p.drive, p.drive, lambda d, x: And(p.job_is(s, d, "WAITING"), p.job_is(s, x, "RUNNING"))
    )


@sometimes("grouped", "control", drives=2)
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


@sometimes("manual", "leaves")
def a_result_waits_for_the_client(p: Backup, s: State) -> Term:
    """A job is over, and still listed, while its client is away."""
    return And(p.m.any(p.drive, lambda d: p.job_is(s, d, "CONCLUDED")), Not(s.connected))
