"""Where images lie that no test looks at for the disk's sake."""

import os
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

ROOM_BYTES: Final = 256 << 20  # more than the images of two tests at once


def quick_folder() -> "TemporaryDirectory[str]":
    """A folder in memory, if there is room: a disk takes its time for each flush."""
    memory = Path("/dev/shm")
    room = memory.is_dir() and os.access(memory, os.W_OK) and shutil.disk_usage(memory).free
    return TemporaryDirectory(dir=memory if room > ROOM_BYTES else None)
