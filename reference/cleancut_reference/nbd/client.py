"""One NBD client as the engine sees it: its requests become guest requests of the export's drive.

Pure: bytes in and bytes out, as the connection; the edge brings the engine's GuestDone back.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from cleancut_reference.block import guest
from cleancut_reference.block.dirty_bitmap import DirtyBitmap
from cleancut_reference.block.request import MAX_EXTENTS
from cleancut_reference.block.traffic import GuestOp
from cleancut_reference.image.image import Status
from cleancut_reference.nbd.connection import Connection
from cleancut_reference.nbd.export import Export
from cleancut_reference.nbd.handshake import ALLOCATION, BITMAP, Offer, Terms
from cleancut_reference.nbd.transmission import Extent, Request, Transmission
from cleancut_reference.nbd.wire import Command, CommandFlag, ExtentFlag
from cleancut_reference.outputs import GuestDone
from cleancut_reference.state import State

MAX_OPEN_REQUESTS: Final = 16

_OPS: Final = {
    Command.READ: GuestOp.READ,
    Command.WRITE: GuestOp.WRITE,
    Command.FLUSH: GuestOp.FLUSH,
    Command.TRIM: GuestOp.DISCARD,
    Command.WRITE_ZEROES: GuestOp.WRITE_ZEROES,
    Command.BLOCK_STATUS: GuestOp.STATUS,
}


@dataclass(frozen=True, slots=True)
class _Open:
    """A request under way, and whether a flush has to follow before it is answered."""

    request: Request
    flush: bool


class Client:
    """Takes what the client sends, starts what it asks, and says what it is to be sent."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._connection = Connection(self._offers)
        self._open: dict[int, _Open] = {}
        self._export: Export | None = None

    def _offers(self) -> list[Offer]:
        return [export.offer() for export in self._state.exports if not export.shutting_down]

    @property
    def ended(self) -> bool:
        """Whether the client has said goodbye and all that it asked before is done."""
        return self._connection.ended and not self._open

    @property
    def export_id(self) -> str | None:
        """The export that the client has chosen."""
        return self._export.id if self._export else None

    @property
    def waiting_bytes(self) -> int:
        """How much has been received that nothing has been done about, since enough is open."""
        return self._connection.waiting_bytes if self._full else 0

    @property
    def _full(self) -> bool:
        return len(self._open) >= MAX_OPEN_REQUESTS

    def receive(self, data: bytes) -> None:
        """The client has sent this."""
        self._connection.receive(data)

    def data_to_send(self) -> bytes:
        """What the client is to be sent now; forgets it."""
        return self._connection.data_to_send()

    def work(self) -> Iterator[int]:
        """Start what the client asks, up to a limit of open requests; yields their numbers.

        Raises BrokenProtocol if it does what no client may do.
        """
        while not self._full and (event := self._connection.next_event()) is not None:
            if isinstance(event, Terms):
                self._attach(event)
            elif event.command is Command.CACHE:
                self._transmission.reply(event)  # to have read ahead is no duty
            else:
                yield self._submit(event)

    def _attach(self, terms: Terms) -> None:
        exports = self._state.exports
        self._export = next(export for export in exports if export.name == terms.offer.name)
        self._export.clients.add(self)

    @property
    def _transmission(self) -> Transmission:
        transmission = self._connection.transmission
        assert transmission is not None, "requests come after the handshake"
        return transmission

    def _submit(self, request: Request) -> int:
        op = _OPS[request.command]
        started = self._start(op, request.offset_bytes, request.length_bytes, request.data)
        flush = op.changes and CommandFlag.FUA in request.flags
        self._open[started] = _Open(request, flush)
        return started

    def _start(
        self, op: GuestOp, offset_bytes: int = 0, length_bytes: int = 0, data: bytes = b""
    ) -> int:
        assert self._export is not None, "requests come after the handshake"
        drive = self._export.drive
        return guest.submit(self._state, drive, op, offset_bytes, length_bytes, data).id

    def finished(self, done: GuestDone) -> int | None:
        """A request has ended: answer it. The number of a flush that has to end before that."""
        open_request = self._open.pop(done.request)
        request = open_request.request
        if done.errno:
            self._transmission.fail(request, done.errno)
        elif open_request.flush:
            flush = self._start(GuestOp.FLUSH)
            self._open[flush] = _Open(request, flush=False)
            return flush
        elif request.command is Command.BLOCK_STATUS:
            self._transmission.reply_extents(request, self._extents(request, done))
        else:
            self._transmission.reply(request, done.data)
        return None

    def _extents(self, request: Request, done: GuestDone) -> dict[str, list[Extent]]:
        """What each context that was agreed upon says of the range of a request."""
        assert self._export is not None, "requests come after the handshake"
        hole = int(ExtentFlag.HOLE | ExtentFlag.ZERO)
        bitmaps = {BITMAP + bitmap.name: bitmap for bitmap in self._export.bitmaps}
        found: dict[str, list[Extent]] = {}
        for name in self._transmission.contexts:
            if name == ALLOCATION:
                found[name] = [
                    (part.length_bytes, hole if part.status is Status.ZERO else 0)
                    for part in done.extents
                ]
            else:
                found[name] = _dirty_extents(bitmaps[name], request)
        return found

    def hang_up(self) -> None:
        """The client is gone; what it began goes on unanswered."""
        if self._export is not None:
            self._export.clients.discard(self)


def _dirty_extents(bitmap: DirtyBitmap, request: Request) -> list[Extent]:
    """The parts of a range that are dirty in a bitmap, and those that are not, in order."""
    at, limit = request.offset_bytes, request.offset_bytes + request.length_bytes
    found: list[Extent] = []
    for first, end in bitmap.runs():
        if end <= at:
            continue
        if first >= limit or len(found) >= MAX_EXTENTS:
            break
        if first > at:
            found.append((first - at, 0))
        at = max(at, first)
        found.append((min(end, limit) - at, int(ExtentFlag.DIRTY)))
        at = min(end, limit)
    if at < limit and len(found) < MAX_EXTENTS:
        found.append((limit - at, 0))
    return found
