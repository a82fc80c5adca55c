"""Values of options, which come as JSON from QMP and as text from a command line."""

from typing import Any

from cleancut_reference import errors
from cleancut_reference.sizes import parse_size


def as_bool(name: str, value: Any) -> bool:
    """A switch, as JSON or as text; raises QmpError."""
    words = {True: True, False: False, "on": True, "off": False, "yes": True, "no": False}
    if isinstance(value, bool | str) and value in words:
        return words[value]
    raise errors.generic(f"Parameter '{name}' expects 'on' or 'off'")


def as_int(name: str, value: Any) -> int:
    """A number, as JSON or as text (`64k`, too); raises QmpError."""
    try:
        if isinstance(value, str) and value[-1:].isalpha():
            return parse_size(value)
        return int(value, 0) if isinstance(value, str) else int(value)
    except (TypeError, ValueError):
        raise errors.generic(f"Parameter '{name}' expects a number") from None
