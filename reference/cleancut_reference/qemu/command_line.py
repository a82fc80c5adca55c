"""Splits a command line as QEMU does: options with one dash or two, each with its value. Pure."""

from collections.abc import Iterator, Sequence
from typing import Final

FLAGS: Final = frozenset(
    {"S", "nodefaults", "nographic", "no-user-config", "no-reboot", "no-shutdown", "no-acpi",
     "no-hpet", "enable-kvm", "version", "help", "h"}
)  # fmt: skip
VALUED: Final = frozenset(
    {"machine", "M", "display", "vga", "accel", "drive", "blockdev", "object", "device", "chardev",
     "mon", "qmp", "qtest", "qtest-log", "serial", "parallel", "monitor", "pidfile", "net", "nic"}
)  # fmt: skip

#: Of a guest that is not there: accepted, and without meaning.
OF_THE_GUEST: Final = frozenset(
    {"m", "cpu", "smp", "name", "uuid", "rtc", "boot", "bios", "L", "msg", "overcommit", "kernel",
     "initrd", "append"}
)  # fmt: skip

#: QEMU has no such options.
OURS: Final = frozenset({"clock", "fault", "image-root", "profile", "seed"})


class CommandLineError(Exception):
    """The command line asks for something that cannot be; the message is what to print."""


def split_options(words: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Each option's name without dashes, with its value; raises CommandLineError."""
    rest = iter(words)
    for word in rest:
        if not word.startswith("-") or word == "-":
            raise CommandLineError(
                f"{word}: there is no guest with a disk of its own; use -drive if=none"
            )
        name = word[2:] if word.startswith("--") else word[1:]
        if name in FLAGS:
            yield name, ""
        elif name in VALUED or name in OF_THE_GUEST or name in OURS:
            value = next(rest, None)
            if value is None:
                raise CommandLineError(f"{word}: requires an argument")
            yield name, value
        else:
            raise CommandLineError(f"{word}: invalid option")
