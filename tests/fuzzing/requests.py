"""Requests made from the schema that the server serves: legal ones, and such with one mistake."""

from collections.abc import Callable
from typing import Any, Final

from hypothesis import strategies as st

from cleancut_reference.commands import COMMANDS
from cleancut_reference.introspection import served

from . import exports

Entity = dict[str, Any]

DRIVES: Final = ("d0", "d1")
NODES: Final = ("n0", "n1", "q0", "bad", "m0", "m1")
BITMAPS: Final = ("b0", "b1")
FILES: Final = ("t0", "t1", "q0.qcow2", "d0.img", "no/such")
EXPORTS: Final = tuple(f"nbd:unix:{exports.SOCKET}:exportname={each}" for each in exports.NAMES)
#: What a text may be, by the name of its member; else any name.
_TEXTS: Final[dict[str, tuple[str, ...]]] = {
    "device": (*DRIVES, *NODES[:2]), "node": (*DRIVES, *NODES[:2]), "node-name": NODES,
    "name": BITMAPS, "bitmap": BITMAPS, "target": (*FILES, *NODES, *BITMAPS, *EXPORTS),
    "path": (exports.SOCKET, "no/such"),
    "export": exports.NAMES, "filename": FILES,
    "format": ("raw", "qcow2"), "job-id": ("j0", "d0"), "id": ("j0", *DRIVES, "g"),
    "snapshot-file": ("s0", "s1"), "throttle-group": ("g",), "driver": ("virtio-blk-pci",),
    "drive": DRIVES,
}  # fmt: skip
_ANY_TEXT: Final = st.sampled_from([*DRIVES, *NODES, *BITMAPS, *FILES, "j0", "g", "", "\0", "é☃"])
_NUMBERS: Final = st.sampled_from(
    [0, 1, -1, 2, 511, 512, 4096, 65536, 1 << 20, 1 << 31, 2**63 - 1, -(2**63)]
)
_WRONG: Final = st.sampled_from(
    [None, True, 0, 1.5, -1, 2**63, 1e300, "", "bogus", [], {}, [[]], {"driver": "raw"}]
)

TYPES: Final[dict[str, Entity]] = {
    str(entity["name"]): dict(entity) for entity in served([*COMMANDS, "qmp_capabilities"])
}
#: What would end the run before it has begun.
LEFT_OUT: Final = frozenset({"quit"})
NAMES: Final = sorted(set(COMMANDS) - LEFT_OUT)

Draw = Callable[[st.SearchStrategy[Any]], Any]


def _text(draw: Draw, member: str) -> str:
    likely = _TEXTS.get(member)
    strategy = st.sampled_from(likely) if likely and draw(st.integers(0, 9)) else _ANY_TEXT
    return str(draw(strategy))


def value(draw: Draw, type_name: str, member: str, depth: int) -> Any:
    """A value that the schema allows, where a member of this name stands."""
    entity = TYPES[type_name]
    match entity["meta-type"]:
        case "builtin":
            return _builtin(draw, entity["json-type"], member)
        case "enum":
            return draw(st.sampled_from(entity["values"]))
        case "array":
            most = 0 if depth > 5 else 3
            count = draw(st.integers(0, most))
            return [value(draw, entity["element-type"], member, depth + 1) for _ in range(count)]
        case "alternate":
            kinds = [each["type"] for each in entity["members"]]
            if depth > 3:  # a name ends the chain of nodes
                kinds = [kind for kind in kinds if TYPES[kind]["meta-type"] != "object"] or kinds
            return value(draw, draw(st.sampled_from(kinds)), member, depth + 1)
        case _:
            return _object(draw, entity, depth)


def _builtin(draw: Draw, kind: str, member: str) -> Any:
    match kind:
        case "string":
            return _text(draw, member)
        case "int":
            return draw(_NUMBERS)
        case "number":
            return draw(_NUMBERS | st.floats(allow_nan=False, allow_infinity=False))
        case "boolean":
            return draw(st.booleans())
        case "null":
            return None
        case _:
            return draw(_WRONG)


