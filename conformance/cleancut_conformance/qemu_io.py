"""The words of `qemu-io`, with which the human monitor makes a guest's requests."""

import re
from typing import Any, Final

#: What the human monitor is told: the drive and the command.
MONITOR: Final = re.compile(r'qemu-io (\S+) "(.*)"')

_UNITS: Final = {"k": 1 << 10, "m": 1 << 20, "g": 1 << 30}


def monitor(drive: str, command: str) -> dict[str, Any]:
    """The QMP command that has a drive do something."""
    line = f'qemu-io {drive} "{command}"'
    return {"execute": "human-monitor-command", "arguments": {"command-line": line}}


def size(text: str) -> int:
    """`4096`, `0x1000` or `4k` in bytes; raises ValueError."""
    unit = _UNITS.get(text[-1:].lower())
    return int(text, 0) if unit is None else int(text[:-1], 0) * unit
