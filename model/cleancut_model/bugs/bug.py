"""What a deliberate bug is."""

from dataclasses import dataclass
from typing import Final

from cleancut_model.language import Mutation


@dataclass(frozen=True, slots=True)
class Bug:
    """A change of the protocol, what went wrong with it in the field, and what it breaks."""

    name: str
    what: str
    breaks: tuple[str, ...]
    mutations: tuple[Mutation, ...]
    preset: str = "core"  # an instance that has what it needs


ALL: Final = slice(None)

CUT: Final = (
    "completed_backups_share_the_cut",
    "old_data_is_somewhere",
    "a_reader_sees_the_cut",
)
