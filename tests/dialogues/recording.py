"""A recorded dialogue: its records, and messages with what may differ masked."""

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from cleancut_reference.block.description import nest

DATA = Path(__file__).parent.parent / "data"
FOLDERS = (DATA / "traces" / "qemu-7.2", DATA / "dialogues" / "qemu-7.2")
IMAGES = "/images"  # where the images lie in a recording

AUTOMATIC = re.compile(r"#block\d+")


@dataclass
class Recording:
    """What one scenario's client and server said to each other."""

    name: str
    command_line: list[str]
    records: list[dict[str, Any]] = field(default_factory=list)

    @classmethod
    def read(cls, path: Path) -> Self:
        records = [json.loads(line) for line in path.read_text().splitlines()]
        header = records.pop(0)
        assert header["dir"] == "meta", "a recording begins with the command line"
        return cls(path.stem, header["note"]["cmdline"], records)

    def received(self) -> list[Any]:
        return [record["msg"] for record in self.records if record["dir"] == "recv"]

    @property
    def died(self) -> bool:
        """Whether the server did not end well."""
        footers = [record["note"] for record in self.records if record["dir"] == "meta"]
        return any(footer.get("exit") != 0 for footer in footers)


def files(pattern: str) -> list[Path]:
    """The recordings whose names match, by name."""
    found = [path for folder in FOLDERS for path in folder.glob(f"{pattern}.jsonl")]
    return sorted(found, key=lambda path: path.stem)


def recordings() -> list[Recording]:
    """All dialogues of QEMU 7.2, but the one of its storage daemon, which is another program."""
    found = map(Recording.read, files("*"))
    return [recording for recording in found if "-qmp" in recording.command_line]


def masked(value: Any, folder: str = IMAGES) -> Any:
    """The same without what no two servers share: names made up, the folder, sizes on the disk,
    bitmaps without a name (which QEMU makes for itself), the order of options in a `json:` name.
    """
    if isinstance(value, dict):
        shared = {
            key: masked(part, folder)
            for key, part in value.items()
            if key not in ("timestamp", "actual-size", "package", "micro")
        }
        named = [bitmap for bitmap in shared.pop("dirty-bitmaps", []) if "name" in bitmap]
        return shared | ({"dirty-bitmaps": named} if named else {})
    if isinstance(value, list):
        return [masked(part, folder) for part in value]
    if isinstance(value, str):
        if value.startswith("json:{"):
            value = f"json:{json.dumps(nest(json.loads(value[5:])), sort_keys=True)}"
        return AUTOMATIC.sub("#block", value.replace(folder, IMAGES))
    return value


def is_reply(message: Any) -> bool:
    return "event" not in message and "QMP" not in message


def is_pause(message: Any) -> bool:
    """A job stands still or goes on, which QEMU's jobs do at every drain, too."""
    return message.get("data", {}).get("status") in ("paused", "running")


def words(messages: list[Any]) -> dict[str, list[tuple[Any, int]]]:
    """The events of each job, and those of none, but for pauses that nobody asked for, each with
    its place among the messages.

    An error that is ignored repeats as often as time allows; it counts once.
    """
    found: dict[str, list[tuple[Any, int]]] = {}
    for index, message in enumerate(messages):
        if "event" not in message or is_pause(message):
            continue
        data = message.get("data", {})
        name = str(data.get("id") or data.get("device") or "")
        told = {"event": message["event"], **({"data": data} if data else {})}
        events = found.setdefault(name, [])
        if not events or told != events[-1][0]:
            events.append((told, index))
    return found


def last_words(messages: list[Any]) -> dict[str, list[Any]]:
    """The same without places."""
    return {name: [told for told, _ in events] for name, events in words(messages).items()}


def order(messages: list[Any]) -> str:
    """All events and replies of one run in short, in their order."""
    return " ".join(word for message in messages if (word := _word(message)))


def _word(message: Any) -> str:
    if "return" in message:
        return "RET"
    if "error" in message:
        return "ERR"
    if "event" not in message:
        return ""
    data = message.get("data", {})
    match message["event"]:
        case "JOB_STATUS_CHANGE":
            return f"{data['id']}:{data['status']}"
        case "BLOCK_JOB_PENDING":
            return f"{data['id']}:PENDING"
        case "BLOCK_JOB_ERROR":
            return f"{data['device']}:ERROR({data['operation']},{data['action']})"
        case "BLOCK_JOB_COMPLETED" if "error" in data:
            return f"{data['device']}:COMPLETED(error={data['error']})"
        case "BLOCK_JOB_COMPLETED" | "BLOCK_JOB_CANCELLED" as name:
            return f"{data['device']}:{name.removeprefix('BLOCK_JOB_')}"
        case other:
            return str(other)
