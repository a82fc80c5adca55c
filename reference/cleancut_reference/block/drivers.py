"""The block drivers: what each stands on, and which options it knows."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from cleancut_reference.nbd.names import name_of
from cleancut_reference.nbd.names import options_of as nbd_options
from cleancut_spec.qmp import schema


@dataclass(frozen=True, slots=True)
class Driver:
    """A driver's children, the first of which must be there.

    A protocol stands on no other node. Only what `creates` can be made anew. `refused` are options
    that QEMU has and this server has not.
    """

    children: tuple[str, ...] = ()
    protocol: bool = False
    creates: bool = False
    refused: frozenset[str] = frozenset()


DRIVERS: Final[Mapping[str, Driver]] = {
    "file": Driver(protocol=True, creates=True),
    "memory": Driver(protocol=True),  # not in QEMU: only the command line makes one
    "null-co": Driver(protocol=True, refused=frozenset({"latency-ns"})),
    "nbd": Driver(
        protocol=True, refused=frozenset({"x-dirty-bitmap", "reconnect-delay", "open-timeout"})
    ),
    "raw": Driver(("file",), creates=True, refused=frozenset({"offset", "size"})),
    "qcow2": Driver(
        ("file", "backing"), creates=True, refused=frozenset({"encrypt", "data-file"})
    ),
    "blkdebug": Driver(
        ("image",),
        refused=frozenset(
            {"config", "align", "max-transfer", "opt-write-zero", "max-write-zero", "opt-discard",
             "max-discard", "take-child-perms", "unshare-child-perms"}
        ),
    ),
    "throttle": Driver(("file",)),
}  # fmt: skip


def options_of(driver: str) -> set[str]:
    """The options that a driver knows, its children among them."""
    if driver == "memory":
        return {"size"}
    described = schema()[f"blockdev-add-arg:{driver}"]
    return {member["name"] for member in described["members"]}


def common_options() -> set[str]:
    """The options that every driver knows."""
    return {member["name"] for member in schema()["blockdev-add-arg"]["members"]}


def filename(
    driver: str, options: Mapping[str, Any], children: Mapping[str, tuple[str, str]], own: str
) -> str:
    """What queries call a node: a file's name, or all its options as `json:`.

    `children` tells each child's driver and file name; `own` is the name of a file.
    """
    if own:
        return own
    silent = common_options() | {"filename"}
    said = {key: value for key, value in options.items() if key not in silent}
    if driver in ("raw", "qcow2") and not said:
        child, name = children["file"]
        if DRIVERS[child].protocol and not name.startswith("json:"):
            return name
    if driver == "blkdebug" and not said and not children["image"][1].startswith("json:"):
        return f"blkdebug::{children['image'][1]}"
    if driver == "null-co" and not said:
        return "null-co://"
    if driver == "nbd" and (name := name_of(said)):
        return name
    return "json:" + json.dumps(_description(driver, said, children))


def _description(
    driver: str, said: Mapping[str, Any], children: Mapping[str, tuple[str, str]]
) -> dict[str, Any]:
    whole: dict[str, Any] = {"driver": driver, **said}
    for role, (child, name) in children.items():
        if name.startswith("json:"):
            whole[role] = json.loads(name.removeprefix("json:"))
        elif name == "null-co://":
            whole[role] = {"driver": "null-co"}
        elif child == "nbd":
            whole[role] = {"driver": "nbd", **nbd_options(name)}
        elif DRIVERS[child].protocol:
            whole[role] = {"driver": child, "filename": name}
        else:
            whole[role] = {"driver": child, "file": {"driver": "file", "filename": name}}
    return whole
