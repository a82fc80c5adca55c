"""Feeds a dialogue, written as a generator, with the bytes it asks for.

A dialogue yields a number to get that many bytes, or an event for whoever drives it; it begins with
a number. So it reads like a conversation, and where a packet ends makes no difference to it.
"""

from collections.abc import Generator
from typing import Generic, TypeVar

Event = TypeVar("Event")
Result = TypeVar("Result")
Dialogue = Generator[int | Event, bytes, Result]


class BrokenProtocol(Exception):
    """The client does what no client may do; the message says what."""


class Stream(Generic[Event]):
    """One dialogue, and what has been received for it and not yet taken."""

    def __init__(self, dialogue: Dialogue[Event, None]) -> None:
        self._dialogue = dialogue
        first = next(dialogue)
        assert isinstance(first, int), "a dialogue begins by asking for bytes"
        self._wanted_bytes = first
        self._received = bytearray()
        self.ended = False

    @property
    def waiting_bytes(self) -> int:
        """How much has been received and not been taken."""
        return len(self._received)

    def receive(self, data: bytes) -> None:
        """More bytes have arrived; after the end of the dialogue nobody listens to them."""
        if not self.ended:
            self._received += data

    def next_event(self) -> Event | None:
        """Go on to the next event; None if there is none with what has been received.

        Raises BrokenProtocol, which ends the dialogue.
        """
        while not self.ended and len(self._received) >= self._wanted_bytes:
            try:
                said = self._dialogue.send(self._take(self._wanted_bytes))
            except StopIteration:
                self._end()
                break
            except BrokenProtocol:
                self._end()
                raise
            if not isinstance(said, int):
                self._wanted_bytes = 0
                return said
            self._wanted_bytes = said
        return None

    def _end(self) -> None:
        self.ended = True
        self._received.clear()

    def _take(self, length_bytes: int) -> bytes:
        with memoryview(self._received) as view:
            piece = bytes(view[:length_bytes])
        del self._received[:length_bytes]
        return piece
