"""The commands of `qemu-io`, as they come through `human-monitor-command`, and what they print."""

from dataclasses import dataclass
from typing import Final

from cleancut_reference.arithmetic import NS_PER_S
from cleancut_reference.block.traffic import GuestOp
from cleancut_reference.errors import strerror
from cleancut_reference.sizes import SECTOR_BYTES, SizeError, parse_size

DEFAULT_PATTERN: Final = 0xCD
MAX_LENGTH_BYTES: Final = 2**31 - SECTOR_BYTES


class IoError(ValueError):
    """A command that qemu-io does not take; the message is what it prints."""


@dataclass(frozen=True, slots=True)
class IoCommand:
    """One request: `pattern` is what is written, or what a read is compared with."""

    op: GuestOp
    offset_bytes: int = 0
    length_bytes: int = 0
    pattern: int | None = None
    wait: bool = True  # the monitor command ends only with the request
    quiet: bool = False
    dump: bool = False  # print what has been read

    def data(self) -> bytes:
        """What a write writes."""
        pattern = DEFAULT_PATTERN if self.pattern is None else self.pattern
        return bytes([pattern]) * self.length_bytes if self.op is GuestOp.WRITE else b""


@dataclass(frozen=True, slots=True)
class Breakpoint:
    """`break`, `wait_break`, `resume` or `remove_break`."""

    verb: str
    tag: str
    event: str = ""


@dataclass(frozen=True, slots=True)
class Drain:
    """`aio_flush`: wait for all requests."""


@dataclass(frozen=True, slots=True)
class Length:
    """`length`: print the size."""


@dataclass(frozen=True, slots=True)
class _Usage:
    """A command of qemu-io with its options, of which those in `valued` take a value."""

    op: GuestOp
    options: str
    valued: str
    help: str


_READ: Final = _Usage(GuestOp.READ, "abCqvP:s:l:", "Psl", "reads a number of bytes")
_WRITE: Final = _Usage(GuestOp.WRITE, "bcCfnquzP:s:", "Ps", "writes a number of bytes")
_DISCARD: Final = _Usage(GuestOp.DISCARD, "Cq", "", "discards a number of bytes")
_USAGES: Final = {
    "read": _READ, "r": _READ, "aio_read": _READ,
    "write": _WRITE, "w": _WRITE, "aio_write": _WRITE,
    "discard": _DISCARD, "d": _DISCARD,
}  # fmt: skip
_ARGUMENTS: Final = {"break": 2, "wait_break": 1, "resume": 1, "remove_break": 1}


def parse(line: str) -> IoCommand | Breakpoint | Drain | Length:
    """The request in `write -P 0x11 0 64k` and its like; raises IoError."""
    name, *words = line.split() or [""]
    match name:
        case "break" | "wait_break" | "resume" | "remove_break":
            _check_count(name, words, _ARGUMENTS[name])
            event, tag = words if name == "break" else ("", words[0])
            return Breakpoint(name, tag, event)
        case "flush" | "f":
            return IoCommand(GuestOp.FLUSH, quiet=True)
        case "aio_flush":
            return Drain()
        case "length" | "l":
            return Length()
    if name not in _USAGES:
        raise IoError(f'command "{name}" not found')
    return _parse_range(name, _USAGES[name], words)


def _check_count(name: str, words: list[str], expected: int) -> None:
    if len(words) != expected:
        plural = "s" if expected > 1 else ""
        raise IoError(
            f"bad argument count {len(words)} to {name}, expected {expected} argument{plural}"
        )


