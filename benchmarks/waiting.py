"""What the benchmarks share: a connection to a server that is still starting."""

import socket
import time
from pathlib import Path


def connect(path: Path) -> socket.socket:
    """A connection to a socket that is about to be there; ends the program if it never is."""
    for _ in range(1000):
        client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            client.connect(str(path))
            return client
        except OSError:
            client.close()
            time.sleep(0.01)
    raise SystemExit(f"nobody listens on {path}")
