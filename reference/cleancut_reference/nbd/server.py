"""The edge: sockets on which NBD clients are served, one task a listener, one object a client."""

import asyncio
import sys
from collections.abc import Callable
from typing import Final

from cleancut_reference.block.request import Failed
from cleancut_reference.nbd.address import UNLIMITED, Listen
from cleancut_reference.nbd.client import Client
from cleancut_reference.nbd.listener import Listener, ListenError, open_listener
from cleancut_reference.nbd.stream import BrokenProtocol
from cleancut_reference.outputs import GuestDone, HangUp, StopListening
from cleancut_reference.state import State

MAX_WAITING_BYTES: Final = 1 << 18


class NbdServer:
    """All NBD clients. `wake` is called when the engine has something to do."""

    def __init__(self, state: State, wake: Callable[[], None]) -> None:
        self.state = state
        self.wake = wake
        self.owners: dict[int, Wire] = {}  # of the requests under way
        self.wires: set[Wire] = set()
        self._listener: Listener | None = None
        self._accepting: asyncio.Task[None] | None = None
        self._max_connections = UNLIMITED
        self._left = asyncio.Event()

    def listen(self, request: Listen) -> Failed | None:
        """Wait for clients, in a task."""
        try:
            self._listener = open_listener(request.address)
        except ListenError as error:
            return Failed("EINVAL", str(error))
        self._max_connections = request.max_connections
        self._accepting = asyncio.get_running_loop().create_task(self._accept(self._listener))
        return None

    async def _accept(self, listener: Listener) -> None:
        loop = asyncio.get_running_loop()
        while True:
            while UNLIMITED < self._max_connections <= len(self.wires):
                self._left.clear()
                await self._left.wait()
            try:
                connection, _ = await loop.sock_accept(listener.socket)
                await loop.connect_accepted_socket(lambda: Wire(self), connection)
            except OSError:  # too many open files, perhaps
                await asyncio.sleep(1)

    def handle(self, output: GuestDone | HangUp | StopListening) -> None:
        """Tell the clients what comes out of the engine."""
        match output:
            case GuestDone():
                wire = self.owners.pop(output.request, None)
                if wire is not None:
                    wire.finished(output)
            case HangUp(export_id):
                for wire in [wire for wire in self.wires if wire.client.export_id == export_id]:
                    wire.close()
            case StopListening():
                self.close()

    def left(self, wire: "Wire") -> None:
        """A client is gone."""
        self.wires.discard(wire)
        self._left.set()
        self.wake()

    def close(self) -> None:
        """Listen no more, and disconnect all clients."""
        if self._accepting is not None:
            self._accepting.cancel()
            self._accepting = None
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        for wire in list(self.wires):
            wire.close()


class Wire(asyncio.Protocol):
    """The socket of one client."""

    def __init__(self, server: NbdServer) -> None:
        self.client = Client(server.state)
        self._server = server
        self._transport: asyncio.Transport | None = None
        self._may_send = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The client is there: greet it."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._server.wires.add(self)
        self._work()

    def data_received(self, data: bytes) -> None:
        """The client has sent something."""
        self.client.receive(data)
        self._work()

    def eof_received(self) -> None:
        """The client sends no more, so it is gone."""

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is closed."""
        self.client.hang_up()
        self._server.left(self)

    def pause_writing(self) -> None:
        """The client reads slowly: start nothing more for it."""
        self._may_send = False

    def resume_writing(self) -> None:
        """It has caught up."""
        self._may_send = True
        self._work()

    def finished(self, done: GuestDone) -> None:
        """One of its requests has ended."""
        flush = self.client.finished(done)
        if flush is not None:
            self._server.owners[flush] = self
        self._work()

    def close(self) -> None:
        """Disconnect it at once."""
        if self._transport is not None:
            self.client.hang_up()
            self._server.wires.discard(self)
            self._transport.abort()

    def _work(self) -> None:
        """Start what the client asks, send what it is to be told, and read no more than fits."""
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        broken = ""
        if self._may_send:
            try:
                for started in self.client.work():
                    self._server.owners[started] = self
                    self._server.wake()
            except BrokenProtocol as error:
                broken = str(error)
        if data := self.client.data_to_send():
            transport.write(data)
        if broken:
            print(f"cleancut: an NBD client is disconnected: {broken}", file=sys.stderr)
        if broken or self.client.ended:
            self.client.hang_up()
            transport.close()
        elif not self._may_send or self.client.waiting_bytes > MAX_WAITING_BYTES:
            transport.pause_reading()
        else:
            transport.resume_reading()
