"""The table of wrong engines: each patch with the case that catches it, and the clause."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final


@dataclass(frozen=True, slots=True)
class Wrong:
    """What is patched, and which case must see it as a breach of which clause."""

    patch: Callable[[], None]
    case: str
    clause: str

    @property
    def words(self) -> str:
        """What such an engine does, in a sentence."""
        return (self.patch.__doc__ or "").strip()


WRONG: Final[dict[str, Wrong]] = {}


def caught_by(case: str, clause: str) -> Callable[[Callable[[], None]], Callable[[], None]]:
    """Enter a patch of the reference engine into the table, under its own name."""

    def enter(patch: Callable[[], None]) -> Callable[[], None]:
        WRONG[patch.__name__] = Wrong(patch, case, clause)
        return patch

    return enter


def replace(owner: Any, name: str, by: Any) -> None:
    """Patch a seam of the engine; raises AttributeError if the engine has it no more."""
    getattr(owner, name)
    setattr(owner, name, by)
