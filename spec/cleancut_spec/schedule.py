"""The schedule: a list of step labels that the model's actions and the engine's steps both bear.

A label is a name with the drive, the cluster and the errno that the name takes, in this order:
`prepare d0`, `copy_read d0 c1`, `fail_copy_write d1 c0 ENOSPC`, `reply`. Where a drive has several
guest requests or copies at once, the number of the one that steps comes last: `copy_read d0 c1 r1`.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, NamedTuple


@dataclass(frozen=True, slots=True)
class Step:
    """A kind of step: whether its labels name a drive, a cluster, an errno; who takes it."""

    name: str
    drive: bool
    cluster: bool
    errno: bool
    by_client: bool  # taken by the client or the guest, not by the implementation
    meaning: str


def _step(name: str, shape: str, meaning: str, *, by_client: bool = False) -> Step:
    return Step(name, "d" in shape, "c" in shape, "e" in shape, by_client, meaning)


#: Every kind of step, by name.
STEPS: Final[dict[str, Step]] = {
    step.name: step
    for step in (
        # the transaction
        _step("begin", "", "the client's transaction is taken up", by_client=True),
        _step("drain", "d", "no further guest request of the drive starts"),
        _step("prepare", "d", "the drive is quiet; job, target and filter are made"),
        _step("find_busy", "d", "the drive has another job; rollback begins"),
        _step("fail_other", "", "an action that is no backup fails; rollback begins"),
        _step("fail_prepare", "d", "the action is refused; rollback begins"),
        _step("rollback", "d", "the job is taken back, newest first"),
        _step("commit", "d", "the job is started, all being prepared"),
        _step("undrain", "d", "guest requests of the drive start again"),
        _step("reply", "", "the transaction has succeeded"),
        _step("refuse", "", "the transaction has failed and nothing of it is left"),
        _step("commit_snapshot", "d", "the drive's snapshot is taken"),
        _step("commit_clear", "d", "the drive's bitmap is cleared"),
        _step("prepare_add", "d", "a bitmap of the drive is made"),
        _step("prepare_clear", "d", "the drive's bitmap is cleared, and its bits are kept"),
        _step("prepare_enable", "d", "the drive's bitmap is enabled"),
        _step("prepare_disable", "d", "the drive's bitmap is disabled"),
        _step("prepare_merge", "d", "another bitmap is merged into it, and its bits are kept"),
        _step("fail_bitmap", "d", "an action of the drive's bitmap is refused; rollback begins"),
        _step("rollback_bitmap", "d", "the drive's bitmap is made what it was, newest first"),
        _step("begin_again", "", "the client comes with another transaction", by_client=True),
        # the guest
        _step("guest_write", "dc", "the guest submits a write", by_client=True),
        _step("guest_start", "d", "the write needs no copy and goes to the drive"),
        _step("guest_done", "d", "the write is on the drive"),
        _step("cbw_claim", "d", "the write needs a copy of its old cluster first"),
        _step("cbw_read", "dc", "copy-before-write has read the old cluster"),
        _step("cbw_write", "dc", "copy-before-write has written it to the target"),
        _step("fail_cbw_read", "dce", "that read fails, and with it the guest's write"),
        _step("fail_cbw_write", "dce", "that write fails, and with it the guest's write"),
        # the job
        _step("copy_claim", "dc", "the job takes the next cluster that is still to be copied"),
        _step("copy_read", "dc", "the job has read it from the drive"),
        _step("copy_write", "dc", "the job has written it to the target"),
        _step("fail_copy_read", "dce", "that read fails; the policy decides"),
        _step("fail_copy_write", "dce", "that write fails; the policy decides"),
        _step("pause", "d", "the client pauses the job", by_client=True),
        _step("resume", "d", "the client resumes the job", by_client=True),
        _step("cancel", "d", "the client cancels the job, which is not paused", by_client=True),
        _step("force_cancel", "d", "the client cancels the job, paused or not", by_client=True),
        _step("set_speed", "d", "the client limits the job's rate", by_client=True),
        _step("finish", "d", "all is copied: waiting, then pending unless grouped"),
        _step("group_pending", "", "all of the group have copied all: they are pending"),
        _step("complete", "d", "the job ends well"),
        _step("group_complete", "", "the jobs of the group end well"),
        _step("finalize", "d", "the client finalizes the job, or its group", by_client=True),
        _step("group_cancel", "", "one of the group has failed: the others are cancelled"),
        _step("abort", "d", "the job ends, failed or cancelled"),
        _step("dismiss", "d", "the client dismisses the job, which is over", by_client=True),
        # what surrounds them
        _step("other_start", "d", "another command starts a job on the drive", by_client=True),
        _step("other_end", "d", "that job ends", by_client=True),
        _step("disconnect", "", "the client's connection ends", by_client=True),
        _step("reconnect", "", "the client connects anew", by_client=True),
        _step("die", "", "the process ends", by_client=True),
        _step("restart", "", "a new process begins", by_client=True),
    )
}


class LabelError(ValueError):
    """A label that no step bears; the message says which form it takes."""


class Label(NamedTuple):
    """One step of a schedule; drives, clusters and requests are numbers from 0."""

    name: str
    drive: int | None = None
    cluster: int | None = None
    errno: str | None = None
    request: int | None = None

    def __str__(self) -> str:
        words = [self.name]
        if self.drive is not None:
            words.append(f"d{self.drive}")
        if self.cluster is not None:
            words.append(f"c{self.cluster}")
        if self.errno is not None:
            words.append(self.errno)
        if self.request is not None:
            words.append(f"r{self.request}")
        return " ".join(words)


@dataclass(frozen=True, slots=True)
class Move:
    """A step of a schedule; `value` is what a guest's write writes, where the schedule says."""

    label: Label
    value: int | None = None

    def __str__(self) -> str:
        return str(self.label) if self.value is None else f"{self.label} = {self.value}"