def _object(draw: Draw, entity: Entity, depth: int) -> dict[str, Any]:
    members = list(entity["members"])
    found: dict[str, Any] = {}
    if "tag" in entity:
        variant = draw(st.sampled_from(entity["variants"]))
        found[entity["tag"]] = variant["case"]
        members += TYPES[variant["type"]]["members"]
    for member in members:
        name = member["name"]
        wanted = "default" not in member or draw(st.integers(0, 5)) == 0
        if name not in found and wanted:
            found[name] = value(draw, member["type"], name, depth + 1)
    return found


def _spoil(draw: Draw, arguments: dict[str, Any]) -> dict[str, Any]:
    """The same with one mistake somewhere: a member too many, one missing, or one ill-typed."""
    at: Any = arguments
    while True:
        inner = [part for part in (at.values() if isinstance(at, dict) else at)]
        deeper = [part for part in inner if isinstance(part, dict | list) and part]
        if not deeper or draw(st.booleans()):
            break
        at = draw(st.sampled_from(deeper))
    keys = sorted(at) if isinstance(at, dict) else list(range(len(at)))
    if isinstance(at, dict) and (not keys or draw(st.booleans())):
        at["foo"] = draw(_WRONG)
    elif keys:
        key = draw(st.sampled_from(keys))
        if draw(st.booleans()):
            at[key] = draw(_WRONG)
        else:
            del at[key]
    return arguments


@st.composite
def any_request(draw: Draw) -> dict[str, Any]:
    """A command with arguments by the schema, one in four with a mistake."""
    name = draw(st.sampled_from(NAMES))
    arguments = value(draw, TYPES[name]["arg-type"], "", 0)
    if draw(st.integers(0, 3)) == 0:
        arguments = _spoil(draw, arguments)
    return {"execute": name, "arguments": arguments}


_OFFSETS: Final = st.sampled_from(["0", "512", "64k", "100k", "192k", "256k", "1M"])
_LENGTHS: Final = st.sampled_from(["512", "4k", "64k", "130k", "256k"])


@st.composite
def guest_request(draw: Draw) -> dict[str, Any]:
    """A guest's request through the human monitor."""
    verbs = ["write -P 0x5a", "write -P 0xa5", "aio_write -P 7", "write -z", "read", "discard"]
    verb, at, length = draw(st.sampled_from(verbs)), draw(_OFFSETS), draw(_LENGTHS)
    line = f'qemu-io {draw(st.sampled_from(DRIVES))} "{verb} {at} {length}"'
    return {"execute": "human-monitor-command", "arguments": {"command-line": line}}


@st.composite
def monitor_request(draw: Draw) -> dict[str, Any]:
    """Anything else of the human monitor."""
    lines = [
        'qemu-io bad "break pwritev A"', 'qemu-io bad "resume A"', 'qemu-io d0 "aio_flush"',
        'qemu-io d0 "flush"', 'qemu-io d0 "length"', 'qemu-io d0 "foo"', "qemu-io d0",
        "drive_del d1", "drive_add 0 if=none,id=d9,file=t1,format=raw", "drive_del d9",
        "clock_step", "info", "",
        'qemu-io n0 "write 0 64k"', "clock_step 1000000000", "qemu-io d0 'x", "drive_add 0 x",
    ]  # fmt: skip
    line = draw(st.sampled_from(lines))
    return {"execute": "human-monitor-command", "arguments": {"command-line": line}}


#: What may be said of a job, besides where it copies from and to; mostly nothing.
_SETTINGS: Final[dict[str, tuple[Any, ...]]] = {
    "speed": (65536, 1), "auto-finalize": (False,), "auto-dismiss": (False,),
    "on-source-error": ("stop",), "on-target-error": ("ignore", "stop"),
}  # fmt: skip
_SCOPES: Final[tuple[dict[str, str], ...]] = (
    {"sync": "full"},
    {"sync": "full"},
    {"sync": "incremental", "bitmap": "b0"},
    {"sync": "bitmap", "bitmap": "b0", "bitmap-mode": "always"},
    {"sync": "bitmap", "bitmap": "b0", "bitmap-mode": "never"},
    {"sync": "full", "bitmap": "b0", "bitmap-mode": "on-success"},
    {"sync": "none"},
)


