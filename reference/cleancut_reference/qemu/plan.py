"""Reads QEMU's options into what is to be built and whom to talk to. Pure."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from cleancut_reference.assembly import Wanted
from cleancut_reference.drive_option import split
from cleancut_reference.qemu.channel import Channel, Nothing, character, chardev
from cleancut_reference.qemu.command_line import CommandLineError, split_options
from cleancut_reference.qemu.machines import ACCELERATORS, MACHINES, missing_bus
from cleancut_reference.qmp.parser import Bad, parse
from cleancut_reference.state import Clock
from cleancut_spec.profiles import PROFILES

#: Options of a guest that has no screen, no serial line, no network here.
_NOTHING_ELSE: Final = {
    "display": ("none",),
    "vga": ("none", "std", "cirrus", "vmware", "qxl", "virtio"),
    "serial": ("none", "null"),
    "parallel": ("none", "null"),
    "monitor": ("none", "null"),
    "net": ("none",),
    "nic": ("none",),
}


@dataclass(slots=True)
class Plan:
    """A command line, understood. `wants_help` is the help that it asks for instead of a start."""

    wanted: Wanted = field(default_factory=lambda: Wanted(dashes="-", widen=True))
    machine: str = "pc"
    monitor: Channel = field(default_factory=Nothing)
    qtest: Channel = field(default_factory=Nothing)
    pidfile: str = ""
    wants_help: str = ""
    chardevs: dict[str, Channel] = field(default_factory=dict)


def read_plan(words: Sequence[str]) -> Plan:
    """Read a command line; raises CommandLineError."""
    plan = Plan()
    options = list(split_options(words))
    for name, value in options:
        if name == "chardev" and value not in ("help", "?"):
            known, channel = chardev(value)
            if known in plan.chardevs:
                raise CommandLineError(f"-chardev {value}: Duplicate ID '{known}' for chardev")
            plan.chardevs[known] = channel
    for name, value in options:
        if not plan.wants_help:
            _read(plan, name, value)
    _check_devices(plan)
    return plan


def _read(plan: Plan, name: str, value: str) -> None:
    if name in _READERS:
        _READERS[name](plan, value)
    elif name in _NOTHING_ELSE and value.partition(",")[0] not in _NOTHING_ELSE[name]:
        raise CommandLineError(f"-{name} {value}: there is no such thing here; use -{name} none")


def _machine(plan: Plan, value: str) -> None:
    first = value.partition(",")[0]
    options = split(f"type={value}" if "=" not in first else value)
    if first in ("help", "?"):
        plan.wants_help = "machine"
        return
    plan.machine = options.get("type", plan.machine)
    if plan.machine not in MACHINES:
        raise CommandLineError("unsupported machine type; -machine help lists those there are")
    if "accel" in options:
        _check_accelerators(f"-machine {value}", options["accel"].split(":"))


def _accel(plan: Plan, value: str) -> None:
    if value in ("help", "?"):
        plan.wants_help = "accel"
        return
    options = split(f"accel={value}" if "=" not in value.partition(",")[0] else value)
    _check_accelerators(f"-accel {value}", [options.get("accel", "")])


def _check_accelerators(option: str, names: Sequence[str]) -> None:
    for name in names:
        if name not in ACCELERATORS:
            raise CommandLineError(f"{option}: invalid accelerator {name}")


def _drive(plan: Plan, value: str) -> None:
    if split(value).get("format") in ("help", "?"):
        plan.wants_help = "formats"
    plan.wanted.drives.append(value)


def _device(plan: Plan, value: str) -> None:
    if value.partition(",")[0] in ("help", "?"):
        plan.wants_help = "device"
    plan.wanted.devices.append(value)


def _object(plan: Plan, value: str) -> None:
    known = [split(text).get("id") for text in plan.wanted.objects]
    name = split(value).get("id")
    if name is not None and name in known:
        raise CommandLineError(f"-object {value}: Duplicate ID '{name}' for object")
    plan.wanted.objects.append(value)


def _qmp(plan: Plan, value: str) -> None:
    _talk(plan, f"-qmp {value}", character("-qmp", value, plan.chardevs))


def _mon(plan: Plan, value: str) -> None:
    option = f"-mon {value}"
    options = split(value if "=" in value.partition(",")[0] else f"chardev={value}")
    mode = options.get("mode", "readline")
    if mode not in ("control", "readline"):
        raise CommandLineError(f"{option}: Parameter 'mode' does not accept value '{mode}'")
    if "chardev" not in options:
        raise CommandLineError(f"{option}: Parameter 'chardev' is missing")
    if options["chardev"] not in plan.chardevs:
        raise CommandLineError(f'{option}: chardev "{options["chardev"]}" not found')
    if mode != "control":
        raise CommandLineError(f"{option}: the human monitor is not served; use mode=control")
    _talk(plan, option, plan.chardevs[options["chardev"]])


def _talk(plan: Plan, option: str, channel: Channel) -> None:
    if isinstance(channel, Nothing):
        return
    if not isinstance(plan.monitor, Nothing):
        raise CommandLineError(f"{option}: this server has one monitor; give only one")
    plan.monitor = channel


def _qtest(plan: Plan, value: str) -> None:
    plan.qtest = character("-qtest", value, plan.chardevs)


def _chardev_help(plan: Plan, value: str) -> None:
    if value in ("help", "?"):
        plan.wants_help = "chardev"


def _pidfile(plan: Plan, value: str) -> None:
    plan.pidfile = value


def _image_root(plan: Plan, value: str) -> None:
    plan.wanted.image_root = Path(value)
    plan.wanted.widen = False


def _seed(plan: Plan, value: str) -> None:
    if not value.isascii() or not value.isdigit():
        raise CommandLineError(f"-seed {value}: Parameter 'seed' expects a number")
    plan.wanted.seed = int(value)


def _profile(plan: Plan, value: str) -> None:
    if value not in PROFILES:
        raise CommandLineError(f"-profile {value}: it is one of {', '.join(PROFILES)}")
    plan.wanted.profile = PROFILES[value]


def _clock(plan: Plan, value: str) -> None:
    if value not in list(Clock):
        raise CommandLineError(f"-clock {value}: it is one of {', '.join(Clock)}")
    plan.wanted.clock = Clock(value)


def _paused(plan: Plan, value: str) -> None:
    plan.wanted.paused = True


def _help(which: str) -> Callable[[Plan, str], None]:
    def ask(plan: Plan, value: str) -> None:
        plan.wants_help = which

    return ask


_READERS: Final[Mapping[str, Callable[[Plan, str], None]]] = {
    "machine": _machine,
    "M": _machine,
    "accel": _accel,
    "drive": _drive,
    "blockdev": lambda plan, value: plan.wanted.blockdevs.append(value),
    "object": _object,
    "device": _device,
    "chardev": _chardev_help,
    "qmp": _qmp,
    "mon": _mon,
    "qtest": _qtest,
    "pidfile": _pidfile,
    "S": _paused,
    "fault": lambda plan, value: plan.wanted.faults.append(value),
    "image-root": _image_root,
    "seed": _seed,
    "clock": _clock,
    "profile": _profile,
    "version": _help("version"),
    "help": _help("help"),
    "h": _help("help"),
}


def _check_devices(plan: Plan) -> None:
    """A machine `none` has no bus for any device."""
    if plan.machine == "none" and plan.wanted.devices and not plan.wants_help:
        text = plan.wanted.devices[0]
        raise CommandLineError(f"-device {text}: {missing_bus(_model(text))}")


def _model(text: str) -> str:
    """The model of a `-device`, in words or as JSON."""
    if not text.startswith("{"):
        return text.removeprefix("driver=").partition(",")[0]
    parsed = parse(text.encode())
    if isinstance(parsed, Bad):
        raise CommandLineError(f"-device {text}: {parsed.desc}")
    assert isinstance(parsed.value, dict), "a text that begins with a brace is an object"
    return str(parsed.value.get("driver", ""))
