"""What must come to an end, if what is possible again and again is done at some time."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from cleancut_model.backup import Backup
from cleancut_model.language import State, Term
from cleancut_model.properties import witnesses as seen
from cleancut_model.properties.registry import StateClaim, names_of
from cleancut_model.terms import Not
from cleancut_spec import cites

#: With what a client answers: fairness wants these of it, and nothing else.
ANSWERS: Final = frozenset({"resume", "finalize", "dismiss", "reconnect"})

Where = Callable[[State], Term]
Cases = list[tuple[str, Where]]


@dataclass(frozen=True, slots=True)
class Ends:
    """A condition that must not last for ever, in each of its cases: drives, or requests."""

    cases: Callable[[Backup], Cases]
    needs: tuple[str, ...]
    shown_by: tuple[str, ...]  # witnesses of its interesting case


ENDS: Final[dict[str, Ends]] = {}


def in_the_end(
    *needs: str, shown_by: Sequence[StateClaim]
) -> Callable[[Callable[[Backup], Cases]], Callable[[Backup], Cases]]:
    """Register a claim that something ends."""

    def register(cases: Callable[[Backup], Cases]) -> Callable[[Backup], Cases]:
        ENDS[cases.__name__] = Ends(cases, needs, names_of(shown_by))
        return cases

    return register


@in_the_end(shown_by=[seen.a_drain_waits_for_a_write, seen.a_transaction_fails_late])
@cites("TX-RELEASE-1")
def every_transaction_ends(p: Backup) -> Cases:
    """A transaction that has begun succeeds or fails."""
    return [("", lambda s: p.tx_is(s, "PREPARE ROLLBACK COMMIT"))]


@in_the_end("ends", shown_by=[seen.a_copy_waits_for_a_write])
@cites("JOB-END-1")
def every_started_job_ends(p: Backup) -> Cases:
    """A job that has started completes, fails or is cancelled."""

    def started(d: Term) -> Where:
        return lambda s: p.started(s, d)

    return [(f"d{i}", started(d)) for i, d in enumerate(p.drive.values)]


@in_the_end(shown_by=[seen.a_guest_waits_for_a_drain, seen.a_write_waits_for_a_copy])
@cites("GUEST-LIVE-1")
def every_guest_write_ends(p: Backup) -> Cases:
    """A guest's write ends, well or with an error."""

    def busy(d: Term, r: Term) -> Where:
        return lambda s: Not(s.g[d, r] == p.guest.G_IDLE)

    return [
        (f"d{i} r{j}", busy(d, r))
        for i, d in enumerate(p.drive.values)
        for j, r in enumerate(p.request.values)
    ]
