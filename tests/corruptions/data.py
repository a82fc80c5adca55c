"""What images hold, and what becomes of guests' requests."""

from collections.abc import Iterator
from typing import Any

from cleancut_conformance.images import expand
from cleancut_conformance.qemu_io import size
from cleancut_spec.trace import Record
from tests.corruptions.trace import Trace, kind

Copies = Iterator[list[Record]]
SECTOR_BYTES = 512


def _looks(trace: Trace) -> Iterator[tuple[int, dict[str, Any]]]:
    for at, record in enumerate(trace.records):
        if record.dir == "observe" and record.note["size_bytes"]:
            yield at, record.note


def _backups(trace: Trace) -> dict[str, dict[str, Any]]:
    """The backups that end well, by the path of their target: each target used once."""
    well = {d["device"] for _, n, d in trace.finals
            if n == "BLOCK_JOB_COMPLETED" and "error" not in d}  # fmt: skip
    found: dict[str, dict[str, Any]] = {}
    twice = set()
    for exchange in trace.starters:
        for data in exchange.command.backups():
            path = data["target"]
            if path in found:
                twice.add(path)
            if data.get("job-id", data["device"]) in well and data["sync"] == "full":
                found[path] = data
    return {path: data for path, data in found.items() if path not in twice}


def _completed(trace: Trace) -> Iterator[tuple[int, dict[str, Any], dict[str, Any]]]:
    """The last look at the target of each full backup that has completed: index, note, backup."""
    last: dict[str, tuple[int, dict[str, Any]]] = {}
    for at, note in _looks(trace):
        last[note["image"]] = at, note
    end = max((at for at, _, _ in trace.finals), default=len(trace.records))
    for path, data in _backups(trace).items():
        if path in last and last[path][0] > end:
            yield *last[path], data


def _add(at_bytes: int, length_bytes: int, byte: int) -> Any:
    return lambda note: note["extents"].append([at_bytes, length_bytes, byte])


def _other(note: dict[str, Any]) -> int:
    """A byte that the image holds nowhere."""
    used = {extent[2] for extent in note["extents"]}
    return next(byte for byte in range(255, 0, -1) if byte not in used)


