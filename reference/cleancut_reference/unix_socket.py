"""The edge: sockets in the file system that only their owner may use."""

import contextlib
import errno
import os
import socket
import stat
import time
from pathlib import Path
from typing import Final

MAX_PATH_BYTES: Final = 107


class SocketError(Exception):
    """Nobody can listen there; the message says why and what to do, `reason` only why."""

    def __init__(self, message: str, reason: str) -> None:
        super().__init__(message)
        self.reason = reason


def listen(path: Path) -> socket.socket:
    """A listening socket at this path that only the owner may use; raises SocketError."""
    if len(os.fsencode(path)) > MAX_PATH_BYTES:
        raise _cannot(path, f"the path has more than {MAX_PATH_BYTES} bytes")
    _clear_way(path)
    server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        _bind(server, path)
    except OSError as error:
        server.close()
        raise _cannot(path, error.strerror or str(error)) from None
    server.setblocking(False)
    return server


def _bind(server: socket.socket, path: Path) -> None:
    """The name appears only when the mode is right and somebody listens."""
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    private = f".{time.monotonic_ns()}.new"
    try:
        server.bind(f"/proc/self/fd/{folder}/{private}")  # however long the folder's name is
        os.chmod(private, 0o600, dir_fd=folder)
        server.listen()
        os.rename(private, path.name, src_dir_fd=folder, dst_dir_fd=folder)
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(private, dir_fd=folder)
        raise
    finally:
        os.close(folder)


def _clear_way(path: Path) -> None:
    """Remove a socket that nobody listens on; refuse anything else that bears the name."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    except OSError as error:
        raise _cannot(path, error.strerror or str(error)) from None
    in_use = os.strerror(errno.EADDRINUSE)
    if not stat.S_ISSOCK(mode):
        raise SocketError(f"{path} exists and is no socket; choose another path", in_use)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink(missing_ok=True)
            return
        except OSError as error:
            raise _cannot(path, error.strerror or str(error)) from None
    raise SocketError(f"another server listens on {path}; choose another path", in_use)


def _cannot(path: Path, reason: str) -> SocketError:
    return SocketError(f"cannot listen on {path}: {reason}", reason)
