"""What must be known besides the claims so that induction goes through: facts about each phase."""

from collections.abc import Callable
from typing import Final

from cleancut_model.backup import Backup
from cleancut_model.language import Row, State, Term
from cleancut_model.properties.registry import (
    Claim,
    StateClaim,
    clusters,
    copies,
    intact,
    requests,
)
from cleancut_model.terms import And, Implies, Not, Or

LEMMAS: Final[dict[str, Claim]] = {}


def lemma(*needs: str) -> Callable[[StateClaim], StateClaim]:
    """Register a lemma about the instances that have these parts."""

    def register(claim: StateClaim) -> StateClaim:
        LEMMAS[claim.__name__] = Claim(claim, needs)
        return claim

    return register


@lemma()
def jobs_fit_the_phase(p: Backup, s: State) -> Term:
    """Before the first commit a job is at most created; from it on, each has been prepared."""
    return p.every(
        lambda d: And(
            Implies(p.tx_is(s, "IDLE FAILED DEAD"), s.js[d] == p.job.NONE),
            Implies(p.tx_is(s, "PREPARE ROLLBACK"), p.job_is(s, d, "NONE CREATED")),
            Implies(s.tx == p.tx.COMMIT, s.js[d] != p.job.NONE),
            Implies(s.tx == p.tx.DONE, Not(p.job_is(s, d, "NONE CREATED"))),
        )
    )


@lemma()
def drains_fit_the_phase(p: Backup, s: State) -> Term:
    """A created job's drive is drained; none is before the begin nor after the end."""
    return p.every(
        lambda d: And(
            Implies(s.js[d] == p.job.CREATED, s.drained[d]),
            Implies(p.tx_is(s, "IDLE DONE FAILED DEAD"), Not(s.drained[d])),
        )
    )


@lemma()
def a_drained_job_is_quiet(p: Backup, s: State) -> Term:
    """A drive that is drained and has a job is quiet, and its job has copied nothing yet."""
    states = "CREATED RUNNING ABORTING" if p.options.grouped else "CREATED RUNNING"
    return p.every(
        lambda d: Implies(
            And(s.drained[d], s.js[d] != p.job.NONE),
            And(
                p.quiet(s, d),
                p.each_worker(lambda w: s.b[d, w] == p.copy.B_IDLE),
                p.job_is(s, d, states),
            ),
        )
    )


@lemma()
def copied_fits_the_job(p: Backup, s: State) -> Term:
    """Nothing is copied before a start nor after an end; all is when a job is pending."""
    return clusters(
        p,
        lambda d, c: And(
            Implies(s.copied[d, c], And(p.started(s, d), p.kept(s, d, c))),
            Implies(p.job_is(s, d, "WAITING PENDING"), Not(p.needed(s, d, c))),
        ),
    )


@lemma()
def copied_is_the_cut(p: Backup, s: State) -> Term:
    """What is copied is the cut on the target; what is not is the cut on the drive."""
    return clusters(
        p,
        lambda d, c: And(
            Implies(s.copied[d, c], s.tgt[d, c] == s.cut[d, c]),
            Implies(
                And(
                    p.tx_is(s, "COMMIT DONE"),
                    p.active(s, d),
                    intact(p, s, d),
                    _to_copy(p, s, d, c),
                ),
                s.src[d, c] == s.cut[d, c],
            ),
        ),
    )


def _to_copy(p: Backup, s: State, d: Term, c: Term) -> Term:
    """Of a created job all is; of a started one what it needs."""
    return Or(s.js[d] == p.job.CREATED, p.needed(s, d, c))


@lemma()
def background_copies_carry_the_cut(p: Backup, s: State) -> Term:
    """A copy under way belongs to a started job and holds a cluster that is not copied."""
    return copies(
        p,
        lambda d, w: Implies(
            s.b[d, w] != p.copy.B_IDLE,
            And(
                p.job_is(s, d, "RUNNING PAUSED ABORTING"),
                p.needed(s, d, s.bc[d, w]),
                s.src[d, s.bc[d, w]] == s.cut[d, s.bc[d, w]],
                Implies(s.b[d, w] == p.copy.WRITE, s.bbuf[d, w] == s.cut[d, s.bc[d, w]]),
            ),
        ),
    )


@lemma()
def guest_copies_carry_the_cut(p: Backup, s: State) -> Term:
    """The same of copy-before-write; a write on its way to the drive has nothing left to copy."""
    return requests(
        p,
        lambda d, r: And(
            Implies(
                p.in_cbw(s, d, r),
                And(
                    p.job_is(s, d, "RUNNING PAUSED ABORTING"),
                    p.needed(s, d, s.gc[d, r]),
                    s.src[d, s.gc[d, r]] == s.cut[d, s.gc[d, r]],
                    Implies(s.g[d, r] == p.guest.CBW_WRITE, s.gbuf[d, r] == s.cut[d, s.gc[d, r]]),
                ),
            ),
            Implies(
                And(s.g[d, r] == p.guest.WRITING, p.active(s, d), intact(p, s, d)),
                Not(p.needed(s, d, s.gc[d, r])),
            ),
        ),
    )


