"""The rules about data: what images held when they were looked at."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from cleancut_conformance.judge.commands import Command, job_id_of
from cleancut_conformance.judge.finding import Fault
from cleancut_conformance.judge.image import Image, differences, first_difference, same
from cleancut_conformance.judge.oracle import Cut, Oracle, Write
from cleancut_conformance.qemu_io import MONITOR, size

CLUSTER_BYTES: Final = 65536
_WRITE: Final = re.compile(
    r"(?:aio_)?write (?:-q )?(?:(?P<zero>-z)|-P (?P<byte>\w+)) (?P<offset>\w+) (?P<length>\w+)"
)


@dataclass(slots=True)
class Backup:
    """A backup that was started: its drive, its target, and where in the log its cut lies."""

    drive: str
    target: str
    cut: Cut
    before: Image | None  # what the target held when last looked at; None: no such file
    sync: str = "full"
    earlier: Backup | None = None  # one that has written to the target since it was looked at
    completed: bool = False
    may_break: bool = False  # a copy that fails breaks the backup and not the guest's write
    failed: bool = False
    end: int | None = None  # the record that tells that the job copies nothing any more

    @property
    def copies_all(self) -> bool:
        """Whether its target is the whole drive; drives have no backing files here."""
        return self.sync in ("full", "top")

    @property
    def needs_all(self) -> bool:
        """Whether each cluster is to be saved before a guest changes it."""
        return self.copies_all or self.sync == "none"

    def since_seen(self) -> Iterator[Backup]:
        """The backups that have written to the target since it was looked at, newest first."""
        each = self.earlier
        while each is not None:
            yield each
            each = each.earlier


@dataclass(frozen=True, slots=True)
class Base:
    """The file of a drive of which a snapshot was taken, and where in the log that was."""

    drive: str
    cut: int


@dataclass(slots=True)
class End:
    """How a job has ended: well or not, and whether it has concluded."""

    index: int  # the record that tells
    well: bool = False
    gone: bool = False


@dataclass(slots=True)
class Data:
    """What was written, started and seen."""

    oracle: Oracle = field(default_factory=Oracle)
    files: dict[str, str] = field(default_factory=dict)  # image path -> drive
    snapshots: dict[str, Base] = field(default_factory=dict)  # image path -> what it is to hold
    marks: dict[str, int] = field(default_factory=dict)
    backups: dict[str, Backup] = field(default_factory=dict)  # target path -> newest backup
    jobs: dict[str, Backup] = field(default_factory=dict)  # job id -> newest backup
    first_seen: dict[str, Image | None] = field(default_factory=dict)
    seen: dict[str, Image | None] = field(default_factory=dict)
    unseen: dict[str, Backup] = field(default_factory=dict)  # by target: the last one since then
    ends: dict[str, End] = field(default_factory=dict)  # job id -> how its last job has ended
    exact: bool = False  # the records stand in the order in which things happened

    def header(self, note: dict[str, Any]) -> None:
        """The drives that the header of the trace describes."""
        self.exact = bool(note.get("exact"))
        for name, drive in note.get("drives", {}).items():
            if drive is not None and drive.get("size_bytes") is not None:
                self.files[drive["file"]] = name
                self.oracle.add_drive(name, drive["size_bytes"], drive["extents"])

    def sent(self, index: int, command: Command) -> None:
        """A command may be a guest's write."""
        if command.name != "human-monitor-command":
            return
        line = MONITOR.fullmatch(str(command.arguments.get("command-line")))
        if line is not None:
            self._write(index, line[1], line[2], waits=not line[2].startswith("aio_"))

    def asked(self, index: int, note: dict[str, Any]) -> None:
        """A guest request that is none of the monitor's begins: nothing waits for its end."""
        self._write(index, note["guest"], note["cmd"], waits=False, elsewhere=True)

    def _write(
        self, index: int, drive: str, request: str, *, waits: bool, elsewhere: bool = False
    ) -> None:
        match = _WRITE.fullmatch(request)
        if match is not None and drive in self.oracle.first:
            byte = 0 if match["zero"] else int(match["byte"], 0)
            offset, length = size(match["offset"]), size(match["length"])
            self.oracle.log.append(
                Write(index, drive, offset, length, byte, waits, elsewhere=elsewhere)
            )

    def result(self, index: int, note: dict[str, Any]) -> Iterator[Fault]:
        """A guest request has ended."""
        if "result" not in note:
            return
        if note["result"] == "mismatch":
            yield "GUEST-WRITE-1", f"{note['guest']} does not hold what was written: {note['cmd']}"
        if (match := _WRITE.fullmatch(note["cmd"])) is None:
            return
        offset, length = size(match["offset"]), size(match["length"])
        for write in self.oracle.open_writes():
            place = (write.drive, write.offset_bytes, write.length_bytes)
            if place == (note["guest"], offset, length):
                write.result, write.ended = note["result"], index
                return

    def started(self, command: Command) -> None:
        """A command that starts backups has succeeded: their cut lies between it and now."""
        position = self.oracle.position(command.index)
        begun = command.begun if self.exact else None
        cut = Cut(position, self.oracle.now, command.index, begun)
        for data in command.backups():
            drive, path = str(data.get("device")), image_path(data.get("target"))
            plain = data.get("format", "raw") == "raw"  # another has to be read by its own tools
            if drive in self.oracle.first and path and plain:
                sync = str(data.get("sync"))
                before, earlier = self.seen.get(path), self.unseen.get(path)
                backup = self.unseen[path] = Backup(drive, path, cut, before, sync, earlier)
                backup.may_break = data.get("on-cbw-error") == "break-snapshot"
                self.backups[path] = backup
                job_id = job_id_of(data)
                self.jobs[job_id] = backup
                end = self.ends.get(job_id)
                if end is not None and end.index > command.index:  # it was over before the answer
                    backup.completed, backup.end = end.well, end.index if end.gone else None

        for drive in command.snapshots():
            for path in [path for path, name in self.files.items() if name == drive]:
                del self.files[path]
                self.snapshots[path] = Base(drive, cut.position)

    def created(self, job_id: str) -> None:
        """A job begins: what is known of an end is of another that had its name."""
        self.ends.pop(job_id, None)

    def completed(self, job_id: str, index: int) -> None:
        """A job has completed without error."""
        self.ends[job_id] = End(index, well=True)
        if job_id in self.jobs:
            self.jobs[job_id].completed = True

    def fails(self, job_id: str) -> None:
        """A job has reported an error."""
        if job_id in self.jobs:
            self.jobs[job_id].failed = True

    def ended(self, job_id: str, index: int) -> None:
        """A job has concluded: later writes need no copy."""
        well = job_id in self.ends and not self.ends[job_id].gone
        self.ends[job_id] = End(index, well, gone=True)
        if job_id in self.jobs:
            self.jobs[job_id].end = index

    def observed(self, note: dict[str, Any]) -> Iterator[Fault]:
        """An image was looked at."""
        path, size_bytes = note["image"], note["size_bytes"]
        content = None if size_bytes is None else Image(size_bytes, note["extents"])
        if "must" in note:
            clause = note.get("clause", "PIT-ONE-1")
            for text in self._demand(path, content, note["must"]):
                yield clause, text
        if path in self.files and content is not None:
            yield from self._drive(self.files[path], content)
        elif path in self.snapshots and content is not None:
            yield from self._base(self.snapshots[path], content)
        elif path in self.backups:
            yield from self._target(self.backups[path], content)
        self.first_seen.setdefault(path, content)
        self.seen[path] = content
        self.unseen.pop(path, None)

    def _drive(self, drive: str, content: Image) -> Iterator[Fault]:
        if drive not in self.oracle.first or self.oracle.unknown(drive):
            return
        content = content.copy(self.oracle.first[drive].size_bytes)
        expected = self.oracle.in_any_order(drive, self.oracle.now, content)
        at = first_difference(content, expected)
        if at is not None:
            yield "GUEST-WRITE-1", f"drive {drive} {_differs(at, expected, content)}"

    def _base(self, base: Base, content: Image) -> Iterator[Fault]:
        """What was written after the snapshot is in the overlay only."""
        if self.oracle.unknown(base.drive):
            return
        expected = self.oracle.content(base.drive, base.cut)
        at = first_difference(content.copy(expected.size_bytes), expected)
        if at is not None:
            text = _differs(at, expected, content)
            yield "SNAPSHOT-TX-1", f"the base of {base.drive}'s snapshot {text}"

    def _target(self, backup: Backup, content: Image | None) -> Iterator[Fault]:
        if content is None:
            yield "PIT-ONE-1", f"the target of {backup.drive} does not exist"
            return
        if backup.may_break and backup.failed and not backup.completed:
            return  # it was given up, and nobody promises what is in it
        cut = self._cut(backup, content)
        if backup.completed and backup.copies_all:
            yield from self._completed_target(backup, content, cut)
        else:
            yield from self._partial_target(backup, content, cut)

    def _cut(self, backup: Backup, seen: Image) -> Image:
        return self.oracle.settled(backup.cut, backup.drive, seen)

    def _completed_target(self, backup: Backup, content: Image, cut: Image) -> Iterator[Fault]:
        at = first_difference(content, cut)
        if at is None:
            return
        what = f"the completed backup of {backup.drive} {_differs(at, cut, content)}"
        size_bytes = cut.size_bytes
        if at >= size_bytes - size_bytes % CLUSTER_BYTES or content.size_bytes != size_bytes:
            yield "DATA-TAIL-1", what
            return
        leaked = self.oracle.blame(backup.drive, at, content[at])
        later = [position for position in leaked if position >= backup.cut.position]
        lost = [p for p in self.oracle.blame(backup.drive, at, cut[at]) if p < backup.cut.position]
        if later:
            write = self.oracle.log[later[0]]
            yield "PIT-AFTER-1", f"{what}, which record {write.index} wrote after the cut"
        elif lost:
            write = self.oracle.log[lost[-1]]
            yield "PIT-BEFORE-1", f"{what}; record {write.index} wrote it before the cut"
        else:
            yield "PIT-ONE-1", what

    def _partial_target(self, backup: Backup, content: Image, cut: Image) -> Iterator[Fault]:
        """Each cluster is the cut's, or still what the target held, or zero."""
        before = [(backup.before or Image(0)).copy(cut.size_bytes)]
        before += [self._cut(one, content).copy(cut.size_bytes) for one in backup.since_seen()]
        written: Image | None = None
        for at in _clusters_that_differ(content, cut):
            stop = min(at + CLUSTER_BYTES, cut.size_bytes)
            whole = content.size_bytes >= stop
            kept = whole and any(same(content, each, at, stop) for each in before)
            if not content.is_all(at, stop, 0) and not kept:
                yield "CBW-ONCE-1", f"the target of {backup.drive} holds new data at {_at(at)}"
                return
            written = written or self._overwritten(backup, cut.size_bytes)
            if backup.needs_all and written.holds(at, stop, 1):
                yield "CBW-COPY-1", f"old data of {backup.drive} at {_at(at)} is nowhere any more"
                return

    def _overwritten(self, backup: Backup, size_bytes: int) -> Image:
        """Ones where a guest's write after the cut has ended well while there was the job."""
        written, cut = Image(size_bytes), backup.cut
        open_writes = [w for w in self.oracle.open_at(cut, backup.drive) if not cut.before(w)]
        flying = [w for w in self.oracle.log[: cut.position] if cut.before(w)]
        for write in (*flying, *self.oracle.log[cut.position :]):
            well = write.drive == backup.drive and write.result == "ok"
            seen = write.ended is not None and (backup.end is None or write.ended < backup.end)
            if well and seen and write not in open_writes:
                written.write(write.offset_bytes, write.length_bytes, 1)
        return written

    def _demand(self, path: str, content: Image | None, must: dict[str, Any]) -> Iterator[str]:
        name = path.rsplit("/", 1)[-1]
        if "absent" in must:
            if content is not None:
                yield f"{name} exists"
        elif content is None:
            yield f"{name} does not exist"
        elif "size_bytes" in must:
            if content.size_bytes != must["size_bytes"]:
                yield f"{name} has {content.size_bytes} bytes, not {must['size_bytes']}"
        elif "unchanged" in must:
            at = first_difference(content, self.first_seen.get(path) or Image(0))
            if at is not None:
                yield f"{name} was changed at {_at(at)}"
        elif must.get("equals") in self.oracle.first:
            expected = self._wanted(must["equals"], must.get("at", "now"), path, content)
            at = first_difference(content, expected)
            if at is not None:
                yield f"{name} {_differs(at, expected, content)}"

    def _wanted(self, drive: str, mark: str, path: str, content: Image) -> Image:
        if mark == "cut" and path in self.backups:
            return self._cut(self.backups[path], content)
        position = self.marks.get(mark, self.oracle.now)
        return self.oracle.content(drive, position)


