"""Errors as QMP shows them: a class and a description, with the texts of QEMU 7.2."""

import errno as errno_module
import os
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class QmpError(Exception):
    """A command that is refused."""

    kind: str
    desc: str


def generic(desc: str) -> QmpError:
    """An error of class GenericError."""
    return QmpError("GenericError", desc)


def command_not_found(desc: str) -> QmpError:
    """An error of class CommandNotFound."""
    return QmpError("CommandNotFound", desc)


def permission_conflict(node: str, permission: str, needs: str, holder: str) -> QmpError:
    """Somebody needs what a node above does not share."""
    return generic(
        f"Permission conflict on node '{node}': permissions '{permission}' are both required by "
        f"{needs} and unshared by {holder}."
    )


#: How an error calls a way in that has no name.
UNNAMED: Final = "an unnamed block device (uses node '{}' as 'root' child)"


def no_device(device: str, node_name: str) -> QmpError:
    """Neither the drive nor the node exists."""
    return generic(f"Cannot find device='{device}' nor node-name='{node_name}'")


def blocked(name: str, reason: str) -> QmpError:
    """A job or an overlay has claimed the node."""
    return generic(f"Node '{name}' is busy: {reason}")


def no_job(job_id: str) -> QmpError:
    """A block-job-* command names a job that does not exist."""
    return QmpError("DeviceNotActive", f"Block job '{job_id}' not found")


def wrong_status(job_id: str, status: str, verb: str) -> QmpError:
    """The job exists, but its status allows no such verb."""
    return generic(f"Job '{job_id}' in state '{status}' cannot accept command verb '{verb}'")


def strerror(errno_name: str) -> str:
    """The C library's text for an errno such as `ENOSPC`."""
    return os.strerror(getattr(errno_module, errno_name))
