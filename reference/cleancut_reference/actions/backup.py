"""The `drive-backup` action: the job is made in prepare and started in commit."""

import re
from dataclasses import dataclass
from typing import Final

from cleancut_reference import errors
from cleancut_reference.actions.action import Action
from cleancut_reference.block.drive import Drive
from cleancut_reference.block.request import DiskRequest, Failed, Op, Opened, Outcome
from cleancut_reference.jobs.backup import bury
from cleancut_reference.jobs.job import Job, Settings
from cleancut_reference.state import State
from cleancut_reference.step import Step
from cleancut_reference.target import Target, check_opened
from cleancut_spec import cites
from cleancut_spec.jobs import Status
from cleancut_spec.schedule import Label

_JOB_ID: Final = re.compile(r"[A-Za-z][A-Za-z0-9._-]*")


@dataclass(slots=True, eq=False)
class Backup(Action):
    """A backup that is to be started, and how far it has come."""

    kind = "drive-backup"
    can_be_grouped = True

    device: str
    target: Target
    settings: Settings
    drive: Drive | None = None
    opened: Opened | None = None
    job: Job | None = None
    prepared: bool = False
    committed: bool = False

    def find(self, state: State) -> Drive:
        """The drive, if it can take a backup."""
        self.drive = check_drive(state, self)
        return self.drive

    def prepare(self, state: State) -> Step:
        """Open the target and put the job in front of the drive."""
        return _prepare(state, self)

    def commit(self, state: State) -> Step | None:
        """Start the job."""
        return None if self.committed else _commit(state, self)

    def roll_back(self, state: State) -> Step | None:
        """Take the job back, and what opening the target has made."""
        return None if self.opened is None else _roll_back(state, self)

    def drain_label(self, state: State) -> Label | None:
        """A device that does not exist has no number; one that is drained is so once."""
        known = state.drive(self.device)
        return None if known is None or known.drained else Label("drain", known.index)

    def refuse_label(self, state: State) -> Label | None:
        """The same whether the drive or the target is at fault."""
        known = state.drive(self.device)
        return None if known is None else Label("fail_prepare", known.index)


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


def _prepare(state: State, backup: Backup) -> Step:
    drive = backup.drive
    assert drive is not None
    label = Label("prepare", drive.index)

    def run(outcome: Outcome) -> Label:
        _make_job(state, backup, drive, outcome)
        backup.prepared = True
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


def _commit(state: State, backup: Backup) -> Step:
    job, drive = backup.job, backup.drive
    assert job is not None and drive is not None
    assert drive.drained and drive.quiet, "a drive is drained until all are committed"
    label = Label("commit", drive.index)

    def run(outcome: Outcome) -> Label:
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