@st.composite
def _backup(draw: Draw, drive: str) -> dict[str, Any]:
    """An action that may well succeed; what goes to a node cannot be looked at afterwards."""
    scope = draw(st.sampled_from(_SCOPES))
    to_node = scope["sync"] == "none" or draw(st.integers(0, 3)) == 3
    target = draw(st.sampled_from([f"n{drive[1:]}", "bad"])) if to_node else f"t{drive[1:]}"
    data: dict[str, Any] = {"device": drive, "target": target, **scope}
    for name, choices in _SETTINGS.items():
        if draw(st.integers(0, 3)) == 3:
            data[name] = draw(st.sampled_from(choices))
    return {"type": "blockdev-backup" if to_node else "drive-backup", "data": data}


@st.composite
def backup_request(draw: Draw) -> dict[str, Any]:
    """A backup that may well succeed, alone or in a transaction."""
    chosen = draw(st.sampled_from([["d0"], ["d1"], ["d0", "d1"], ["d1", "d0"]]))
    actions = [draw(_backup(drive)) for drive in chosen]
    if draw(st.integers(0, 7)) == 7:
        actions.append({"type": "abort", "data": {}})
    if len(actions) == 1 and draw(st.booleans()):
        return {"execute": actions[0]["type"], "arguments": actions[0]["data"]}
    arguments: dict[str, Any] = {"actions": actions}
    if draw(st.booleans()):
        mode = draw(st.sampled_from(["grouped", "individual"]))
        arguments["properties"] = {"completion-mode": mode}
    return {"execute": "transaction", "arguments": arguments}


@st.composite
def job_request(draw: Draw) -> dict[str, Any]:
    """Something asked of a job that may well be there."""
    verbs = ["cancel", "pause", "resume", "finalize", "dismiss", "complete", "set-speed"]
    verb, job = draw(st.sampled_from(verbs)), draw(st.sampled_from(DRIVES))
    if verb != "set-speed" and draw(st.booleans()):
        return {"execute": f"job-{verb}", "arguments": {"id": job}}
    arguments: dict[str, Any] = {"id" if verb in ("finalize", "dismiss") else "device": job}
    if verb == "set-speed":
        arguments["speed"] = draw(st.sampled_from([0, 1, 65536, 1 << 20]))
    if verb == "cancel" and draw(st.booleans()):
        arguments["force"] = True
    return {"execute": f"block-job-{verb}", "arguments": arguments}


@st.composite
def bitmap_request(draw: Draw) -> dict[str, Any]:
    """Something done to a bitmap that may well be there."""
    verb = draw(st.sampled_from(["add", "add", "remove", "clear", "enable", "disable"]))
    where = {"node": draw(st.sampled_from(DRIVES)), "name": draw(st.sampled_from(BITMAPS))}
    return {"execute": f"block-dirty-bitmap-{verb}", "arguments": where}


#: Whatever may be sent; and what keeps to backups of drives, so that all content can be foretold.
ANY: Final = st.one_of(
    any_request(), any_request(), any_request(), guest_request(), monitor_request(),
    backup_request(), job_request(), bitmap_request(),
)  # fmt: skip
BACKUPS: Final = st.one_of(
    guest_request(), backup_request(), guest_request(), backup_request(), job_request(),
    bitmap_request(),
    st.sampled_from([{"execute": f"query-{name}"} for name in ("jobs", "block-jobs", "block")]),
)  # fmt: skip
SEEDS: Final = st.integers(0, 1 << 20)

_BITMAPS: Final = [
    ({"execute": "block-dirty-bitmap-add", "arguments": {"node": drive, "name": "b0"}}, 10)
    for drive in DRIVES
]


def dialogues(requests: st.SearchStrategy[Any]) -> st.SearchStrategy[list[tuple[Any, int]]]:
    """Lists of requests, each with the steps that the server takes before the next one comes."""
    request = st.tuples(requests, st.sampled_from([1000, 40, 10, 3, 1, 0]))
    begin = st.sampled_from([[], _BITMAPS])
    return st.builds(lambda first, rest: first + rest, begin, st.lists(request, max_size=40))
