"""Whether a message is what a case expects.

An object matches if each key that the pattern names matches; a list matches element by element.
`$any` matches everything, `{$contains: text}` a string with that part, `{$le: n}` and `{$ge: n}` a
number, `{$absent: true}` a key that is not there, `{$has: pattern}` a list with such an element,
`{$lacks: pattern}` a list without one, or no list at all.
"""

from typing import Any, Final

ANY: Final = "$any"
_MISSING: Final = object()


def matches(pattern: Any, value: Any) -> bool:
    """Whether the value is one of those that the pattern describes."""
    if pattern == ANY:
        return value is not _MISSING
    if isinstance(pattern, dict):
        operators = [key for key in pattern if isinstance(key, str) and key.startswith("$")]
        if operators:
            return all(_operator(key, pattern[key], value) for key in operators)
        return isinstance(value, dict) and all(
            matches(part, value.get(key, _MISSING)) for key, part in pattern.items()
        )
    if isinstance(pattern, list):
        return (
            isinstance(value, list)
            and len(value) == len(pattern)
            and all(matches(p, v) for p, v in zip(pattern, value, strict=True))
        )
    return type(pattern) is type(value) and bool(pattern == value)


def _operator(name: str, operand: Any, value: Any) -> bool:
    match name:
        case "$contains":
            return isinstance(value, str) and operand in value
        case "$le":
            return isinstance(value, int) and value <= operand
        case "$ge":
            return isinstance(value, int) and value >= operand
        case "$absent":
            return (value is _MISSING) == bool(operand)
        case "$has":
            return isinstance(value, list) and any(matches(operand, item) for item in value)
        case "$lacks":
            listed = value if isinstance(value, list) else []
            return not any(matches(operand, item) for item in listed)
    raise ValueError(f"unknown operator {name!r}")