@kind
def target_byte_flipped(trace: Trace) -> Copies:
    """One byte of a completed backup is another."""
    for at, note, _ in _completed(trace):
        for offset in range(0, note["size_bytes"], max(1, note["size_bytes"] // 16 - 3)):
            yield trace.changed(at, _add(offset, 1, _other(note)))


@kind
def target_sector_lost(trace: Trace) -> Copies:
    """A sector of a completed backup was never written."""
    for at, note, _ in _completed(trace):
        content = expand(note["size_bytes"], note["extents"])
        for offset in range(0, note["size_bytes"], note["size_bytes"] // 8 // 512 * 512 or 512):
            if any(content[offset : offset + SECTOR_BYTES]):
                yield trace.changed(at, _add(offset, SECTOR_BYTES, 0))


@kind
def target_too_short(trace: Trace) -> Copies:
    """A completed backup lacks its last sector."""
    for at, _, _ in _completed(trace):
        yield trace.changed(at, lambda n: n.update(size_bytes=n["size_bytes"] - SECTOR_BYTES))


@kind
def target_does_not_exist(trace: Trace) -> Copies:
    """A completed backup is not there."""
    for at, _, _ in _completed(trace):
        yield trace.changed(at, lambda n: n.update(size_bytes=None, extents=[]))


@kind
def write_after_the_cut_is_in_the_target(trace: Trace) -> Copies:
    """A completed backup holds what a guest wrote after the cut."""
    for at, note, data in _completed(trace):
        content = expand(note["size_bytes"], note["extents"])
        cut = max(e.at for e in trace.starters if data in e.command.backups())
        for index, offset, length, byte in _writes(trace, data["device"]):
            alike = content[offset : offset + length] == bytes([byte]) * length
            if index > cut and not alike and offset + length <= note["size_bytes"]:
                yield trace.changed(at, _add(offset, length, byte))


@kind
def drive_byte_flipped(trace: Trace) -> Copies:
    """A drive holds something that no guest has written."""
    drives = {d["file"]: name for name, d in _drives(trace).items() if d}
    alone = not any(e.command.snapshots() for e in trace.starters)
    for at, note in _looks(trace):
        if note["image"] in drives and alone and not _in_flight(trace, at):
            for offset in range(0, note["size_bytes"], note["size_bytes"] // 4 or 1):
                yield trace.changed(at, _add(offset, 1, _other(note)))


@kind
def new_data_in_a_target_that_is_not_ready(trace: Trace) -> Copies:
    """While its job runs a target holds what was never there."""
    done = {at for at, _, _ in _completed(trace)}
    for at, note in _looks(trace):
        full = [d for e in trace.starters if e.reply < at for d in e.command.backups()
                if d["target"] == note["image"] and d.get("format", "raw") == "raw"]  # fmt: skip
        drive = _drives(trace).get(full[-1]["device"]) if full else None
        if full and at not in done and drive and note["size_bytes"] == drive["size_bytes"]:
            for offset in range(0, note["size_bytes"], note["size_bytes"] // 4 or 1):
                yield trace.changed(at, _add(offset, 1, _other(note)))


@kind
def old_data_is_nowhere(trace: Trace) -> Copies:
    """A guest has overwritten a cluster, and the target does not hold what was there."""
    for at, note in _looks(trace):
        for exchange in trace.starters:
            for data in exchange.command.backups():
                same = data["target"] == note["image"] and data["sync"] in ("full", "none")
                if same and exchange.reply < at and "mode" not in data:
                    yield from _emptied(trace, at, note, data["device"], exchange.at)


def _emptied(
    trace: Trace, at: int, note: dict[str, Any], drive: str, cut: int
) -> Iterator[list[Record]]:
    content = expand(note["size_bytes"], note["extents"])
    ended = [i for i, s, j in trace.statuses if s == "null" and j == drive and i > cut][:1]
    for index, offset, length, _ in _writes(trace, drive):
        start = offset // 65536 * 65536
        in_time = cut < index < min([at, *ended])
        if in_time and length and any(content[start : start + 65536]):
            end = min(start + 65536, note["size_bytes"])
            yield trace.changed(at, _add(start, end - start, 0))


@kind
def demand_not_met(trace: Trace) -> Copies:
    """An image that must be unchanged, or absent, is not."""
    for at, record in enumerate(trace.records):
        must = record.note.get("must", {}) if record.dir == "observe" else {}
        if "unchanged" in must and record.note["size_bytes"]:
            yield trace.changed(at, _add(0, 1, _other(record.note)))
        if "absent" in must:
            yield trace.changed(at, lambda n: n.update(size_bytes=512, extents=[]))
        if "size_bytes" in must:
            yield trace.changed(at, lambda n: n.update(size_bytes=n["size_bytes"] + 1))


@kind
def guest_reads_something_else(trace: Trace) -> Copies:
    """A guest does not read what was written."""
    for at, record in enumerate(trace.records):
        note = record.note
        if record.dir == "io" and note.get("result") == "ok" and note["cmd"].startswith("read -P"):
            yield trace.changed(at, lambda n: n.update(result="mismatch"))


def _drives(trace: Trace) -> dict[str, Any]:
    found: dict[str, Any] = trace.records[0].note.get("drives", {})
    return found


def _writes(trace: Trace, drive: str) -> Iterator[tuple[int, int, int, int]]:
    """Where it was sent, offset, length and byte of each write of a guest that ended well."""
    ended = [r.note for r in trace.records if r.dir == "io" and r.note.get("result") == "ok"]
    well = [note["cmd"] for note in ended if note["guest"] == drive]
    for at, record in enumerate(trace.records):
        note = record.note
        if record.dir == "io" and "result" not in note and note.get("guest") == drive:
            words = note["cmd"].split()
            if words[:2] in (["write", "-P"], ["aio_write", "-P"]) and note["cmd"] in well:
                yield at, size(words[3]), size(words[4]), int(words[2], 0)


def _in_flight(trace: Trace, before: int) -> bool:
    """Whether a guest's request was open then."""
    requests = [record.note for record in trace.records[:before] if record.dir == "io"]
    return len(requests) > 2 * sum("result" in note for note in requests)
