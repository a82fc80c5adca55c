"""The partial last cluster: copied to the drive's end, and not beyond.

A cluster of the target remembers how far it was written since the commit, and each copy how far
it goes; only a drive's last cluster ends before it is whole.
"""

from cleancut_model.backup import Backup
from cleancut_model.language import State, Term
from cleancut_model.properties import witnesses as seen
from cleancut_model.properties.registry import always, clusters, copies, requests
from cleancut_model.terms import And, Implies
from cleancut_spec import cites


@always("tail", shown_by=[seen.a_tail_is_copied, seen.a_tail_is_copied_before_a_write])
@cites("DATA-TAIL-1")
def no_copy_passes_the_end(p: Backup, s: State) -> Term:
    """A copy under way, of the job or before a write, is of its whole cluster or ends with it."""
    of_job = copies(
        p,
        lambda d, w: Implies(
            s.b[d, w] != p.copy.B_IDLE, s.blen[d, w] == p.length(s, d, s.bc[d, w])
        ),
    )
    before_writes = requests(
        p, lambda d, r: Implies(p.in_cbw(s, d, r), s.glen[d, r] == p.length(s, d, s.gc[d, r]))
    )
    return And(of_job, before_writes)


@always("tail", shown_by=[seen.a_tail_is_copied])
@cites("DATA-TAIL-1")
def nothing_is_written_beyond_the_end(p: Backup, s: State) -> Term:
    """What lies in the target's last cluster beyond the drive's end is as it was."""
    return clusters(p, lambda d, c: Implies(s.tail[d, c], s.reach[d, c] != p.extent.WHOLE))


@always("tail", shown_by=[seen.a_tail_is_copied])
@cites("DATA-TAIL-1")
def completed_backups_reach_the_end(p: Backup, s: State) -> Term:
    """Of each cluster that a completed backup is of, the target was written to its end."""
    return clusters(
        p,
        lambda d, c: Implies(
            And(s.final[d] == p.event.COMPLETED, p.kept(s, d, c)),
            s.reach[d, c] == p.length(s, d, c),
        ),
    )
