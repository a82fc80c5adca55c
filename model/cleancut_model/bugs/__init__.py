"""Deliberate bugs: each a small change of the protocol, and the claims that it breaks.

`docs/real-bugs.md` tells on which real ones they are modelled, and which of those cannot be told in
the words of the protocol.
"""

from dataclasses import replace
from typing import Final

from cleancut_model.bugs import bitmaps, copying, jobs, transaction
from cleancut_model.bugs.bug import Bug
from cleancut_model.language import Mutation, MutationError
from cleancut_model.options import PRESETS, Options

__all__ = ["BUGS", "Bug", "instance_of", "mutations"]

BUGS: Final[dict[str, Bug]] = {
    bug.name: bug for chapter in (transaction, copying, jobs, bitmaps) for bug in chapter.BUGS
}


def instance_of(name: str) -> Options:
    """A small instance in which the bug shows, with the bug in it."""
    return replace(PRESETS[BUGS[name].preset], bug=name)


def mutations(name: str) -> tuple[Mutation, ...]:
    """The changes of a bug; none for the empty name. Raises MutationError."""
    if name and name not in BUGS:
        raise MutationError(f"there is no bug {name!r}; see `cleancut explore --bugs`")
    return BUGS[name].mutations if name else ()
