"""A run as a picture of states: a row a step, a lane a drive, the cut as a line across.

Each lane shows what the drive holds, its job and its target, cluster by cluster, after the step. A
state is what `Compiled.read` gives: variables by name.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any, Final

from cleancut_spec.schedule import STEPS

State = Mapping[str, Any]

COLOURS: Final = ("#d9d9d9", "#4c8bf5", "#f2a33a", "#57a773")  # of values; others are white
STEP_PX: Final = 380
CELL_PX: Final = 22
JOB_PX: Final = 104
GAP_PX: Final = 26
ROW_PX: Final = 32
CUT_PX: Final = 26  # between the rows, for the cut
TOP_PX: Final = 64
LINE_PX: Final = 18

LEGEND: Final = (
    "squares: what each cluster holds; dashed: nothing has been copied there yet; red frame: a "
    "complete backup that differs from the cut",
    "yellow: the drive is drained, so guest writes wait; blue words: the guest's write; "
    "black words: the backup job",
)

GUEST: Final = {
    "ARRIVED": "write waits",
    "CBW_READ": "saves the old: reads",
    "CBW_WRITE": "saves the old: writes",
    "WRITING": "writes the new",
}


@dataclass(frozen=True, slots=True)
class Row:
    """A step and the state after it; `notes` are what was seen besides, as events."""

    step: str
    state: State
    notes: Sequence[str] = field(default_factory=tuple)


def lanes(rows: Sequence[Row], end: str) -> str:
    """The picture as SVG; `end` is said below it."""
    drives = len(rows[0].state["js"])
    clusters = len(rows[0].state["src"][0])
    lane_px = 2 * clusters * CELL_PX + JOB_PX + 3 * GAP_PX
    width = STEP_PX + drives * lane_px
    first_commit = next(
        (n for n, row in enumerate(rows) if row.step.startswith("commit ")), len(rows)
    )
    tops = [TOP_PX + ROW_PX * n + (CUT_PX if n >= first_commit else 0) for n in range(len(rows))]
    below = len(LEGEND) + 1 + drives * clusters
    height = tops[-1] + ROW_PX + 20 + LINE_PX * below
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        'font-family="sans-serif" font-size="12">',
        '<rect width="100%" height="100%" fill="white"/>',
    ]
    for drive in range(drives):
        parts += _head(drive, STEP_PX + drive * lane_px, clusters, tops[-1] + ROW_PX)
    for number, (row, y) in enumerate(zip(rows, tops, strict=True)):
        parts += _step(row, number, y)
        for drive in range(drives):
            parts += _lane(row.state, drive, STEP_PX + drive * lane_px, y, clusters)
    if first_commit < len(rows):
        parts += _cut(tops[first_commit] - CUT_PX // 2, width)
    said = [*_differences(rows[-1].state), end]
    for line, text in enumerate(text for text in said if text):
        y = tops[-1] + ROW_PX + 26 + LINE_PX * line
        parts.append(f'<text x="10" y="{y}" font-size="13" fill="#b00">{escape(text)}</text>')
    for line, text in enumerate(LEGEND):
        y = height - LINE_PX * (len(LEGEND) - line) + 6
        parts.append(f'<text x="10" y="{y}" font-size="11" fill="#666">{escape(text)}</text>')
    parts.append("</svg>")
    return "\n".join(parts) + "\n"


def _step(row: Row, number: int, y: int) -> list[str]:
    """The step in the schedule's words and in plain ones, and what was seen besides."""
    known = STEPS.get(row.step.split(" ")[0])
    said = [known.meaning] if known else ["at first"] if not row.step else []
    note = escape("; ".join([*said, *row.notes]))
    title = escape(f"{number}  {row.step}") if row.step else "0"
    return [
        f'<text x="10" y="{y + 13}" font-weight="bold">{title}</text>',
        f'<text x="26" y="{y + 26}" font-size="10" fill="#555">{note}</text>',
    ]


