"""Where runs may end, and what must be reachable."""

from z3 import And, Or

from cleancut_model.backup import Backup
from cleancut_model.language import State, Term
from cleancut_model.properties.registry import (
    sometimes,
    tx_is,
)


def ended(p: Backup, s: State) -> Term:
    """Where a run may stop: the transaction is over, no job is left, no guest waits."""
    jobs = p.every(lambda d: p.job_is(s, d, "NONE GONE"))
    guests = p.every(lambda d: s.g[d] == p.guest.G_IDLE)
    return And(tx_is(p, s, "DONE FAILED"), jobs, guests)


def waits(p: Backup, s: State) -> Term:
    """Where only the client can go on: before the transaction, and with a paused job."""
    paused = p.m.any(p.drive, lambda d: s.js[d] == p.job.PAUSED)
    return Or(s.tx == p.tx.IDLE, paused)


@sometimes
def both_complete(p: Backup, s: State) -> Term:
    """Every backup completes."""
    return p.every(lambda d: s.final[d] == p.event.COMPLETED)


@sometimes
def a_transaction_fails_late(p: Backup, s: State) -> Term:
    """A transaction fails when some action has been prepared."""
    created = p.m.any(p.drive, lambda d: s.js[d] == p.job.CREATED)
    return And(tx_is(p, s, "ROLLBACK"), created)


@sometimes
def a_guest_waits_for_a_drain(p: Backup, s: State) -> Term:
    """A guest's write waits for the end of the drain."""
    return p.m.any(
        p.drive, lambda d: And(s.drained[d], s.g[d] == p.guest.ARRIVED, tx_is(p, s, "COMMIT"))
    )


@sometimes
def a_drive_leaves_the_cut(p: Backup, s: State) -> Term:
    """A guest changes a drive while its job still copies."""
    return p.m.any(
        p.drive,
        p.cluster,
        lambda d, c: And(s.js[d] == p.job.RUNNING, s.src[d, c] != s.cut[d, c]),
    )


@sometimes
def one_runs_while_the_other_is_drained(p: Backup, s: State) -> Term:
    """A job copies while another drive of its transaction is still drained."""
    return p.m.any(p.drive, p.drive, lambda d, x: And(s.b[d] == p.copy.READ, s.drained[x]))
