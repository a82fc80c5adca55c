"""What the top image of a source holds itself: all that a backup with sync `top` copies."""

from dataclasses import dataclass, field

from cleancut_reference.block.node import Node
from cleancut_reference.block.request import DiskRequest, Op, Outcome
from cleancut_reference.image.image import Status
from cleancut_spec import cites


@dataclass(slots=True, eq=False)
class TopLayer:
    """The ranges of bytes that an image holds, as far as it has been asked: up to `at_bytes`.

    It is asked while the source is drained, so that the answer is that of the cut.
    """

    image: Node
    at_bytes: int = 0
    runs: list[tuple[int, int]] = field(default_factory=list)

    @property
    def known(self) -> bool:
        """Whether the whole image has been asked."""
        return self.at_bytes >= self.image.size_bytes

    def request(self) -> DiskRequest:
        """What to ask next."""
        length_bytes = self.image.size_bytes - self.at_bytes
        return DiskRequest(Op.LAYER, self.image.name, self.at_bytes, length_bytes)

    @cites("SYNC-TOP-1")
    def look(self, outcome: Outcome) -> None:
        """Note what the image has said; where it says nothing, it may hold anything."""
        if not isinstance(outcome, list) or not outcome:
            self.runs.append((self.at_bytes, self.image.size_bytes))
            self.at_bytes = self.image.size_bytes
            return
        self.runs += [
            (extent.offset_bytes, extent.end_bytes)
            for extent in outcome
            if extent.status is not Status.ABSENT
        ]
        self.at_bytes = outcome[-1].end_bytes
