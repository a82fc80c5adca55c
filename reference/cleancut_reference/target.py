"""The target of a backup: how it is opened, and what it must be."""

from dataclasses import dataclass
from typing import Final

from cleancut_reference import errors
from cleancut_reference.block.drive import Drive
from cleancut_reference.block.request import DiskRequest, Failed, Op, Opened
from cleancut_reference.errors import QmpError
from cleancut_reference.state import State
from cleancut_spec import cites

QCOW2_MAGIC: Final = b"QFI\xfb"


@dataclass(frozen=True, slots=True)
class Target:
    """Where a backup goes; `format` is empty where the command names none."""

    path: str
    existing: bool
    format: str = ""

    @cites("ARG-FORMAT-1")
    def check_format(self) -> None:
        """Refuse a format that this server cannot write; drives are raw, so that is the default."""
        if self.format == "qcow2":
            raise errors.generic("Format 'qcow2' is not supported by this server")
        if self.format not in ("", "raw"):
            raise errors.generic(f"Unknown file format '{self.format}'")

    @cites("ARG-MODE-1", "ARG-MODE-2")
    def open_request(self, drive: Drive) -> DiskRequest:
        """Open the file; make it only if it need not exist."""
        return DiskRequest(
            Op.OPEN_TARGET, f"{drive.name}.target", path=self.path, create=not self.existing
        )

    @cites("ARG-MODE-1")
    def reset_request(self, drive: Drive) -> DiskRequest | None:
        """Give a new target the drive's size; an existing one stays as it is."""
        if self.existing:
            return None
        assert drive.size_bytes is not None
        node = f"{drive.name}.target"
        return DiskRequest(Op.RESET_TARGET, node, length_bytes=drive.size_bytes)

    def open_error(self, failed: Failed) -> QmpError:
        """What to answer when the file cannot be opened."""
        verb = "open" if self.existing else "create"
        reason = failed.desc or errors.strerror(failed.errno)
        return errors.generic(f"Could not {verb} '{self.path}': {reason}")


@cites("ARG-SIZE-1", "ARG-FORMAT-1")
def check_opened(state: State, target: Target, drive: Drive, opened: Opened) -> None:
    """Refuse a target that is in use, of another format or of another size."""
    if opened.identity == drive.identity:
        raise errors.generic("Source and target cannot be the same")
    if opened.identity in state.identities_in_use():
        raise errors.generic('Failed to get "resize" lock')
    if not target.existing:
        return
    if target.format == "" and opened.head.startswith(QCOW2_MAGIC):
        raise errors.generic(f"'{target.path}' is a qcow2 image; this server writes raw ones only")
    if opened.size_bytes != drive.size_bytes:
        raise errors.generic("Source and target image have different sizes")
