"""Deliberately wrong engines, each a small patch of the right one, and what must catch it.

`python -m cleancut_conformance.agreement.wrong NAME ARGUMENTS…` serves one, with the arguments of
the reference server; `cleancut selfcheck` runs the suite against all of them.
"""

from cleancut_conformance.agreement.wrong import (  # each enters its patches into the table
    bitmaps,
    copying,
    guests,
    protocol,
    refusals,
    transactions,
    verbs,
)
from cleancut_conformance.agreement.wrong.table import WRONG, Wrong

__all__ = [
    "WRONG",
    "Wrong",
    "bitmaps",
    "copying",
    "guests",
    "protocol",
    "refusals",
    "transactions",
    "verbs",
]
