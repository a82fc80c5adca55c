"""What an exploration finds."""

from dataclasses import dataclass, field

from cleancut_model.elaborated import NO_DEADLOCK
from cleancut_spec.schedule import Label


@dataclass(slots=True)
class Exploration:
    """What was found: counts, the first claim that broke and the shortest run to it."""

    states: int = 0
    transitions: int = 0
    depth: int = 0  # the steps of the longest of the shortest runs to a state
    seconds: float = 0.0
    cpu_seconds: float = 0.0  # of all threads
    bytes: int = 0  # of states, at most; 0 where nobody counted
    represented: int = 0  # states that those stand for, by the names of clusters
    limit: str = ""  # which limit ended the search before its end: states, memory or time
    broken: str = ""
    schedule: list[Label] = field(default_factory=list)
    values: list[int | None] = field(default_factory=list)  # what each step of it writes
    witnesses: set[str] = field(default_factory=set)  # those that were seen
    taken: set[str] = field(default_factory=set)  # the names of the actions that were taken
    safe: int = 0  # actions that are taken alone where they are possible
    loss: float = 0.0  # the most that the probability can be that a state was taken for another

    @property
    def complete(self) -> bool:
        """Whether every state was visited."""
        return not self.limit and not self.broken

    @property
    def deadlock(self) -> bool:
        """Whether a state was found that cannot go on and may not stop."""
        return self.broken == NO_DEADLOCK


@dataclass(frozen=True, slots=True)
class Limits:
    """Where a search ends although states are left; 0 means no limit."""

    states: int = 0
    bytes: int = 0
    seconds: int = 0
