"""The transaction: prepare each action in turn, then commit all, or take all back.

    PREPARE   drain d, prepare d   for each action, in the order of the list
    COMMIT    commit d             for each; then undrain d for each; then the reply
    ROLLBACK  rollback d           for each prepared one, newest first; then undrain d; the error

A drive is drained from before its own prepare until after the last commit. At the first commit all
drives are quiet at once: that instant is the cut. A lone `drive-backup` is a transaction of one.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any, Final

from cleancut_reference import errors
from cleancut_reference.block.drive import Drive
from cleancut_reference.block.request import DiskRequest, Failed, Op, Opened, Outcome
from cleancut_reference.errors import QmpError
from cleancut_reference.jobs.backup import bury
from cleancut_reference.jobs.job import Job, Settings
from cleancut_reference.state import State
from cleancut_reference.step import Step
from cleancut_reference.target import Target, check_opened
from cleancut_spec import cites
from cleancut_spec.jobs import Status
from cleancut_spec.schedule import Label


@dataclass(slots=True, eq=False)
class Abort:
    """The `abort` action: it cannot be prepared."""


@dataclass(slots=True, eq=False)
class Backup:
    """A `drive-backup` action, and how far it has come."""

    device: str
    target: Target
    settings: Settings
    drive: Drive | None = None
    drained: bool = False
    opened: Opened | None = None
    job: Job | None = None
    committed: bool = False


Action = Abort | Backup

_JOB_ID: Final = re.compile(r"[A-Za-z][A-Za-z0-9._-]*")


class Phase(Enum):
    """Which way the transaction goes."""

    PREPARE = auto()
    COMMIT = auto()
    ROLLBACK = auto()
    ENDED = auto()


@dataclass(slots=True, eq=False)
class Transaction:
    """A transaction under way; `error` is that of the first action that failed."""

    actions: list[Action]
    phase: Phase = Phase.PREPARE
    position: int = 0  # of the next action to be prepared
    error: QmpError | None = None
    backups: list[Backup] = field(init=False)

    def __post_init__(self) -> None:
        self.backups = [action for action in self.actions if isinstance(action, Backup)]

    def result(self) -> dict[str, Any] | QmpError | None:
        """What to answer; None while the transaction goes on."""
        if self.phase is not Phase.ENDED:
            return None
        return self.error or {}

    def steps(self, state: State) -> Iterator[Step]:
        """The one thing that the transaction does next, if its drive lets it."""
        match self.phase:
            case Phase.PREPARE if self.position < len(self.actions):
                step = self._prepare_next(state)
            case Phase.PREPARE | Phase.COMMIT:
                step = self._commit_next(state)
            case Phase.ROLLBACK:
                step = self._roll_back_next(state)
            case _:
                step = None
        if step is not None:
            yield step

    @cites("TX-ORDER-1", "TX-ABORT-1", "TX-FAIL-1")
    def _prepare_next(self, state: State) -> Step | None:
        """The next action is prepared only when all before it are."""
        action = self.actions[self.position]
        if isinstance(action, Abort):
            return Step(None, self._abort)
        if not action.drained:
            return _drain(self, state, action)
        assert action.drive is not None
        return _prepare(self, state, action, action.drive) if action.drive.quiet else None

    def _abort(self, _: Outcome) -> None:
        self.fail(errors.generic("Transaction aborted using Abort action"))

    def fail(self, error: QmpError) -> None:
        """The action at `position` is refused, and so the transaction."""
        assert self.error is None, "a transaction fails once"
        self.error = error
        self.phase = Phase.ROLLBACK

    @cites("TX-ATOMIC-1", "TX-ATOMIC-2", "PIT-ALL-1", "PIT-BEFORE-1")
    def _commit_next(self, state: State) -> Step:
        """All are prepared: start each job, and only then let the guests go on."""
        for backup in self.backups:
            if not backup.committed:
                return _commit(self, state, backup)
        return self._undrain_next(state) or Step(Label("reply"), self._end)

    @cites("TX-ATOMIC-1", "TX-FAIL-2", "TX-FAIL-4", "TX-RELEASE-1")
    def _roll_back_next(self, state: State) -> Step:
        """One has failed: take back what was prepared, newest first, then let the guests go on."""
        for backup in reversed(self.backups):
            if backup.opened is not None:
                return _roll_back(state, backup)
        return self._undrain_next(state) or Step(Label("refuse"), self._end)

    def _undrain_next(self, state: State) -> Step | None:
        drained = next((backup for backup in self.backups if backup.drained), None)
        return None if drained is None else _undrain(state, drained)

    @cites("TX-EMPTY-1")
    def _end(self, _: Outcome) -> Label:
        self.phase = Phase.ENDED
        return Label("refuse" if self.error else "reply")


@cites("ARG-DEVICE-1", "ARG-MEDIUM-1", "ARG-BUSY-1", "ARG-TWICE-1", "ARG-SPEED-1", "JOB-ID-1")
def check_drive(state: State, backup: Backup) -> Drive:
    """The drive of an action that can take a backup; raises QmpError where it cannot."""
    drive = state.drive(backup.device)
    if drive is None:
        raise errors.no_device(backup.device)
    if drive.size_bytes is None:
        raise errors.generic(f"Device '{drive.name}' has no medium")
    if drive.job is not None:
        raise errors.busy(drive.name)
    backup.target.check_format()
    job_id = backup.settings.id
    if not _JOB_ID.fullmatch(job_id):
        raise errors.generic(f"Invalid job ID '{job_id}'")
    if state.job(job_id) is not None:
        raise errors.generic(f"Job ID '{job_id}' already in use")
    if backup.settings.speed_bytes_per_s < 0:
        raise errors.generic("Parameter 'speed' expects a non-negative value")
    return drive


def _drain(transaction: Transaction, state: State, backup: Backup) -> Step:
    known = state.drive(backup.device)
    label = None if known is None else Label("drain", known.index)

    def run(_: Outcome) -> Label | None:
        try:
            drive = check_drive(state, backup)
        except QmpError as error:
            transaction.fail(error)
            return None if known is None else Label("fail_prepare", known.index)
        backup.drive = drive
        drive.drained = backup.drained = True
        return label

    return Step(label, run)


def _prepare(transaction: Transaction, state: State, backup: Backup, drive: Drive) -> Step:
    label = Label("prepare", drive.index)

    def run(outcome: Outcome) -> Label:
        try:
            _make_job(state, backup, drive, outcome)
        except QmpError as error:
            transaction.fail(error)
            return Label("fail_prepare", drive.index)
        transaction.position += 1
        return label

    return Step(label, run, backup.target.open_request(drive))


@cites("ARG-TARGET-1", "ARG-SIZE-1", "ARG-MODE-2", "ARG-FORMAT-1")
def _make_job(state: State, backup: Backup, drive: Drive, outcome: Outcome) -> None:
    """The target is open: check it, and put the job in front of the drive."""
    if isinstance(outcome, Failed):
        raise backup.target.open_error(outcome)
    assert isinstance(outcome, Opened)
    backup.opened = outcome
    check_opened(state, backup.target, drive, outcome)
    job = Job(backup.settings, drive, outcome.identity, state.options.cluster_bytes)
    state.outbox.append(job.move(Status.CREATED))
    state.jobs.append(job)
    drive.job = backup.job = job


def _commit(transaction: Transaction, state: State, backup: Backup) -> Step:
    job, drive = backup.job, backup.drive
    assert job is not None and drive is not None
    assert drive.drained and drive.quiet, "a drive is drained until all are committed"
    label = Label("commit", drive.index)

    def run(outcome: Outcome) -> Label:
        transaction.phase = Phase.COMMIT
        backup.committed = True
        state.outbox.append(job.move(Status.RUNNING))
        state.outbox.append(job.move(Status.PAUSED))  # by the drain
        if isinstance(outcome, Failed):
            job.error = outcome.errno
        return label

    return Step(label, run, backup.target.reset_request(drive))


@cites("TX-KEEP-1", "TX-CLEAN-1", "TX-DETACH-1")
def _roll_back(state: State, backup: Backup) -> Step:
    """Take the action back: its target gets back what it held, since only commit empties it."""
    job, drive = backup.job, backup.drive
    assert drive is not None
    label = None if job is None else Label("rollback", drive.index)

    def run(_: Outcome) -> Label | None:
        backup.opened = None
        if job is not None:
            state.outbox.append(job.move(Status.ABORTING))
            bury(state, job)
        return label

    return Step(label, run, DiskRequest(Op.DISCARD_TARGET, f"{drive.name}.target"))


def _undrain(state: State, backup: Backup) -> Step:
    drive, job = backup.drive, backup.job
    assert drive is not None
    label = Label("undrain", drive.index)

    def run(_: Outcome) -> Label:
        drive.drained = backup.drained = False
        if job is not None and backup.committed:
            state.outbox.append(job.move(Status.RUNNING))
        return label

    return Step(label, run)
