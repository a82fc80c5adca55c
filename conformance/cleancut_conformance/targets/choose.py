"""From the text after `--target` to a target."""

import shutil
import sys
from importlib.metadata import entry_points
from pathlib import Path
from typing import Final

from cleancut_conformance.targets.adapter import adapter
from cleancut_conformance.targets.base import Target, TargetError
from cleancut_conformance.targets.qemu import Qemu
from cleancut_conformance.targets.qsd import storage_daemon
from cleancut_conformance.targets.reference import Reference
from cleancut_conformance.targets.socket import Socket
from cleancut_spec.profiles import OLDEST, PROFILES

FORMS: Final = (
    "reference, reference:PROFILE, cleancut-qemu, qemu:PATH, qsd:PATH, unix:SOCKET, "
    "adapter:FILE.toml"
)

#: Others offer targets here: a function from the text after `NAME:` to a Target.
GROUP: Final = "cleancut.targets"


def choose(text: str) -> Target:
    """The target that the text names; raises TargetError for one that cannot be."""
    kind, _, rest = text.partition(":")
    if text == "reference":
        return Reference()
    if kind == "reference":
        if rest not in PROFILES:
            raise TargetError(f"no profile {rest!r}; it is one of {', '.join(PROFILES)}")
        return Reference(text, arguments=("--profile", rest), partial=rest == OLDEST, profile=rest)
    if text == "cleancut-qemu":
        return Qemu(_beside_python("cleancut-qemu"), text)
    if kind == "qemu" and rest:
        program = shutil.which(rest)
        if program is None:
            raise TargetError(f"no program {rest!r} that can be run (Debian: qemu-system-x86)")
        return Qemu(program)
    if kind == "qsd" and rest:
        return storage_daemon(rest)
    if kind == "unix" and rest:
        return Socket(rest)
    if kind == "adapter" and rest:
        return adapter(Path(rest))
    return _of_others(kind, rest, text)


def _beside_python(name: str) -> str:
    found = shutil.which(str(Path(sys.executable).with_name(name))) or shutil.which(name)
    if found is None:
        raise TargetError(f"no program {name!r}; it comes with the package cleancut")
    return found


def _of_others(kind: str, rest: str, text: str) -> Target:
    found = {entry.name: entry for entry in entry_points(group=GROUP)}
    if kind not in found:
        more = "".join(f", {name}:…" for name in sorted(found))
        raise TargetError(f"no target {text!r}; it is one of {FORMS}{more}")
    try:
        target: Target = found[kind].load()(rest)
    except (ImportError, AttributeError) as error:
        raise TargetError(f"target {kind!r} of {found[kind].value}: {error}") from None
    return target
