"""Sizes as people write them: `64M`, `1.5k`, `512`."""

import re
from typing import Final

_UNIT: Final[dict[str, int]] = {"": 0, "b": 0, "k": 10, "m": 20, "g": 30, "t": 40, "p": 50, "e": 60}
LARGEST: Final = 2**63 - 1
SECTOR_BYTES: Final = 512


class SizeError(ValueError):
    """A text that is no size."""


def parse_size(text: str) -> int:
    """The number of bytes; suffixes k M G T P E are powers of 1024; raises SizeError."""
    match = re.fullmatch(r"(\d+)(?:\.(\d+))?([bkmgtpe]?)", text, re.IGNORECASE)
    if match is None or len(text) > 40:
        raise SizeError(f"{text!r} is no size such as 512, 64k or 4M")
    whole, fraction, unit = match[1], match[2] or "", match[3].lower()
    scaled = int(whole + fraction) << _UNIT[unit]
    size_bytes: int = scaled // 10 ** len(fraction)
    if size_bytes > LARGEST:
        raise SizeError(f"{text!r} is larger than 2^63 - 1 bytes")
    return size_bytes
