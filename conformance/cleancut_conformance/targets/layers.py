"""What may lie between a drive and its file: faults, gates and limits.

In the words of QEMU's drivers blkdebug and throttle, which the reference server has as well.
"""

import errno
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from cleancut_conformance.case import Fault

SECTOR_BYTES: Final = 512
#: What a request that a format passes on is called there.
EVENTS: Final = {"read": "read_aio", "write": "write_aio"}


def image(path: Path, faults: Sequence[Fault]) -> str:
    """The name of a raw image behind blkdebug, as a `json:` text."""
    file = {"driver": "file", "filename": str(path)}
    return "json:" + json.dumps({"driver": "raw", "file": node(file, faults)})


def node(image: dict[str, Any], faults: Sequence[Fault]) -> dict[str, Any]:
    """The image with its faults; as it is if there are none."""
    if not faults:
        return image
    rules: dict[str, Any] = {"inject-error": [rule(fault) for fault in faults]}
    if moves := states(faults):
        rules["set-state"] = moves
    return {"driver": "blkdebug", **rules, "image": image}


def limited(name: str, path: str, bps_write: int) -> list[str]:
    """Options of the command line for a drive to which no more is written in a second."""
    group = f"limit-{name}"
    words = f"if=none,id={name},driver=throttle,throttle-group={group},file.driver=raw"
    words += f",file.file.driver=file,file.file.filename={path}"
    return ["--object", f"throttle-group,id={group},x-bps-write={bps_write}", "--drive", words]


def drive(name: str, path: str, faults: Sequence[Fault]) -> str:
    """A drive whose raw image lies behind blkdebug, as an option of the command line."""
    words = [f"if=none,id={name},driver=raw,file.driver=blkdebug"]
    words += ["file.image.driver=file", f"file.image.filename={path}"]
    rules = {"inject-error": [rule(fault) for fault in faults], "set-state": states(faults)}
    for kind, listed in rules.items():
        for index, one in enumerate(listed):
            for key, value in one.items():
                text = ("off", "on")[value] if isinstance(value, bool) else value
                words.append(f"file.{kind}.{index}.{key}={text}")
    return ",".join(words)


def rule(fault: Fault) -> dict[str, Any]:
    """What blkdebug is told of one fault."""
    words: dict[str, Any] = {
        "event": EVENTS[fault.op] if fault.nth else "none",
        "iotype": fault.op,
        "errno": getattr(errno, fault.errno),
        "once": not fault.always,
    }
    if fault.nth:
        words["state"] = fault.nth
    if fault.at_bytes is not None:
        words["sector"] = fault.at_bytes // SECTOR_BYTES
    return words


def states(faults: Sequence[Fault]) -> list[dict[str, Any]]:
    """How blkdebug counts the requests up to the one that is to fail."""
    last = {EVENTS[fault.op]: fault.nth for fault in faults if fault.nth}
    return [
        {"event": event, "state": number, "new_state": number + 1}
        for event, nth in last.items()
        for number in range(1, nth)
    ]
