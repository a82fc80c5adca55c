"""The edge: opens what a command line's channels name."""

import contextlib
import os
import selectors
import socket
import sys
from dataclasses import dataclass, field
from pathlib import Path

from cleancut_reference.qemu.channel import Channel, Inherited, StandardStreams, UnixSocket
from cleancut_reference.qemu.command_line import CommandLineError
from cleancut_reference.qmp.clients import (
    Clients,
    connected,
    listening,
    nobody,
    standard_streams,
)
from cleancut_reference.unix_socket import SocketError, listen


@dataclass(slots=True)
class Connections:
    """Sockets to be closed, and names to be removed, when the server ends."""

    sockets: list[socket.socket] = field(default_factory=list)
    names: list[tuple[Path, int]] = field(default_factory=list)

    def clients(self, channel: Channel) -> Clients:
        """Whoever talks through the channel; raises CommandLineError."""
        match channel:
            case UnixSocket() | Inherited():
                opened = self._open(channel)
                return listening(opened) if channel.server else connected(opened)
            case StandardStreams():
                _check_streams()
                return standard_streams()
            case _:
                return nobody()

    async def keep_silent(self, channel: Channel) -> None:
        """Listen to whoever talks through the channel, and say nothing."""
        async for reader, writer in self.clients(channel):
            with contextlib.suppress(ConnectionError):
                while await reader.read(1 << 16):
                    pass
            writer.close()

    def pidfile(self, path: Path) -> None:
        """Write the number of this process; raises CommandLineError."""
        flags = os.O_CREAT | os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
        try:
            descriptor = os.open(path, flags, 0o600)
        except OSError as error:
            text = f"cannot create PID file: Could not create '{path}': {error.strerror}"
            raise CommandLineError(text) from None
        with os.fdopen(descriptor, "w") as file:
            file.write(f"{os.getpid()}\n")
        self._remember(path)

    def close(self) -> None:
        """Close all, and remove their names unless others have taken them."""
        for opened in self.sockets:
            opened.close()
        for path, inode in self.names:
            with contextlib.suppress(FileNotFoundError):
                if path.lstat().st_ino == inode:
                    path.unlink()

    def _open(self, channel: UnixSocket | Inherited) -> socket.socket:
        opened = _inherit(channel) if isinstance(channel, Inherited) else self._by_path(channel)
        opened.setblocking(False)
        self.sockets.append(opened)
        return opened

    def _by_path(self, channel: UnixSocket) -> socket.socket:
        path = Path(channel.path)
        if channel.server:
            try:
                listener = listen(path)
            except SocketError as error:
                text = f"{channel.option}: Failed to bind socket to {path}: {error.reason}"
                raise CommandLineError(text) from None
            self._remember(path)
            return listener
        client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            client.connect(channel.path)
        except OSError as error:
            client.close()
            text = f"{channel.option}: Failed to connect to '{path}': {error.strerror or error}"
            raise CommandLineError(text) from None
        return client

    def _remember(self, path: Path) -> None:
        self.names.append((path.absolute(), path.lstat().st_ino))


def _check_streams() -> None:
    """Both must be something that one can wait for: a pipe, a socket, a terminal."""
    with selectors.DefaultSelector() as selector:
        for name, stream in (("input", sys.stdin), ("output", sys.stdout)):
            try:
                selector.register(stream, selectors.EVENT_READ)
            except (OSError, ValueError, KeyError):
                text = f"stdio: standard {name} is no pipe, socket or terminal"
                raise CommandLineError(text) from None


def _inherit(channel: Inherited) -> socket.socket:
    try:
        return socket.socket(fileno=channel.descriptor)
    except OSError:
        text = f"{channel.option}: File descriptor '{channel.descriptor}' is not a socket"
        raise CommandLineError(text) from None
