"""Faults in the words of QEMU's blkdebug driver, which the reference server has as well."""

import errno
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cleancut_conformance.case import Fault

SECTOR_BYTES = 512


def image(path: Path, faults: Sequence[Fault]) -> str:
    """The name of a raw image behind blkdebug, as a `json:` text."""
    file = {"driver": "file", "filename": str(path)}
    return "json:" + json.dumps({"driver": "raw", "file": node(file, faults)})


def node(image: dict[str, Any], faults: Sequence[Fault]) -> dict[str, Any]:
    """The image with its faults; as it is if there are none."""
    rules = [rule(fault) for fault in faults]
    return {"driver": "blkdebug", "inject-error": rules, "image": image} if rules else image


def rule(fault: Fault) -> dict[str, Any]:
    """What blkdebug is told of one fault."""
    return {
        "event": "none",
        "iotype": fault.op,
        "errno": getattr(errno, fault.errno),
        "once": not fault.always,
        "sector": fault.at_bytes // SECTOR_BYTES,
    }
