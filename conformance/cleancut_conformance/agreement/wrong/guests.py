"""Wrong with what guests write."""

from typing import Any

from cleancut_conformance.agreement.wrong.table import caught_by, replace
from cleancut_reference.actions import snapshot
from cleancut_reference.block import guest
from cleancut_reference.block.traffic import Phase
from cleancut_reference.state import State


@caught_by("point-in-time/burst-of-two-drives", "CBW-COPY-1")
def copies_nothing_before_a_write() -> None:
    """The filter lets every guest write through (bugs 3, 4, 12)."""
    replace(guest, "cluster_to_copy", lambda job, request: None)


@caught_by("policy/guest-write-meets-error", "CBW-ERROR-1")
def writes_where_the_copy_failed() -> None:
    """A guest write goes on although its cluster could not be copied (bug 23)."""

    def wrong(state: State, traffic: Any, request: Any, name: str, errno: str) -> Any:
        request.claim, request.phase = None, Phase.IN_FLIGHT
        return None

    replace(guest, "_refuse", wrong)


@caught_by("transaction/snapshot-shares-the-cut", "SNAPSHOT-TX-1")
def writes_below_the_snapshot() -> None:
    """The overlay is made, and guests go on writing to its base (bug 11)."""
    replace(snapshot, "put_above", lambda graph, base, overlay: None)
