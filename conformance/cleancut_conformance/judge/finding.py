"""A deviation from a clause."""

from dataclasses import dataclass

#: A fault found by a rule: the clause and what is wrong.
Fault = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Finding:
    """Record `index` of the trace (from 0) breaks the clause; `message` says how."""

    index: int
    clause: str
    message: str
