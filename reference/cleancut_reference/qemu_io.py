"""The commands of `qemu-io`, as they come through `human-monitor-command`, and what they print."""

import shlex
from dataclasses import dataclass
from typing import Final

from cleancut_reference.block.traffic import GuestOp
from cleancut_reference.errors import strerror
from cleancut_reference.sizes import SizeError, parse_size

DEFAULT_PATTERN: Final = 0xCD
MAX_LENGTH_BYTES: Final = 2**31 - 1


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

    def data(self) -> bytes:
        """What a write writes."""
        pattern = DEFAULT_PATTERN if self.pattern is None else self.pattern
        return bytes([pattern]) * self.length_bytes if self.op is GuestOp.WRITE else b""


_OPS: Final = {
    "write": GuestOp.WRITE, "w": GuestOp.WRITE, "aio_write": GuestOp.WRITE,
    "read": GuestOp.READ, "r": GuestOp.READ, "aio_read": GuestOp.READ,
    "flush": GuestOp.FLUSH, "f": GuestOp.FLUSH, "aio_flush": GuestOp.FLUSH,
}  # fmt: skip


def split_monitor_line(line: str) -> tuple[str, str]:
    """The drive and the command in `qemu-io DRIVE "COMMAND"`; raises IoError."""
    try:
        words = shlex.split(line)
    except ValueError as error:
        raise IoError(f"qemu-io: {error}") from None
    words = [word for word in words[1:] if word != "-d"]
    if len(words) != 2:
        raise IoError('qemu-io: use it as qemu-io DRIVE "COMMAND"')
    return words[0], words[1]


def parse(command: str) -> IoCommand:
    """The request in `write -P 0x11 0 64k` and its like; raises IoError."""
    name, *words = command.split() or [""]
    if name not in _OPS:
        raise IoError(f'command "{name}" not found')
    op, wait = _OPS[name], name in ("aio_flush",) or not name.startswith("aio_")
    if op is GuestOp.FLUSH:
        return IoCommand(op, wait=wait, quiet=True)
    pattern, quiet = None, False
    while words and words[0].startswith("-"):
        option = words.pop(0)
        if option == "-P" and words:
            pattern = _pattern(words.pop(0))
        elif option == "-z" and op is GuestOp.WRITE:
            pattern = 0
        elif option in ("-q", "-C", "-f", "-v"):
            quiet = quiet or option == "-q"
        else:
            raise IoError(f"{name}: invalid option {option!r}")
    if len(words) != 2:
        raise IoError(f"{name}: takes an offset and a length")
    offset_bytes, length_bytes = (_size(word) for word in words)
    if length_bytes > MAX_LENGTH_BYTES:
        raise IoError(f"length cannot exceed {MAX_LENGTH_BYTES}, given {words[1]}")
    return IoCommand(op, offset_bytes, length_bytes, pattern, wait, quiet)


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
        raise IoError(f"non-numeric length or offset argument -- {word}") from None


def report(command: IoCommand, errno: str, data: bytes) -> str:
    """What qemu-io prints when the request has ended."""
    if errno:
        return f"{command.op} failed: {strerror(errno)}\n"
    lines = []
    if command.op is GuestOp.READ and command.pattern is not None:
        stripped = data.lstrip(bytes([command.pattern]))
        if stripped:
            at = command.offset_bytes + len(data) - len(stripped)
            lines.append(
                f"Pattern verification failed at offset {at}, {command.length_bytes} bytes"
            )
    if not command.quiet:
        done = "wrote" if command.op is GuestOp.WRITE else "read"
        length = command.length_bytes
        lines.append(f"{done} {length}/{length} bytes at offset {command.offset_bytes}")
        lines.append(f"{_human(length)}, 1 ops")
    return "".join(line + "\n" for line in lines)


def _human(length_bytes: int) -> str:
    if length_bytes < 1024:
        return f"{length_bytes} bytes"
    for power, unit in ((4, "TiB"), (3, "GiB"), (2, "MiB"), (1, "KiB")):
        if length_bytes >= 1024**power:
            return f"{length_bytes / 1024**power:.4g} {unit}"
    raise AssertionError