_REQUEST: Final = re.compile(r"r(\d+)")
_FORM = {"drive": re.compile(r"d(\d+)"), "cluster": re.compile(r"c(\d+)")}


def parse_label(text: str) -> Label:
    """The label that a line of a schedule spells; raises LabelError."""
    name, *words = text.split() or [""]
    step = STEPS.get(name)
    if step is None:
        raise LabelError(f"no step is called {name!r}; known: {', '.join(STEPS)}")
    fields: dict[str, int | str] = {}
    for part in ("drive", "cluster"):
        if getattr(step, part):
            match = _FORM[part].fullmatch(words.pop(0)) if words else None
            if match is None:
                raise LabelError(f"{text!r}: {name} names a {part}, as {part[0]}0")
            fields[part] = int(match[1])
    if step.errno:
        if not words:
            raise LabelError(f"{text!r}: {name} names an errno, as EIO")
        fields["errno"] = words.pop(0)
    if step.drive and words and (match := _REQUEST.fullmatch(words[0])):
        fields["request"] = int(match[1])
        words.pop(0)
    if words:
        raise LabelError(f"{text!r}: {name} takes no {words[0]!r}")
    return Label(name, **fields)  # type: ignore[arg-type]


_MOVE: Final = re.compile(r"(?:\d+\s+)?(?P<label>[^=]*?)\s*(?:=\s*(?P<value>\d+))?")


def parse_moves(lines: Iterable[str]) -> list[Move]:
    """The steps of a schedule as `parse_schedule` reads them, or as a listing has them.

    A line may begin with the number of the step, and end with what a guest writes: `= 1`.
    """
    found = []
    for line in (line.split("#")[0].strip() for line in lines):
        if not line:
            continue
        match = _MOVE.fullmatch(line)
        if match is None:
            raise LabelError(f"{line!r} is no step such as `guest_write d0 c1 = 1`")
        value = None if match["value"] is None else int(match["value"])
        found.append(Move(parse_label(match["label"]), value))
    return found


def parse_schedule(lines: Iterable[str]) -> list[Label]:
    """The labels of a schedule, one a line; `#` begins a comment."""
    bare = (line.split("#")[0].strip() for line in lines)
    return [parse_label(line) for line in bare if line]