def _differences(state: State) -> list[str]:
    """What complete backups hold that is not what their drives held at the cut, in words."""
    found = []
    for drive, row in enumerate(state.get("cut", [])):
        for cluster, (cut, held) in enumerate(zip(row, state["tgt"][drive], strict=True)):
            if state["final"][drive] == "COMPLETED" and cut != held:
                found.append(
                    f"The backup of d{drive} is complete and holds {held} in cluster {cluster}; "
                    f"at the cut the drive held {cut}."
                )
    return found


def _head(drive: int, x: int, clusters: int, bottom: int) -> list[str]:
    target_x = x + clusters * CELL_PX + JOB_PX + 2 * GAP_PX
    return [
        f'<text x="{x}" y="24" font-weight="bold" font-size="14">d{drive}</text>',
        f'<text x="{x}" y="48">drive</text>',
        f'<text x="{x + clusters * CELL_PX + GAP_PX}" y="48">guest / job</text>',
        f'<text x="{target_x}" y="48">target</text>',
        f'<path d="M{x - GAP_PX // 2},10 V{bottom}" stroke="#ccc"/>',
    ]


def _lane(state: State, drive: int, x: int, y: int, clusters: int) -> list[str]:
    parts = []
    if state["drained"][drive]:
        wide = clusters * CELL_PX + 8
        parts.append(
            f'<rect x="{x - 4}" y="{y - 1}" width="{wide}" height="{ROW_PX}" fill="#ffe98a"/>'
        )
    started = state["js"][drive] not in ("NONE", "CREATED")
    cut = state.get("cut", [[None] * clusters] * (drive + 1))[drive]
    target_x = x + clusters * CELL_PX + JOB_PX + 2 * GAP_PX
    for cluster in range(clusters):
        at = cluster * CELL_PX
        parts.append(_cell(x + at, y + 2, state["src"][drive][cluster]))
        held = state["tgt"][drive][cluster]
        wrong = started and state["final"][drive] == "COMPLETED" and held != cut[cluster]
        new = state["final"][drive] == "NO_EVENT" and held == 0
        empty = new and not state["copied"][drive][cluster]
        wrong = wrong and cut[cluster] is not None
        parts.append(_cell(target_x + at, y + 2, held, wrong=wrong, empty=empty))
    middle = x + clusters * CELL_PX + GAP_PX
    guest = GUEST.get(str(_first(state["g"][drive])), "")
    parts.append(f'<text x="{middle}" y="{y + 11}" font-size="10" fill="#06c">{guest}</text>')
    job = "" if state["js"][drive] == "NONE" else f"job {str(state['js'][drive]).lower()}"
    final = str(state["final"][drive]).lower()
    job += "" if final == "no_event" else f": {final}"
    parts.append(f'<text x="{middle}" y="{y + 23}" font-size="10">{job}</text>')
    return parts


def _first(value: Any) -> Any:
    """Of several requests the first; where there is but one, that."""
    return (
        next((each for each in value if each != "G_IDLE"), "") if isinstance(value, list) else value
    )


def _cell(x: int, y: int, value: int, *, wrong: bool = False, empty: bool = False) -> str:
    colour = COLOURS[value] if value < len(COLOURS) else "white"
    stroke = 'stroke="#d00" stroke-width="3"' if wrong else 'stroke="#888"'
    size = CELL_PX - 3
    if empty:
        return (
            f'<rect x="{x}" y="{y}" width="{size}" height="{size}" fill="none" stroke="#aaa" '
            'stroke-dasharray="3,2"/>'
        )
    return (
        f'<rect x="{x}" y="{y}" width="{size}" height="{size}" fill="{colour}" {stroke}/>'
        f'<text x="{x + size // 2}" y="{y + 14}" text-anchor="middle" font-size="10">{value}</text>'
    )


def _cut(y: int, width: int) -> list[str]:
    """The line at the first commit."""
    return [
        f'<path d="M0,{y} H{width}" stroke="#d00" stroke-width="2"/>',
        f'<text x="10" y="{y - 3}" font-size="11" fill="#d00">'
        "the cut: what each backup must hold</text>",
    ]
