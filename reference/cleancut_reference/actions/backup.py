"""The `drive-backup` and `blockdev-backup` actions: prepare makes the job, commit starts it."""

from dataclasses import dataclass, replace
from typing import Final

from cleancut_reference import errors
from cleancut_reference.actions.action import Action
from cleancut_reference.block.description import check_node_name
from cleancut_reference.block.node import Node
from cleancut_reference.block.request import DiskRequest, Failed, Outcome
from cleancut_reference.block.traffic import Traffic
from cleancut_reference.errors import QmpError
from cleancut_reference.jobs.ending import fail, take_back
from cleancut_reference.jobs.filter import attach
from cleancut_reference.jobs.group import Group
from cleancut_reference.jobs.job import Job, Policy, Settings
from cleancut_reference.jobs.scope import Sync, take_bitmap
from cleancut_reference.jobs.top_layer import TopLayer
from cleancut_reference.node_target import NodeTarget
from cleancut_reference.state import State
from cleancut_reference.step import Step
from cleancut_reference.target import Target
from cleancut_spec import cites
from cleancut_spec.jobs import Status
from cleancut_spec.schedule import Label

MAX_WORKERS: Final = 2**31 - 1


@dataclass(slots=True, eq=False)
class Backup(Action):
    """A backup that is to be started, and how far it has come."""

    kind = "backup"
    can_be_grouped = True
    is_job = True

    device: str
    target: Target | NodeTarget
    settings: Settings
    group: Group | None = None
    source: Node | None = None
    layer: TopLayer | None = None
    opening: DiskRequest | None = None
    opened: Outcome = None
    job: Job | None = None
    prepared: bool = False
    committed: bool = False

    def find(self, state: State) -> Traffic:
        """The drive's guest requests, if it can take a backup."""
        self.source = check_source(state, self)
        return self.source.traffic

    def prepare(self, state: State) -> Step:
        """See what the top layer has, if only that is copied; open the target; make the job."""
        if self.layer is not None and not self.layer.known:
            return Step(None, self.layer.look, self.layer.request())
        return _prepare(state, self)

    def commit(self, state: State) -> Step | None:
        """Start the job."""
        return None if self.committed else _commit(state, self)

    def roll_back(self, state: State) -> Step | None:
        """Take the job back, and what opening the target has made."""
        return None if self.opened is None and self.job is None else _roll_back(state, self)

    def drain_label(self, state: State) -> Label | None:
        """A device that does not exist has no number; one that is drained is so once."""
        known = state.graph.known(self.device)
        return None if known is None or known.traffic.drained else Label("drain", known.index)

    def refuse_label(self, state: State) -> Label | None:
        """The same whether the drive or the target is at fault."""
        known = state.graph.known(self.device)
        return None if known is None else Label("fail_prepare", known.index)


@cites("ARG-DEVICE-1", "ARG-MEDIUM-1", "ARG-BUSY-1", "ARG-TWICE-1")
def check_source(state: State, backup: Backup) -> Node:
    """The node of an action that can take a backup; raises QmpError where it cannot."""
    source = state.graph.find(backup.device)
    _check_policy(state, backup, source)
    backup.target.find(state.graph, source)
    scope = backup.settings.scope.of(source)
    backup.settings = replace(backup.settings, scope=scope)
    if scope.sync is Sync.TOP:
        backup.layer = TopLayer(source.unfiltered)
    backup.opening = backup.target.open_request(state.graph, source, scope)
    return source


@cites("POLICY-ENOSPC-1")
def _check_policy(state: State, backup: Backup, source: Node) -> None:
    """Refuse a policy that stops where a profile has no io-status to show it; raises QmpError."""
    if not state.profile.stop_needs_io_status:
        return
    drive = state.graph.drive_of(source)
    stops = backup.settings.on_source_error in (Policy.STOP, Policy.ENOSPC)
    if stops and (drive is None or drive.device is None):
        raise errors.generic("Invalid parameter 'on-source-error'")


def _prepare(state: State, backup: Backup) -> Step:
    source = backup.source
    assert source is not None
    label = Label("prepare", source.index)

    def run(outcome: Outcome) -> Label:
        job = _make_job(state, backup, source, outcome)
        if state.profile.starts_in_prepare:
            _start(state, job)
        backup.prepared = True
        return label

    return Step(label, run, backup.opening)


