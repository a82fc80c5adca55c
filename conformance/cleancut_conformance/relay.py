"""Bytes between a client and a server, unchanged, and told to a listener after they went on."""

import contextlib
import os
import selectors
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Literal

READ_BYTES: Final = 1 << 16
MAX_FDS: Final = 16  # that come along with one packet, as QMP's getfd and add-fd want them

Direction = Literal["send", "recv"]


@dataclass(slots=True)
class _Lane:
    """One direction: where bytes come from, where they go, and what waits to go."""

    direction: Direction
    source: socket.socket
    sink: socket.socket
    waiting: bytearray = field(default_factory=bytearray)
    ended: bool = False  # nothing more will come
    passed_on: bool = False  # and the other side knows


class Relay:
    """A client's connection and a server's, joined until both have hung up.

    What came is sent on before it is told, so that the listener's work delays nobody. While a side
    does not take what waits for it, nothing more is read for it.
    """

    def __init__(
        self,
        client: socket.socket,
        server: socket.socket,
        tell: Callable[[Direction, bytes], object],
    ) -> None:
        self._tell = tell
        self._lanes = (_Lane("send", client, server), _Lane("recv", server, client))
        self._selector = selectors.DefaultSelector()
        for end in (client, server):
            end.setblocking(False)

    def run(self) -> None:
        """Go on until one side has gone and all that it said has been passed on."""
        with self._selector:
            while not self._over():
                self._watch()
                for key, events in self._selector.select():
                    for lane in self._lanes:
                        if key.fileobj is lane.source and events & selectors.EVENT_READ:
                            self._read(lane)
                        if key.fileobj is lane.sink and events & selectors.EVENT_WRITE:
                            self._write(lane)

    def _over(self) -> bool:
        """A server that has hung up ends it; a client may hang up and still listen."""
        client, server = self._lanes
        return server.passed_on or (client.passed_on and server.ended)

    def _watch(self) -> None:
        wanted: dict[socket.socket, int] = {}
        for lane in self._lanes:
            if lane.waiting:
                wanted[lane.sink] = wanted.get(lane.sink, 0) | selectors.EVENT_WRITE
            elif not lane.ended:
                wanted[lane.source] = wanted.get(lane.source, 0) | selectors.EVENT_READ
        now = {key.fileobj: key.events for key in self._selector.get_map().values()}
        if now == wanted:
            return
        for end in now.keys() - wanted.keys():
            self._selector.unregister(end)
        for end, events in wanted.items():
            if end in now:
                self._selector.modify(end, events)
            else:
                self._selector.register(end, events)

    def _read(self, lane: _Lane) -> None:
        try:
            data, fds, _, _ = socket.recv_fds(lane.source, READ_BYTES, MAX_FDS)
        except BlockingIOError:
            return
        except OSError:  # reset: the same as gone
            data, fds = b"", []
        if not data:
            lane.ended = True
            self._end(lane)
            return
        try:
            self._pass_on(lane, data, fds)
        finally:
            for fd in fds:
                os.close(fd)
        self._tell(lane.direction, data)

    def _pass_on(self, lane: _Lane, data: bytes, fds: list[int]) -> None:
        try:
            sent = socket.send_fds(lane.sink, [data], fds) if fds else lane.sink.send(data)
        except BlockingIOError:
            sent = 0
        except OSError:  # nobody takes it any more
            lane.ended = lane.passed_on = True
            return
        lane.waiting += data[sent:]

    def _write(self, lane: _Lane) -> None:
        try:
            sent = lane.sink.send(lane.waiting)
        except BlockingIOError:
            return
        except OSError:
            lane.waiting.clear()
            lane.ended = lane.passed_on = True
            return
        del lane.waiting[:sent]
        self._end(lane)

    def _end(self, lane: _Lane) -> None:
        """Pass on that nothing more will come, once all that came has gone on."""
        if lane.ended and not lane.waiting and not lane.passed_on:
            lane.passed_on = True
            with contextlib.suppress(OSError):
                lane.sink.shutdown(socket.SHUT_WR)
