"""A server that runs already: what needs drives or images of ours is skipped."""

from dataclasses import dataclass
from pathlib import Path

from cleancut_conformance.targets.base import Setup


@dataclass(frozen=True, slots=True)
class Socket:
    """`unix:SOCKET`: its drives and files are not ours, and it is not ours to end."""

    path: str

    @property
    def name(self) -> str:
        """What the user called it."""
        return f"unix:{self.path}"

    @property
    def capabilities(self) -> frozenset[str]:
        """None: cases that only talk still run."""
        return frozenset()

    @property
    def at_once(self) -> bool:
        """There is one server, and it serves one client after the other."""
        return False

    @property
    def partial(self) -> bool:
        """It may lack any command."""
        return True

    def command(self, setup: Setup) -> list[str]:
        """It runs already."""
        return []

    def socket(self, setup: Setup) -> Path:
        """Where the user said."""
        return Path(self.path)

    def target_text(self, setup: Setup, name: str) -> str:
        """The path of an image in our folder."""
        return str(setup.path(name))
