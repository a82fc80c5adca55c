"""Steers a real QEMU through a schedule, and says of each step how far that went.

A step is `forced` if it happens because we make it happen there and then; `observed` if QEMU tells
that it has happened, at a moment of its own; `out of reach` if nobody outside can tell. If QEMU
tells something else, it is `otherwise`, and the rest is not steered any more.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from cleancut_conformance.client_steps import COMMANDS, command_of
from cleancut_conformance.dialogue import Deviation, Dialogue
from cleancut_conformance.images import CLUSTER_BYTES
from cleancut_conformance.steered.gates import CBW, COPY, Gates
from cleancut_model.options import Options
from cleancut_spec.schedule import Move

FORCED, OBSERVED, OUT, OTHERWISE = "forced", "observed", "out of reach", "otherwise"
PATIENCE_S: Final = 2.0

TAKEN: Final = "the job has taken the cluster first, and the write has waited for its copy"
UNHELD: Final = "nothing is held, lest the monitor wait for it when a job ends"
DRAINS_ALL: Final = (8, 0)
INSIDE: Final = "inside the command, of which QEMU tells nothing"

#: The final events of a job.
COMPLETED, CANCELLED = "BLOCK_JOB_COMPLETED", "BLOCK_JOB_CANCELLED"


@dataclass(frozen=True, slots=True)
class Steered:
    """A step of the schedule, and how far it could be steered."""

    move: Move
    how: str
    words: str


class Steering:
    """One schedule on one QEMU that has just been started."""

    def __init__(self, dialogue: Dialogue, options: Options, moves: Sequence[Move]) -> None:
        self._dialogue, self._options, self._moves = dialogue, options, list(moves)
        self._gates = Gates(dialogue, options.drives)
        self._later: dict[int, Move] = {}  # writes that begin only when they are to start
        self._answer: dict[str, Any] | None = None  # that of the transaction
        self._told: list[dict[str, Any]] = []  # events that no step has taken
        self._early: Move | None = None  # a command in the same packet as the transaction
        self._pipelined: dict[str, Any] | None = None  # and its answer
        names = [move.label.name for move in moves]
        copies = any(n.startswith(("copy_", "fail_copy_", "finish")) for n in names)
        writes = any("cbw" in name for name in names)
        self._sync = "none" if writes and not copies else options.sync
        # A group that ends early is drained by the monitor, which then waits for what is held; from
        # 8.0 on it waits for all drives whenever a job ends.
        ends = any(n.startswith(("fail_copy", "cancel", "force_cancel")) for n in names)
        waits = (options.grouped and ends) or (options.drives > 1 and self._version() >= DRAINS_ALL)
        self._holds = not waits
        self._lost: set[int] = set()  # drives of which QEMU has gone another way

    def run(self) -> Iterator[Steered]:
        """The steps, each as soon as it is known how far it went."""
        for number, move in enumerate(self._moves):
            try:
                how, words = self._step(number, move)
            except Deviation as deviation:
                how, words = OTHERWISE, str(deviation)
            yield Steered(move, how, words)
            if how == OTHERWISE:
                return

    def _step(self, number: int, move: Move) -> tuple[str, str]:
        name, drive = move.label.name, move.label.drive
        if name == "guest_write":
            return self._guest_write(number, move)
        if name == "begin":
            return self._begin()
        if name in COMMANDS:
            assert drive is not None
            return self._verb(name, drive)
        if name in _SIMPLE:
            return _SIMPLE[name](self, move)
        return OUT, "there is no way to it from outside"

    # ---- the guest

    def _guest_write(self, number: int, move: Move) -> tuple[str, str]:
        drive = move.label.drive
        assert drive is not None
        if self._answer is None and self._starts_later(number, drive):
            self._later[drive] = move
            return (
                OUT,
                "a write that waits looks like one that comes later: it is sent when it starts",
            )
        self._send_write(move)
        return FORCED, "aio_write through the monitor"

    def _starts_later(self, number: int, drive: int) -> bool:
        """Whether the write is still waiting when the transaction begins, or comes within it."""
        for move in self._moves[number + 1 :]:
            if move.label.name in ("guest_start", "cbw_claim") and move.label.drive == drive:
                return False
            if move.label.name in ("begin", "reply", "refuse"):
                return True
        return False

    def _send_write(self, move: Move) -> None:
        drive, cluster = move.label.drive, move.label.cluster
        assert drive is not None and cluster is not None
        byte = 1 if move.value is None else move.value
        self._gates.write(drive, cluster * CLUSTER_BYTES, CLUSTER_BYTES, byte)

    def _start_what_waits(self, drive: int) -> None:
        if (move := self._later.pop(drive, None)) is not None:
            self._send_write(move)

    def guest_start(self, move: Move) -> tuple[str, str]:
        """Without a copy before it nothing tells that a write has started."""
        assert move.label.drive is not None
        self._start_what_waits(move.label.drive)
        return OUT, "QEMU tells only when the write has ended"

    def guest_done(self, move: Move) -> tuple[str, str]:
        """The write has ended."""
        write = self._gates.writes.get(move.label.drive or 0)
        if self._wait(lambda: write is not None and bool(write.result)):
            result = write.result if write else ""
            return (OBSERVED, "qemu-io tells it") if result == "ok" else (OTHERWISE, result)
        return OTHERWISE, "the write does not end"

    def cbw(self, move: Move) -> tuple[str, str]:
        """Copy-before-write is on its way: the write to the target is held, the guest's waits."""
        drive = move.label.drive
        assert drive is not None
        self._start_what_waits(drive)
        if drive in self._lost or not self._holds:
            return OUT, TAKEN if self._holds else UNHELD
        if not self._wait(lambda: bool(self._gates.held(drive, CBW))):
            if tag := self._gates.held(drive, COPY):
                self._lost.add(drive)
                self._gates.release(drive, tag)
                return OUT, TAKEN
            return OTHERWISE, "no copy comes to the target"
        write = self._gates.writes[drive]
        waits = "the guest's write waits" if not write.result else "the guest's write is over"
        return OBSERVED, f"its copy is held before the target; {waits}"

    def cbw_write(self, move: Move) -> tuple[str, str]:
        """The copy goes on to the target."""
        if move.label.drive in self._lost or not self._holds:
            return OUT, TAKEN if self._holds else UNHELD
        return self._release(move, CBW)

    def fail_cbw(self, move: Move) -> tuple[str, str]:
        """It fails there, and the guest's write with it."""
        drive = move.label.drive
        assert drive is not None
        self._start_what_waits(drive)
        self._wait(lambda: bool(self._gates.held(drive, CBW)))
        if tag := self._gates.held(drive, CBW):
            self._gates.release(drive, tag)
        write = self._gates.writes[drive]
        if self._wait(lambda: write.result not in ("", "ok")):
            return FORCED, f"blkdebug fails it once; the guest's write ends with {write.result}"
        return OTHERWISE, "the guest's write does not fail"

    # ---- the transaction

    def _begin(self) -> tuple[str, str]:
        for gate in self._gates.gates if self._holds else []:
            self._gates.arm(gate)
        asked = self._transaction()
        after = self._first_command()
        if after is not None:
            self._dialogue.send([asked, after])
        else:
            self._dialogue.send([asked])
        self._answer = self._dialogue.reply("transaction")
        self._pipelined = self._dialogue.reply("what follows") if after is not None else None
        self._listen()
        with_it = f", with {after['execute']} in the same packet" if after is not None else ""
        copies = (
            "" if self._sync == self._options.sync else "; sync none keeps the job from copying"
        )
        return FORCED, f"sent{with_it}{copies}"

    def _transaction(self) -> dict[str, Any]:
        labels = [move.label for move in self._moves]
        failing = [label.drive for label in labels if label.name == "fail_prepare"]
        options = self._options
        actions: list[dict[str, Any]] = []
        for drive in range(options.drives):
            data = {
                "device": f"d{drive}",
                "job-id": f"d{drive}",
                "target": f"t{drive}",
                "sync": self._sync,
                "on-source-error": options.on_source_error,
                "on-target-error": options.on_target_error,
                "auto-finalize": options.auto,
                "auto-dismiss": options.auto,
            }
            if self._version() >= (7, 0):
                data["x-perf"] = {"max-workers": 1, "max-chunk": CLUSTER_BYTES}
            if drive in failing:
                data["speed"] = -1
            actions.append({"type": "blockdev-backup", "data": data})
        if any(label.name == "fail_other" for label in labels):
            actions.append({"type": "abort", "data": {}})
        mode = "grouped" if options.grouped else "individual"
        arguments = {"actions": actions, "properties": {"completion-mode": mode}}
        return {"execute": "transaction", "arguments": arguments}

    def _version(self) -> tuple[int, int]:
        greeting = next(r.msg for r in self._dialogue.recorder.records if "QMP" in (r.msg or {}))
        qemu = greeting["QMP"]["version"]["qemu"]
        return qemu["major"], qemu["minor"]

    def _first_command(self) -> dict[str, Any] | None:
        """The client's command that follows the reply at once, to be sent in the same packet."""
        names = [move.label.name for move in self._moves]
        if "reply" not in names:
            return None
        rest = self._moves[names.index("reply") + 1 :]
        if not rest or rest[0].label.name not in COMMANDS:
            return None
        self._early = rest[0]
        return _command(rest[0].label.name, rest[0].label.drive or 0)

    def drain(self, move: Move) -> tuple[str, str]:
        """Nothing tells that a drive is drained."""
        return OUT, INSIDE

    def prepare(self, move: Move) -> tuple[str, str]:
        """The job is made."""
        return self._observe(move, "created")

    def commit(self, move: Move) -> tuple[str, str]:
        """The job is started."""
        return self._observe(move, "running")

    def undrain(self, move: Move) -> tuple[str, str]:
        """The job goes on after the pause that the drain was."""
        if not self._take(_is_status(move, "paused")):
            return OUT, INSIDE
        return self._observe(move, "running")

    def rollback(self, move: Move) -> tuple[str, str]:
        """The job is gone before it ran."""
        return self._observe(move, "null")

    def fail_prepare(self, move: Move) -> tuple[str, str]:
        """The action is refused."""
        assert self._answer is not None
        if "error" not in self._answer:
            return OTHERWISE, "the transaction succeeds"
        return FORCED, f"by a negative speed: {self._answer['error']['desc']}"

    def fail_other(self, move: Move) -> tuple[str, str]:
        """The `abort` action is refused."""
        assert self._answer is not None
        if "error" not in self._answer:
            return OTHERWISE, "the transaction succeeds"
        return FORCED, f"by an abort action: {self._answer['error']['desc']}"

    def reply(self, move: Move) -> tuple[str, str]:
        """The transaction has succeeded."""
        assert self._answer is not None
        if "error" in self._answer:
            return OTHERWISE, self._answer["error"]["desc"]
        return OBSERVED, "return"

    def refuse(self, move: Move) -> tuple[str, str]:
        """The transaction has failed."""
        assert self._answer is not None
        return (OBSERVED, "error") if "error" in self._answer else (OTHERWISE, "it succeeds")

    # ---- the job

    def copy(self, move: Move) -> tuple[str, str]:
        """The background copy is on its way: its write to the target is held."""
        drive = move.label.drive
        assert drive is not None
        if words := self._unseen(move):
            return OUT, words
        if self._wait(lambda: bool(self._gates.held(drive, COPY))):
            return OBSERVED, "its write is held before the target"
        return OTHERWISE, "no background copy comes to the target"

    def _unseen(self, move: Move) -> str:
        """Why a step of the background copy cannot be seen, if it cannot."""
        if not self._holds:
            return UNHELD
        if move.label.drive in self._lost:
            return TAKEN
        rest = self._moves[self._moves.index(move) + 1 :]
        of_drive = (m.label.name for m in rest if m.label.drive == move.label.drive)
        following = next((name for name in of_drive if "copy" in name), "")
        return "its read fails at once" if following == "fail_copy_read" else ""

    def copy_write(self, move: Move) -> tuple[str, str]:
        """It goes on to the target."""
        if words := self._unseen(move):
            return OUT, words
        return self._release(move, COPY)

    def fail_copy(self, move: Move) -> tuple[str, str]:
        """It fails, once."""
        drive, op = move.label.drive, move.label.name.rpartition("_")[2]
        assert drive is not None
        if op == "write" and self._holds:
            self._wait(lambda: bool(self._gates.held(drive, COPY)))
            if tag := self._gates.held(drive, COPY):
                self._gates.release(drive, tag)
        if self._wait(lambda: self._take(_is_event("BLOCK_JOB_ERROR", f"d{drive}"))):
            return FORCED, "blkdebug fails it once, and BLOCK_JOB_ERROR tells it"
        return OTHERWISE, "no BLOCK_JOB_ERROR comes"

    def finish(self, move: Move) -> tuple[str, str]:
        """All is copied."""
        return self._observe(move, "waiting")

    def group_pending(self, move: Move) -> tuple[str, str]:
        """All of the group have copied all."""
        if self._wait(lambda: self._take(_is_status(None, "pending"))):
            return OBSERVED, "JOB_STATUS_CHANGE pending"
        return OTHERWISE, "no job of the group becomes pending"

    def group_cancel(self, move: Move) -> tuple[str, str]:
        """QEMU tells only how they end."""
        return OUT, "QEMU tells only how the jobs end"

    def complete(self, move: Move) -> tuple[str, str]:
        """The job, or each of the group, ends well."""
        drive = move.label.drive
        for each in range(self._options.drives) if drive is None else [drive]:
            name, error = self._final(each)
            if name != COMPLETED or error:
                return OTHERWISE, _ending(name, error)
        return OBSERVED, COMPLETED

    def abort(self, move: Move) -> tuple[str, str]:
        """The job ends, failed or cancelled."""
        drive = move.label.drive
        assert drive is not None
        for tag in list(self._gates.gates[drive].held):  # what no step of the schedule lets go
            self._gates.release(drive, tag)
        name, error = self._final(drive)
        ends = name == CANCELLED or (name == COMPLETED and error != "")
        return OBSERVED if ends else OTHERWISE, _ending(name, error)

    def _final(self, drive: int) -> tuple[str, str]:
        """The final event of a drive's job, with its error; empty words if none comes."""
        found: list[dict[str, Any]] = []

        def ends(event: dict[str, Any]) -> bool:
            final = any(_is_event(name, f"d{drive}")(event) for name in (COMPLETED, CANCELLED))
            found.extend([event] * final)
            return final

        self._wait(lambda: self._take(ends))
        if not found:
            return "", ""
        return str(found[0]["event"]), str(found[0]["data"].get("error", ""))

    def _verb(self, name: str, drive: int) -> tuple[str, str]:
        if self._early is not None and self._early.label.name == name:
            self._early, answer, how = None, self._pipelined, "in the transaction's packet"
        else:
            self._dialogue.send([_command(name, drive)])
            answer, how = self._dialogue.reply(name), "sent"
        assert answer is not None
        if "error" in answer:
            return OTHERWISE, f"refused: {answer['error']['desc']}"
        return FORCED, how

    # ---- waiting

    def _observe(self, move: Move, status: str) -> tuple[str, str]:
        if self._wait(lambda: self._take(_is_status(move, status))):
            return OBSERVED, f"JOB_STATUS_CHANGE {status}"
        return OTHERWISE, f"no JOB_STATUS_CHANGE {status} of d{move.label.drive}"

    def _release(self, move: Move, whose: str) -> tuple[str, str]:
        drive = move.label.drive
        assert drive is not None
        self._wait(lambda: bool(self._gates.held(drive, whose)))
        tag = self._gates.held(drive, whose)
        if not tag:
            return OTHERWISE, "nothing of it is held before the target"
        self._gates.release(drive, tag)
        return FORCED, "it was held before the target, and is let go"

    def _listen(self) -> None:
        self._gates.listen(time.monotonic() + 0.05)
        self._dialogue.send([{"execute": "query-block-jobs"}])
        self._dialogue.reply("query-block-jobs")
        self._told += self._dialogue.events
        self._dialogue.events.clear()

    def _wait(self, done: Callable[[], bool]) -> bool:
        """Until it is so; false if it is not in good time."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            self._listen()
            if done():
                return True
            if time.monotonic() > deadline:
                return False

    def _take(self, wanted: Callable[[dict[str, Any]], bool]) -> bool:
        """Take the first event that is wanted, if there is one."""
        for event in self._told:
            if wanted(event):
                self._told.remove(event)
                return True
        return False

    def end(self) -> None:
        """Let everything go on to its end, and QEMU, too."""
        self._gates.open_all()
        self._wait(lambda: not any(not w.result for w in self._gates.writes.values()))
        self._dialogue.quit()


def _command(name: str, drive: int) -> dict[str, Any]:
    command, arguments = command_of(name, drive)
    return {"execute": command, "arguments": arguments}


def _ending(name: str, error: str) -> str:
    """How a job has ended, in words."""
    return f"{name}: {error}" if error else name or "the job does not end"


def _is_status(move: Move | None, status: str) -> Callable[[dict[str, Any]], bool]:
    def wanted(event: dict[str, Any]) -> bool:
        data = event.get("data", {})
        of_drive = move is None or data.get("id") == f"d{move.label.drive}"
        return event["event"] == "JOB_STATUS_CHANGE" and data["status"] == status and of_drive

    return wanted


def _is_event(name: str, job_id: str | None) -> Callable[[dict[str, Any]], bool]:
    def wanted(event: dict[str, Any]) -> bool:
        of_job = job_id is None or event.get("data", {}).get("device") == job_id
        return bool(event["event"] == name) and of_job

    return wanted


_SIMPLE: Final[dict[str, Callable[[Steering, Move], tuple[str, str]]]] = {
    "guest_start": Steering.guest_start,
    "guest_done": Steering.guest_done,
    "cbw_claim": Steering.cbw,
    "cbw_read": Steering.cbw,
    "cbw_write": Steering.cbw_write,
    "fail_cbw_read": Steering.fail_cbw,
    "fail_cbw_write": Steering.fail_cbw,
    "drain": Steering.drain,
    "prepare": Steering.prepare,
    "fail_prepare": Steering.fail_prepare,
    "fail_other": Steering.fail_other,
    "rollback": Steering.rollback,
    "commit": Steering.commit,
    "undrain": Steering.undrain,
    "reply": Steering.reply,
    "refuse": Steering.refuse,
    "copy_claim": Steering.copy,
    "copy_read": Steering.copy,
    "copy_write": Steering.copy_write,
    "fail_copy_read": Steering.fail_copy,
    "fail_copy_write": Steering.fail_copy,
    "finish": Steering.finish,
    "group_pending": Steering.group_pending,
    "group_cancel": Steering.group_cancel,
    "complete": Steering.complete,
    "group_complete": Steering.complete,
    "abort": Steering.abort,
}
