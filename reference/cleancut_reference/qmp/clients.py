"""The edge: where QMP clients come from, one after the other."""

import asyncio
import socket
import sys
from collections.abc import AsyncIterator

Clients = AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]


async def listening(listener: socket.socket) -> Clients:
    """Whoever connects."""
    loop = asyncio.get_running_loop()
    while True:
        connection, _ = await loop.sock_accept(listener)
        yield await asyncio.open_connection(sock=connection)


async def connected(connection: socket.socket) -> Clients:
    """The one at the other end of a connection."""
    yield await asyncio.open_connection(sock=connection)


async def standard_streams() -> Clients:
    """The one who reads standard output and writes to standard input."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    transport, protocol = await loop.connect_write_pipe(
        lambda: asyncio.streams.FlowControlMixin(loop), sys.stdout
    )
    yield reader, asyncio.StreamWriter(transport, protocol, None, loop)


async def nobody() -> Clients:
    """None."""
    none: tuple[tuple[asyncio.StreamReader, asyncio.StreamWriter], ...] = ()
    for client in none:
        yield client
