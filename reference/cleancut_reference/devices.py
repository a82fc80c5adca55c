"""The guest's devices, as far as a drive has an I/O status and cannot be ejected.

The guest is taken to let a device of its PCI bus go as soon as it runs; a disk on a SCSI bus is
gone at once.
"""

from collections.abc import Iterator
from typing import Any, Final

from cleancut_reference import errors
from cleancut_reference.block.node import Drive, GuestDevice
from cleancut_reference.block.request import DiskRequest, Outcome
from cleancut_reference.errors import QmpError
from cleancut_reference.outputs import Event
from cleancut_reference.state import State
from cleancut_reference.step import Step

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
    drive = _drive(state, DISKS[model], arguments.get("drive")) if model in DISKS else None
    if name and any(device.id == name for device in state.devices):
        raise errors.generic(f"Duplicate device ID '{name}'")
    anonymous = sum(not device.id for device in state.devices)
    place = f"peripheral/{name}" if name else f"peripheral-anon/device[{anonymous}]"
    device = GuestDevice(name, model, f"/machine/{place}")
    state.devices.append(device)
    if drive is not None:
        drive.device = device
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


def device_del(state: State, arguments: dict[str, Any]) -> Any:
    """Take a device from the guest, and with it the drive that it has."""
    name = arguments["id"]
    device = next((each for each in state.devices if name and name in (each.id, each.path)), None)
    if device is None:
        raise QmpError("DeviceNotFound", f"Device '{name}' not found")
    if device.model == "ide-hd":
        raise errors.generic("Bus 'ide.1' does not support hotplugging")
    if device.unplugging:
        raise errors.generic(f"Device {name} is already in the process of unplug")
    device.unplugging = True
    return {}


def steps(state: State) -> Iterator[Step]:
    """A device that is to go does so when nothing of its drive is under way."""
    for device in state.devices:
        drive = next((each for each in state.graph.drives if each.device is device), None)
        may_go = state.run_state == "running" or device.model == "scsi-hd"
        if device.unplugging and may_go and (drive is None or _at_rest(drive)):
            yield _remove(state, device, drive)


def _at_rest(drive: Drive) -> bool:
    """Whether neither a request nor a job needs the drive."""
    if drive.root is None:
        return True
    asked = any(request.drive is drive for request in drive.root.traffic.requests)
    return not (asked or drive.root.blockers or drive.root.job)


def _remove(state: State, device: GuestDevice, drive: Drive | None) -> Step:
    root = drive.root if drive else None
    others = [one for one in state.graph.parents(root) if one is not drive] if root else []
    close: DiskRequest | None = None
    if root is not None and not others and not root.monitor_owned:
        close = state.graph.close_request(state.graph.unused_below(root))

    def run(_: Outcome) -> None:
        state.devices.remove(device)
        if drive is not None:
            state.graph.drives.remove(drive)
        if root is not None and close is not None:
            state.graph.remove_tree(root)
        if device.part != device.path:
            state.outbox.append(Event("DEVICE_DELETED", {"path": device.part}))
        named = {"device": device.id} if device.id else {}
        state.outbox.append(Event("DEVICE_DELETED", {**named, "path": device.path}))

    return Step(None, run, close)