@lemma()
def errors_fit_the_job(p: Backup, s: State) -> Term:
    """Only a job that aborts or is over has an error."""
    return p.every(lambda d: Implies(s.error[d], Or(p.job_is(s, d, "ABORTING"), p.over(s, d))))


@lemma("tail")
def what_is_copied_reaches_the_end(p: Backup, s: State) -> Term:
    """A cluster that is marked as copied was written to its end."""
    return clusters(p, lambda d, c: Implies(s.copied[d, c], s.reach[d, c] == p.length(s, d, c)))


@lemma("grouped")
def a_group_moves_as_one(p: Backup, s: State) -> Term:
    """If one job of a group is pending none runs; if one has failed none goes on."""
    done = p.event.COMPLETED
    return p.m.all(
        p.drive,
        p.drive,
        lambda d, x: And(
            Implies(p.job_is(s, d, "PENDING"), p.job_is(s, x, "PENDING ABORTING CONCLUDED GONE")),
            Implies(
                And(p.over(s, d), s.final[d] != done),
                Or(p.job_is(s, x, "ABORTING"), p.over(s, x)),
            ),
        ),
    )


@lemma("breaks")
def broken_jobs_are_ending(p: Backup, s: State) -> Term:
    """A backup that was given up for a guest's write does not go on."""
    return p.every(lambda d: Implies(s.broken[d], Or(p.job_is(s, d, "ABORTING"), p.over(s, d))))


@lemma("partial")
def what_is_not_copied_lies_below(p: Backup, s: State) -> Term:
    """Where the backup holds nothing of its own, what lies below it is the cut."""
    return clusters(
        p,
        lambda d, c: Implies(And(p.started(s, d), Not(s.todo[d, c])), s.base[d, c] == s.cut[d, c]),
    )


@lemma("partial")
def the_bitmap_records_the_rest(p: Backup, s: State) -> Term:
    """Where a drive has left the cut since its job started, its bitmap has a bit."""
    return clusters(
        p,
        lambda d, c: Implies(And(p.started(s, d), s.src[d, c] != s.cut[d, c]), s.dirty[d, c]),
    )


@lemma("clears")
def bitmaps_are_cleared_under_the_drains(p: Backup, s: State) -> Term:
    """Until all bitmaps are cleared every drive is drained, and as it was at the cut."""
    committed = p.every(lambda d: Implies(s.cleared[d], p.tx_is(s, "COMMIT DONE")))
    return And(_done_under_the_drains(p, s, s.cleared), committed)


@lemma("changes")
def bitmaps_are_changed_under_the_drain(p: Backup, s: State) -> Term:
    """A bitmap that is changed, and may be taken back, is that of a drained, quiet drive."""
    return p.every(
        lambda d: And(
            Implies(p.tx_is(s, "IDLE FAILED DEAD"), p.unchanged(s, d)),
            Implies(
                And(p.tx_is(s, "PREPARE ROLLBACK"), Not(p.unchanged(s, d))),
                And(s.drained[d], p.quiet(s, d)),
            ),
        )
    )


@lemma("changes")
def a_change_can_be_undone(p: Backup, s: State) -> Term:
    """An action changes what was otherwise; the bits that it replaces are kept."""

    def does(d: Term, name: str) -> Term:
        return s.change[d] == getattr(p.change, name)

    def otherwise(d: Term) -> Term:
        return And(
            Or(p.unchanged(s, d), s.was_there[d] == Not(does(d, "ADD"))),
            Implies(does(d, "ENABLE"), Not(s.was_on[d])),
            Implies(does(d, "DISABLE"), s.was_on[d]),
        )

    def kept(d: Term, c: Term) -> Term:
        replaced = Or(does(d, "CLEAR"), does(d, "MERGE"))
        return Implies(replaced, s.backup[d, c] == s.was[d, c])

    undoable = And(p.every(otherwise), clusters(p, kept))
    return Implies(p.tx_is(s, "PREPARE ROLLBACK"), undoable)


@lemma("changes")
def what_is_not_there_records_nothing(p: Backup, s: State) -> Term:
    """A drive that has no bitmap without the transaction has none that is enabled, and no bits."""
    off = p.every(lambda d: Implies(s.was_on[d], s.was_there[d]))
    return And(off, clusters(p, lambda d, c: Implies(s.was[d, c], s.was_there[d])))


@lemma("snapshot")
def snapshots_are_taken_under_the_drains(p: Backup, s: State) -> Term:
    """Until all snapshots are taken every drive is drained, and as it was at the cut."""
    return _done_under_the_drains(p, s, s.snapped)


def _done_under_the_drains(p: Backup, s: State, done: Row) -> Term:
    """While it is not done the drive is drained; and what is drained has not left the cut."""
    committing = p.tx_is(s, "COMMIT")
    return clusters(
        p,
        lambda d, c: And(
            Implies(And(committing, Not(done[d])), s.drained[d]),
            Implies(And(committing, s.drained[d]), s.src[d, c] == s.cut[d, c]),
        ),
    )
