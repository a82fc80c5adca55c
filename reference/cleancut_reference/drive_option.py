"""Reads the options of `-drive` and `drive_add`: `if=none,id=d0,file=a.img,format=raw`."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

from cleancut_reference import errors
from cleancut_reference.block.description import image_at, nest

_ID: Final = re.compile(r"[A-Za-z][A-Za-z0-9._-]*")

#: Accepted, and without meaning here: there is no bus, and no cache of the host that it could say.
_IGNORED: Final = frozenset(
    {"index", "bus", "unit", "cache", "aio", "snapshot", "werror", "rerror", "copy-on-read",
     "readonly", "serial"}
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class DriveOption:
    """A drive's name and the description of its medium; None for a drive without one."""

    id: str
    node: Mapping[str, Any] | None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the options; raises QmpError."""
        options = split(text)
        if (bus := options.pop("if", "none")) != "none":
            raise errors.generic(f"unsupported bus type '{bus}'")
        name = options.pop("id", "none0")
        if not _ID.fullmatch(name):
            raise errors.generic("Parameter 'id' expects an identifier")
        if (media := options.pop("media", "disk")) not in ("disk", "cdrom"):
            raise errors.generic(f"'{media}' invalid media")
        read_only = media == "cdrom" or options.pop("readonly", "off") == "on"
        if read_only:
            options.setdefault("read-only", "on")
        return cls(name, _medium({k: v for k, v in options.items() if k not in _IGNORED}))


def _medium(options: dict[str, str]) -> dict[str, Any] | None:
    driver = options.pop("format", "")
    if driver and "driver" in options:
        raise errors.generic("Cannot specify both 'driver' and 'format'")
    driver = driver or options.pop("driver", "")
    path = options.pop("file", None)
    rest = nest(options)
    if path is None:
        return {"driver": driver, **rest} if driver or "file" in rest else None
    return image_at(path, driver) | rest


def split(text: str) -> dict[str, str]:
    """The keys and values of `a=b,c=d`, where `,,` is a comma; a key alone means `on`."""
    options: dict[str, str] = {}
    for part in re.findall(r"(?:[^,]|,,)+", text):
        key, equals, value = part.replace(",,", ",").partition("=")
        options[key] = value if equals else "on"
    return options