def image_path(target: Any) -> str:
    """The file that a target names, be it in a `json:` text."""
    if not isinstance(target, str):
        return ""
    if not target.startswith("json:"):
        return target
    try:
        options = json.loads(target.removeprefix("json:"))
    except ValueError:
        return ""
    while isinstance(options, dict):
        if isinstance(options.get("filename"), str):
            return str(options["filename"])
        options = options.get("file") or options.get("image")
    return ""


def _clusters_that_differ(content: Image, cut: Image) -> list[int]:
    """Where the clusters begin in which the two are not the same, as far as the shorter reaches."""
    found = set()
    for start, end, _, _ in differences(content, cut):
        found |= set(range(start // CLUSTER_BYTES, (end - 1) // CLUSTER_BYTES + 1))
    if content.size_bytes < cut.size_bytes and content.size_bytes % CLUSTER_BYTES:
        found.add(content.size_bytes // CLUSTER_BYTES)
    return [number * CLUSTER_BYTES for number in sorted(found)]


def _at(offset_bytes: int) -> str:
    for unit, power in (("MiB", 1 << 20), ("KiB", 1 << 10)):
        if offset_bytes and offset_bytes % power == 0:
            return f"{offset_bytes // power} {unit}"
    return f"byte {offset_bytes}"


def _differs(at: int, expected: Image, found: Image) -> str:
    if at >= min(expected.size_bytes, found.size_bytes):
        return f"has {found.size_bytes} bytes, not {expected.size_bytes}"
    return f"holds {found[at]:#04x} at {_at(at)}, not {expected[at]:#04x}"
