"""The guest's devices, as far as a drive has an I/O status and cannot be ejected."""

from typing import Any, Final

from cleancut_reference import errors
from cleancut_reference.block.node import Drive, GuestDevice
from cleancut_reference.state import State

#: Models that have a drive, and the part of each that does.
DISKS: Final = {
    "virtio-blk-pci": "virtio-blk-device",
    "virtio-blk": "virtio-blk-device",
    "scsi-hd": "scsi-hd",
    "ide-hd": "ide-hd",
}

#: Models that only carry others.
CONTROLLERS: Final = frozenset({"virtio-scsi-pci", "virtio-scsi", "ich9-ahci", "pcie-root-port"})


def device_add(state: State, arguments: dict[str, Any]) -> Any:
    """Give a drive, or a node, to a device of the guest."""
    model, name = arguments["driver"], arguments.get("id", "")
    if model not in DISKS and model not in CONTROLLERS:
        raise errors.generic(f"'{model}' is not a valid device model name")
    if model in DISKS:
        drive = _drive(state, DISKS[model], arguments.get("drive"))
    if name in state.devices:
        raise errors.generic(f"Duplicate device ID '{name}'")
    anonymous = sum(not known for known in state.devices)
    state.devices.append(name)
    if model in DISKS:
        place = f"peripheral/{name}" if name else f"peripheral-anon/device[{anonymous}]"
        part = "/virtio-backend" if model.startswith("virtio-blk") else ""
        drive.device = GuestDevice(name, f"/machine/{place}{part}")
    return {}


def _drive(state: State, part: str, name: str | None) -> Drive:
    """The drive with this name, or a way in of its own to the node; raises QmpError."""
    if name is None:
        raise errors.generic("drive property not set")
    drive = state.graph.drive(name)
    if drive is not None and drive.device is not None:
        raise errors.generic(f"Drive '{name}' is already in use by another device")
    if drive is None:
        if name not in state.graph.nodes:
            raise errors.generic(f"Property '{part}.drive' can't find value '{name}'")
        drive = Drive("", state.graph.nodes[name])
        state.graph.drives.append(drive)
    return drive
