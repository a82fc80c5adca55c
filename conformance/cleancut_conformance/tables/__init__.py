"""Tables of which cases are made: one row, one case, in the form of a case file."""

from typing import Final

from cleancut_conformance.tables import (
    again,
    clients,
    commands,
    edges,
    failures,
    modes,
    pairs,
    phases,
    policies,
    verbs,
)
from cleancut_conformance.tables.words import Table

TABLES: Final[tuple[Table, ...]] = (
    *edges.TABLES,
    *commands.TABLES,
    *failures.TABLES,
    *pairs.TABLES,
    *again.TABLES,
    *phases.TABLES,
    *verbs.TABLES,
    *modes.TABLES,
    *policies.TABLES,
    *clients.TABLES,
)
