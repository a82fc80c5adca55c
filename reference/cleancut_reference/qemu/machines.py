"""The machines and devices that a command line may name, and what each needs. Pure."""

from typing import Final

from cleancut_reference.devices import CONTROLLERS, DISKS

#: Name and what `-machine help` says of it. None of them has a processor here.
MACHINES: Final = {
    "none": "empty machine",
    "pc": "Standard PC (i440FX + PIIX, 1996) (alias of pc-i440fx-7.2)",
    "pc-i440fx-7.2": "Standard PC (i440FX + PIIX, 1996) (default)",
    "q35": "Standard PC (Q35 + ICH9, 2009) (alias of pc-q35-7.2)",
    "pc-q35-7.2": "Standard PC (Q35 + ICH9, 2009)",
}

ACCELERATORS: Final = ("tcg", "kvm", "qtest")

#: The bus that a device must find; a machine `none` has no bus at all.
_BUSES: Final = {"scsi-hd": "SCSI", "ide-hd": "IDE"}


def missing_bus(model: str) -> str:
    """What QEMU says where a machine has no bus for this device."""
    return f"No '{_BUSES.get(model, 'PCI')}' bus found for device '{model}'"


def machine_help() -> str:
    """What `-machine help` prints."""
    lines = [f"{name:<20} {text}" for name, text in MACHINES.items()]
    return "\n".join(["Supported machines are:", *lines, ""])


def device_help() -> str:
    """What `-device help` prints."""
    controllers = [f'name "{name}", bus PCI' for name in sorted(CONTROLLERS)]
    disks = [f'name "{name}", bus {_BUSES.get(name, "PCI")}' for name in sorted(DISKS)]
    lines = ["Controller/Bridge/Hub devices:", *controllers, "", "Storage devices:", *disks, ""]
    return "\n".join(lines)
