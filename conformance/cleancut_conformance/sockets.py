"""Listening sockets in the file system that only their owner may use."""

import os
import socket
import stat
from pathlib import Path


class SocketError(Exception):
    """Nobody can listen there; the message names the path, why, and the way out."""


def listen(path: Path) -> socket.socket:
    """A listening socket at this path, mode 0600 from its first moment; raises SocketError.

    A socket that nobody listens on any more is replaced; anything else is left alone.
    """
    _clear_way(path)
    server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        server.bind(str(path))
        server.listen()
    except OSError as error:
        server.close()
        raise SocketError(f"cannot listen on {path}: {error.strerror or error}") from None
    finally:
        os.umask(before)
    return server


def _clear_way(path: Path) -> None:
    try:
        mode = path.lstat().st_mode
    except OSError:
        return  # nothing is there, or bind will say what is wrong
    if not stat.S_ISSOCK(mode):
        raise SocketError(f"{path} exists and is no socket; choose another path")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink(missing_ok=True)
            return
        except OSError as error:
            raise SocketError(f"cannot listen on {path}: {error.strerror or error}") from None
    raise SocketError(f"another server listens on {path}; choose another path")