@cites("ARG-TARGET-1", "ARG-MODE-2", "ARG-FORMAT-1", "ARG-SPEED-1")
def _make_job(state: State, backup: Backup, source: Node, outcome: Outcome) -> Job:
    """The target is open: check all that is said of the job, and put it in front of the drive."""
    backup.opened = None if isinstance(outcome, Failed) else outcome
    graph, scope = state.graph, backup.settings.scope
    target = backup.target.adopt(graph, source, scope, outcome)
    try:
        bitmap = scope.find_bitmap(source)
        _check_pair(state, backup, source, target)
        scope.check_bitmap(bitmap)
        _check_together(state, backup, source, target)
        job_id = _check_id(state, backup, source)
        graph.check_unwritten(source)
    except QmpError:
        backup.target.abandon(graph, target)
        raise
    cluster_bytes = _cluster_bytes(state, backup, target)
    settings = replace(backup.settings, id=job_id)
    whole = state.profile.whole_clusters
    job = Job(settings, source, target, cluster_bytes, backup.group, whole_clusters=whole)
    if backup.group is not None:
        backup.group.jobs.append(job)
    attach(graph, job)
    take_bitmap(job, bitmap)
    if backup.layer is not None:
        job.copy_only(backup.layer.runs)
    state.outbox.append(job.move(Status.CREATED))
    state.jobs.append(job)
    if settings.speed_bytes_per_s < 0:  # the last that QEMU looks at
        take_back(state, job, whole=False)
        raise errors.generic("Parameter 'speed' expects a non-negative value")
    backup.job = job
    return job


def _start(state: State, job: Job) -> None:
    """The job runs, and stands still as long as its drive is drained."""
    state.outbox.append(job.move(Status.RUNNING))
    state.outbox.append(job.move(Status.PAUSED))


def _cluster_bytes(state: State, backup: Backup, target: Node) -> int:
    """What is copied at once: nothing of the target may be written in part."""
    least_bytes = max(state.options.cluster_bytes, backup.settings.min_cluster_bytes)
    return max(least_bytes, target.cluster_bytes)


@cites("ARG-PERF-1")
def _check_pair(state: State, backup: Backup, source: Node, target: Node) -> None:
    """Refuse what cannot be of this source and this target; raises QmpError."""
    settings, graph = backup.settings, state.graph
    if source is target:
        raise errors.generic("Source and target cannot be the same")
    if settings.compress and not target.takes_compressed:
        drive = graph.drive_of(target)
        name = drive.name if drive else ""
        raise errors.generic(f"Compression is not supported for this drive {name}")
    graph.check_not_blocked(source, for_backup=True)
    graph.check_not_blocked(target, for_backup=True)
    if not 1 <= settings.max_workers <= MAX_WORKERS:
        raise errors.generic(f"max-workers must be between 1 and {MAX_WORKERS}")
    if settings.max_chunk_bytes < 0:
        raise errors.generic("max-chunk must be zero (which means no limit) or positive")


@cites("ARG-SIZE-1")
def _check_together(state: State, backup: Backup, source: Node, target: Node) -> None:
    """Refuse a target that does not fit, or a filter that cannot be put in; raises QmpError."""
    settings, cluster_bytes = backup.settings, _cluster_bytes(state, backup, target)
    if state.profile.checks_size and target.size_bytes != source.size_bytes:
        raise errors.generic("Source and target image have different sizes")
    if settings.filter_name is not None:
        try:
            check_node_name(state.graph, settings.filter_name)
        except QmpError as error:
            raise errors.generic(f"Could not create node: {error.desc}") from None
    backup.target.check_access(state.graph, source, target)
    least = settings.min_cluster_bytes
    if least < 0 or least & (least - 1):
        what = "min-cluster-size needs to be a power of 2"
        raise errors.generic(f"Could not create node: Cannot create block-copy-state: {what}")
    if 0 < settings.max_chunk_bytes < cluster_bytes:
        too_small = f"Required max-chunk ({settings.max_chunk_bytes}) is less than backup"
        raise errors.generic(f"{too_small} cluster size ({cluster_bytes})")


def _check_id(state: State, backup: Backup, source: Node) -> str:
    """The job's name, by default the drive's; raises QmpError where it cannot be."""
    job_id = backup.settings.id
    if job_id is None:
        drive = state.graph.drive_of(source)
        job_id = drive.name if drive else ""
    state.check_job_id(job_id)
    return job_id


def _commit(state: State, backup: Backup) -> Step:
    job = backup.job
    assert job is not None
    traffic = job.source.traffic
    assert traffic.drained and traffic.quiet, "a drive is drained until all are committed"
    label = Label("commit", job.index)

    def run(outcome: Outcome) -> Label:
        backup.committed = True
        if not state.profile.starts_in_prepare:
            _start(state, job)
        if isinstance(outcome, Failed):
            fail(job, outcome.errno)
        return label

    request = backup.target.format_request(job.source, job.target, job.settings.scope)
    return Step(label, run, request)


@cites("TX-KEEP-1", "TX-CLEAN-1", "TX-DETACH-1")
def _roll_back(state: State, backup: Backup) -> Step:
    """Take the action back: its target gets back what it held, since only commit empties it."""
    job = backup.job
    label = None if job is None else Label("rollback", job.index)

    def run(_: Outcome) -> Label | None:
        backup.opened = backup.job = None
        if job is not None:
            take_back(state, job, whole=True)
        return label

    return Step(label, run, backup.target.undo_request(backup.opened))
