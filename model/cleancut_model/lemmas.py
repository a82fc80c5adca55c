"""What must be known besides the claims so that induction goes through: facts about each phase."""

from collections.abc import Callable
from typing import Final

from z3 import And, Implies, Not, Or

from cleancut_model.backup import Backup
from cleancut_model.language import State, Term

LEMMAS: Final[dict[str, Callable[[Backup, State], Term]]] = {}


def lemma(claim: Callable[[Backup, State], Term]) -> Callable[[Backup, State], Term]:
    """Register a lemma."""
    LEMMAS[claim.__name__] = claim
    return claim


@lemma
def jobs_fit_the_phase(p: Backup, s: State) -> Term:
    """Before the first commit a job is at most created; from it on, each has been prepared."""
    return p.every(
        lambda d: And(
            Implies(p.is_in(s.tx, p.tx, "IDLE FAILED"), s.js[d] == p.job.NONE),
            Implies(p.is_in(s.tx, p.tx, "PREPARE ROLLBACK"), p.job_is(s, d, "NONE CREATED")),
            Implies(s.tx == p.tx.COMMIT, s.js[d] != p.job.NONE),
            Implies(s.tx == p.tx.DONE, Not(p.job_is(s, d, "NONE CREATED"))),
        )
    )


@lemma
def drains_fit_the_phase(p: Backup, s: State) -> Term:
    """A created job's drive is drained; none is before the begin nor after the end."""
    return p.every(
        lambda d: And(
            Implies(s.js[d] == p.job.CREATED, s.drained[d]),
            Implies(p.is_in(s.tx, p.tx, "IDLE DONE FAILED"), Not(s.drained[d])),
        )
    )


@lemma
def a_drained_job_is_quiet(p: Backup, s: State) -> Term:
    """A drive that is drained and has a job is quiet, and its job has only just started."""
    return p.every(
        lambda d: Implies(
            And(s.drained[d], s.js[d] != p.job.NONE),
            And(
                p.quiet(s, d),
                s.b[d] == p.copy.B_IDLE,
                p.job_is(s, d, "CREATED RUNNING"),
            ),
        )
    )


@lemma
def copied_fits_the_job(p: Backup, s: State) -> Term:
    """Nothing is copied before a start nor after an end; all is when a job is pending."""
    return p.m.all(
        p.drive,
        p.cluster,
        lambda d, c: And(
            Implies(s.copied[d, c], p.started(s, d)),
            Implies(s.js[d] == p.job.PENDING, s.copied[d, c]),
        ),
    )


@lemma
def copied_is_the_cut(p: Backup, s: State) -> Term:
    """What is copied is the cut on the target; what is not is the cut on the drive."""
    return p.m.all(
        p.drive,
        p.cluster,
        lambda d, c: And(
            Implies(s.copied[d, c], s.tgt[d, c] == s.cut[d, c]),
            Implies(
                And(s.tx != p.tx.IDLE, p.is_in(s.tx, p.tx, "COMMIT DONE"), p.active(s, d)),
                Or(s.copied[d, c], s.src[d, c] == s.cut[d, c]),
            ),
        ),
    )


@lemma
def background_copies_carry_the_cut(p: Backup, s: State) -> Term:
    """A copy under way belongs to a started job and holds a cluster that is not copied."""
    return p.every(
        lambda d: Implies(
            s.b[d] != p.copy.B_IDLE,
            And(
                p.job_is(s, d, "RUNNING PAUSED ABORTING"),
                Not(s.copied[d, s.bc[d]]),
                Implies(s.b[d] == p.copy.WRITE, s.bbuf[d] == s.cut[d, s.bc[d]]),
            ),
        )
    )


@lemma
def guest_copies_carry_the_cut(p: Backup, s: State) -> Term:
    """The same of copy-before-write; a write on its way to the drive has nothing left to copy."""
    return p.every(
        lambda d: And(
            Implies(
                p.in_cbw(s, d),
                And(
                    p.job_is(s, d, "RUNNING PAUSED ABORTING"),
                    Not(s.copied[d, s.gc[d]]),
                    Implies(s.g[d] == p.guest.CBW_WRITE, s.gbuf[d] == s.cut[d, s.gc[d]]),
                ),
            ),
            Implies(And(s.g[d] == p.guest.WRITING, p.active(s, d)), s.copied[d, s.gc[d]]),
        )
    )


@lemma
def errors_fit_the_job(p: Backup, s: State) -> Term:
    """Only a job that aborts or is gone has an error."""
    return p.every(lambda d: Implies(s.error[d], p.job_is(s, d, "ABORTING GONE")))
