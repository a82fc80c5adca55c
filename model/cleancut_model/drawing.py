"""A run as a sequence diagram, in Mermaid or SVG, and as an ITF trace.

ITF is the Informal Trace Format of Apalache (its ADR 015), which trace viewers read.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

from cleancut_model.concrete import replay
from cleancut_model.options import Options
from cleancut_spec.schedule import Label

#: Who takes each step, and whom it touches; `*` is the drive's own number.
ARROWS: Final[dict[str, tuple[str, str]]] = {
    **dict.fromkeys(("begin", "begin_again"), ("client", "transaction")),
    **dict.fromkeys(("drain", "undrain"), ("transaction", "drive *")),
    **dict.fromkeys(("prepare", "rollback", "commit"), ("transaction", "job *")),
    **dict.fromkeys(
        ("fail_prepare", "find_busy", "commit_snapshot", "commit_clear"), ("drive *", "transaction")
    ),
    **dict.fromkeys(
        (
            "prepare_add",
            "prepare_clear",
            "prepare_enable",
            "prepare_disable",
            "prepare_merge",
            "rollback_bitmap",
        ),
        ("transaction", "drive *"),
    ),
    "fail_bitmap": ("drive *", "transaction"),
    **dict.fromkeys(("reply", "refuse"), ("transaction", "client")),
    "fail_other": ("transaction", "transaction"),
    "guest_write": ("guest *", "drive *"),
    **dict.fromkeys(("guest_start", "cbw_claim"), ("drive *", "drive *")),
    "guest_done": ("drive *", "guest *"),
    "cbw_read": ("drive *", "job *"),
    "cbw_write": ("job *", "target *"),
    **dict.fromkeys(("fail_cbw_read", "fail_cbw_write"), ("job *", "guest *")),
    "copy_claim": ("job *", "job *"),
    **dict.fromkeys(("copy_read", "fail_copy_read"), ("drive *", "job *")),
    "copy_write": ("job *", "target *"),
    "fail_copy_write": ("target *", "job *"),
    **dict.fromkeys(
        ("pause", "resume", "cancel", "force_cancel", "set_speed", "finalize", "dismiss"),
        ("client", "job *"),
    ),
    "finish": ("job *", "job *"),
    **dict.fromkeys(("complete", "abort"), ("job *", "client")),
    **dict.fromkeys(("group_pending", "group_cancel"), ("transaction", "transaction")),
    "group_complete": ("transaction", "client"),
    **dict.fromkeys(("other_start", "other_end"), ("client", "drive *")),
    **dict.fromkeys(("disconnect", "reconnect", "die", "restart"), ("client", "transaction")),
}


@dataclass(frozen=True, slots=True)
class Message:
    """An arrow of the diagram."""

    source: str
    target: str
    text: str


def messages(schedule: Sequence[Label], values: Sequence[int | None]) -> list[Message]:
    """The arrows of a run, one for each step."""
    found = []
    for label, value in zip(schedule, values, strict=True):
        drive = "" if label.drive is None else str(label.drive)
        source, target = (end.replace("*", drive) for end in ARROWS[label.name])
        text = str(label) if value is None else f"{label} = {value}"
        found.append(Message(source, target, text))
    return found


def listing(schedule: Sequence[Label], values: Sequence[int | None]) -> str:
    """The steps of a run as numbered lines."""
    run = messages(schedule, values)
    return "\n".join(f"   {number:>3}  {each.text}" for number, each in enumerate(run, start=1))


def _participants(run: Sequence[Message]) -> list[str]:
    """Everybody in the run, the client first, then drive by drive."""
    kinds = ["client", "transaction", "guest", "drive", "job", "target"]

    def place(name: str) -> tuple[str, int]:
        kind, _, drive = name.partition(" ")
        return drive, kinds.index(kind)

    return sorted({end for message in run for end in (message.source, message.target)}, key=place)


def mermaid(run: Sequence[Message], end: str) -> str:
    """A Mermaid sequence diagram; `end` is what is noted at its end."""
    lines = ["sequenceDiagram"]
    names = _participants(run)
    lines += [f"  participant {_word(name)} as {name}" for name in names]
    lines += [f"  {_word(m.source)}->>{_word(m.target)}: {m.text}" for m in run]
    lines.append(f"  note over {_word(names[0])},{_word(names[-1])}: {end}")
    return "\n".join(lines) + "\n"


def _word(name: str) -> str:
    return name.replace(" ", "")


COLUMN_PX: Final = 130
ROW_PX: Final = 26
TOP_PX: Final = 50


def svg(run: Sequence[Message], end: str) -> str:
    """The same as an SVG image."""
    names = _participants(run)
    at = {name: 70 + COLUMN_PX * i for i, name in enumerate(names)}
    width, bottom = 70 + COLUMN_PX * len(names), TOP_PX + ROW_PX * (len(run) + 1)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{bottom + 40}" '
        f'font-family="sans-serif" font-size="12">',
        '<defs><marker id="tip" markerWidth="8" markerHeight="8" refX="7" refY="4" orient="auto">'
        '<path d="M0,0 L8,4 L0,8 z"/></marker></defs>',
        '<rect width="100%" height="100%" fill="white"/>',
    ]
    for name, x in at.items():
        parts.append(f'<text x="{x}" y="24" text-anchor="middle" font-weight="bold">{name}</text>')
        parts.append(f'<path d="M{x},32 V{bottom}" stroke="#bbb" fill="none"/>')
    for row, message in enumerate(run):
        parts.append(_arrow(at[message.source], at[message.target], TOP_PX + ROW_PX * row, message))
    parts.append(f'<text x="12" y="{bottom + 24}" fill="#b00">{escape(end)}</text></svg>')
    return "\n".join(parts) + "\n"


def _arrow(start: int, stop: int, y: int, message: Message) -> str:
    way = f"M{start},{y} H{stop}"
    if start == stop:  # a step of its own: a loop to the right
        way = f"M{start},{y - 5} h22 v10 h-22"
    middle = (start + stop) // 2 if start != stop else start + 62
    text = f'<text x="{middle}" y="{y - 5}" text-anchor="middle">{escape(message.text)}</text>'
    return f'<path d="{way}" stroke="black" fill="none" marker-end="url(#tip)"/>{text}'


def itf(options: Options, schedule: Sequence[Label], values: Sequence[int | None]) -> str:
    """The states of a run, first to last, in the Informal Trace Format."""
    states = replay(options, schedule, values)
    listed = [
        {"#meta": {"index": index, **({"action": str(schedule[index - 1])} if index else {})}, **s}
        for index, s in enumerate(states)
    ]
    meta = {"format": "ITF", "description": options.describe()}
    return json.dumps({"#meta": meta, "vars": list(states[0]), "states": listed}, indent=1) + "\n"
