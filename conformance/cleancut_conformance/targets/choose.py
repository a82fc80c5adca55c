"""From the text after `--target` to a target."""

import shutil

from cleancut_conformance.targets.base import Target, TargetError
from cleancut_conformance.targets.qemu import Qemu
from cleancut_conformance.targets.reference import Reference
from cleancut_conformance.targets.socket import Socket

FORMS = "reference, qemu:PATH, unix:SOCKET"


def choose(text: str) -> Target:
    """The target that the text names; raises TargetError for one that cannot be."""
    kind, _, rest = text.partition(":")
    if text == "reference":
        return Reference()
    if kind == "qemu" and rest:
        program = shutil.which(rest)
        if program is None:
            raise TargetError(f"no program {rest!r} that can be run (Debian: qemu-system-x86)")
        return Qemu(program)
    if kind == "unix" and rest:
        return Socket(rest)
    raise TargetError(f"no target {text!r}; it is one of {FORMS}")