def _parse_range(name: str, usage: _Usage, words: list[str]) -> IoCommand:
    if len(words) < 2:
        raise IoError(f"bad argument count {len(words)} to {name}, expected at least 2 arguments")
    op, pattern, flags = usage.op, None, ""
    while words and words[0].startswith("-"):
        option = words.pop(0)
        for flag in option[1:]:
            if flag not in usage.options.replace(":", ""):
                raise IoError(f"{name}: invalid option -- '{flag}'\n{name} -- {usage.help}")
        flags += option[1:]
        if option[-1] == "P" and words:
            pattern = _pattern(words.pop(0))
        elif option[-1] in usage.valued:
            raise IoError(f"{name}: option -{option[-1]} is not supported by this server")
    if len(words) != 2:
        raise IoError(f"{name} -- {usage.help}")
    offset_bytes, length_bytes = (_size(word) for word in words)
    if length_bytes > MAX_LENGTH_BYTES:
        unless = " without -n" if op is GuestOp.WRITE else ""
        raise IoError(f"length cannot exceed {MAX_LENGTH_BYTES}{unless}, given {words[1]}")
    if "z" in flags:
        op = GuestOp.WRITE_ZEROES
    wait = not name.startswith("aio_")
    return IoCommand(op, offset_bytes, length_bytes, pattern, wait, "q" in flags, "v" in flags)


def _pattern(word: str) -> int:
    try:
        value = int(word, 0)
    except ValueError:
        value = -1
    if not 0 <= value <= 255:
        raise IoError(f"{word} is not a valid pattern byte")
    return value


def _size(word: str) -> int:
    try:
        return int(word, 16) if word.lower().startswith("0x") else parse_size(word)
    except (SizeError, ValueError):
        raise IoError(
            "Parsing error: non-numeric argument, or extraneous/unrecognized suffix -- " + word
        ) from None


def report(command: IoCommand, errno: str, data: bytes, elapsed_ns: int) -> str:
    """What qemu-io prints when the request has ended."""
    verb = "write" if command.op is GuestOp.WRITE_ZEROES else str(command.op)
    if errno:
        # QEMU says nothing of a flush of a drive without medium
        return "" if command.op is GuestOp.FLUSH else f"{verb} failed: {strerror(errno)}\n"
    lines = []
    if command.op is GuestOp.READ and command.pattern is not None:
        stripped = data.lstrip(bytes([command.pattern]))
        if stripped:
            at = command.offset_bytes + len(data) - len(stripped)
            lines.append(
                f"Pattern verification failed at offset {at}, {command.length_bytes} bytes"
            )
    if not command.quiet:
        if command.dump:
            lines += _dump(command.offset_bytes, data)
        done = {"write": "wrote", "read": "read", "discard": "discard"}[verb]
        length = command.length_bytes
        lines.append(f"{done} {length}/{length} bytes at offset {command.offset_bytes}")
        lines.append(f"{human(length)}, 1 ops; {_rates(length, elapsed_ns)}")
    return "".join(line + "\n" for line in lines)


def _dump(offset_bytes: int, data: bytes) -> list[str]:
    """Sixteen bytes a line, as numbers and as text."""
    lines = []
    for at in range(0, len(data), 16):
        piece = data[at : at + 16]
        numbers = "".join(f"{byte:02x} " for byte in piece)
        text = "".join(chr(byte) if chr(byte).isalnum() else "." for byte in piece)
        lines.append(f"{offset_bytes + at:08x}:  {numbers} {text}")
    return lines


def _rates(length_bytes: int, elapsed_ns: int) -> str:
    """How long it took, in QEMU's words, and what that is a second."""
    seconds = elapsed_ns / NS_PER_S
    if elapsed_ns == 0:
        return "00.00 sec (inf EiB/sec and inf ops/sec)"
    minutes, rest = divmod(seconds, 60)
    took = f"{rest:05.2f} sec"
    if minutes >= 1:
        took = f"{minutes // 60:.0f}:{minutes % 60:02.0f}:{rest:05.2f}"
    return f"{took} ({_amount(length_bytes / seconds)}/sec and {1 / seconds:.4f} ops/sec)"


def human(length_bytes: int) -> str:
    """A size as people read it."""
    return f"{length_bytes} bytes" if length_bytes < 1024 else _amount(length_bytes)


def _amount(amount: float) -> str:
    for power, unit in ((6, "EiB"), (5, "PiB"), (4, "TiB"), (3, "GiB"), (2, "MiB"), (1, "KiB")):
        if amount >= 1024**power:
            return f"{_short(amount / 1024**power)} {unit}"
    return f"{_short(amount)} bytes"


def _short(amount: float) -> str:
    return f"{amount:.3f}".removesuffix(".000")
