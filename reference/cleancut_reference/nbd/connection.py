"""One NBD client's dialogue, from the greeting to its end. Pure: bytes in, events and bytes out."""

from collections.abc import Callable, Sequence

from cleancut_reference.nbd.handshake import Negotiation, Offer, Terms
from cleancut_reference.nbd.stream import Dialogue, Stream
from cleancut_reference.nbd.transmission import Request, Transmission


class Connection:
    """Feed it with `receive`, ask it for events, and send what `data_to_send` returns."""

    def __init__(self, offers: Callable[[], Sequence[Offer]]) -> None:
        self._out = bytearray()
        self._offers = offers
        self._stream: Stream[Terms | Request] = Stream(self._run())
        self.transmission: Transmission | None = None

    def _run(self) -> Dialogue[Terms | Request, None]:
        terms = yield from Negotiation(self._offers, self._out).run()
        if terms is not None:
            self.transmission = Transmission(terms, self._out)
            yield terms
            yield from self.transmission.run()

    @property
    def ended(self) -> bool:
        """Whether the client has said that it goes, or has broken the protocol."""
        return self._stream.ended

    @property
    def waiting_bytes(self) -> int:
        """How much has been received and not been looked at."""
        return self._stream.waiting_bytes

    def receive(self, data: bytes) -> None:
        """The client has sent this."""
        self._stream.receive(data)

    def next_event(self) -> Terms | Request | None:
        """The terms when they are agreed upon, then request after request.

        None if more has to be received first, or nothing follows. Raises BrokenProtocol.
        """
        return self._stream.next_event()

    def data_to_send(self) -> bytes:
        """What the client is to be sent now; forgets it."""
        data = bytes(self._out)
        self._out.clear()
        return data
