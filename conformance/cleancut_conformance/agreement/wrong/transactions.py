"""Wrong as transactions and groups go."""

from collections.abc import Iterator
from typing import Any

from cleancut_conformance.agreement.wrong.table import (
    caught_by,
    mutates,
    no_case,
    replace,
    without_asserts,
)
from cleancut_reference import engine, transaction
from cleancut_reference.actions import backup as backup_action
from cleancut_reference.block.graph import Graph
from cleancut_reference.block.request import DiskRequest, Failed
from cleancut_reference.block.traffic import Traffic
from cleancut_reference.disk import Disk
from cleancut_reference.jobs import ending
from cleancut_reference.jobs.job import Job
from cleancut_reference.outputs import Event
from cleancut_reference.state import State
from cleancut_reference.step import Step
from cleancut_spec.jobs import Status
from cleancut_spec.schedule import Label


@mutates("leaked-drain")
@caught_by("transaction/releases-drives", "GUEST-LIVE-1")
def forgets_the_drain() -> None:
    """A failed transaction leaves its drives drained (bug 5)."""
    replace(transaction.Transaction, "_undrain_next", lambda self, state: None)


@caught_by("transaction/fails-at-second", "TX-FAIL-2")
def leaves_jobs_behind() -> None:
    """A failed transaction is answered with its jobs still there (bug 6)."""
    right = backup_action._roll_back

    def wrong(state: State, action: backup_action.Backup) -> Any:
        action.job = None
        return right(state, action)

    replace(backup_action, "_roll_back", wrong)


@caught_by("transaction/abort-last", "TX-ATOMIC-2")
def starts_jobs_in_prepare() -> None:
    """A job runs before all actions are prepared (bug 1)."""
    right = backup_action._make_job

    def wrong(state: State, action: Any, drive: Any, outcome: Any) -> None:
        right(state, action, drive, outcome)
        state.outbox.append(Event("JOB_STATUS_CHANGE", {"status": "running", "id": action.job.id}))

    replace(backup_action, "_make_job", wrong)


@caught_by("transaction/keeps-existing-targets", "TX-KEEP-1")
def empties_targets_in_prepare() -> None:
    """A target is made anew before it is known that the transaction succeeds (as QEMU does)."""
    right = Disk.perform

    def wrong(self: Disk, request: DiskRequest) -> Any:
        outcome = right(self, request)
        if request.create and request.blueprint and not isinstance(outcome, Failed):
            self.nodes[request.blueprint.name].image.resize(0)
        return outcome

    replace(Disk, "perform", wrong)


@mutates("busy-not-seen")
@caught_by("arguments/busy-drive", "ARG-BUSY-1")
def takes_a_second_job() -> None:
    """A busy drive is not refused (bug 21)."""
    right = Graph.find

    def wrong(self: Graph, name: str) -> Any:
        return right(self, name).performer

    replace(Graph, "find", wrong)
    replace(Graph, "check_not_blocked", lambda self, node, for_backup=False: None)


@mutates("group-of-one")
@caught_by("transaction/grouped-completes", "TX-GROUP-1")
def groups_nothing() -> None:
    """Completion mode `grouped` is accepted and forgotten."""
    right = Job.__post_init__

    def wrong(self: Job) -> None:
        right(self)
        self.group = None

    replace(Job, "__post_init__", wrong)


@caught_by("transaction/grouped-fails", "TX-GROUP-2")
def leaves_its_group_by_failing() -> None:
    """A job that fails does not take its group along."""
    right = ending.fail

    def wrong(job: Job, errno: str) -> None:
        right(job, errno)
        if job.group is not None:
            job.group.jobs.remove(job)
            job.group = None

    replace(ending, "fail", wrong)


# ---- bugs of the model


@mutates(
    "drain-waits-for-the-waiting",
    "QMP-ORDER-1",
    why="a transaction that does not go on is one that is never answered",
)
@caught_by("point-in-time/asynchronous-burst", "QMP-ORDER-1")
def drains_wait_for_those_that_wait() -> None:
    """A drive counts as quiet only when no guest request waits for the drain's end."""
    without_asserts(backup_action, backup_action, "_commit")
    replace(Traffic, "quiet", property(lambda self: not self.requests))


@mutates("start-early")
@caught_by("point-in-time/asynchronous-burst", "TX-ATOMIC-2")
def commits_as_it_prepares() -> None:
    """A job is started as soon as it is made, before the next action is prepared."""
    right = transaction.Transaction._prepare_next

    def wrong(self: transaction.Transaction, state: State, action: Any) -> Any:
        made = (each.commit(state) for each in self.actions[: self.position])
        return next((step for step in made if step is not None), None) or right(self, state, action)

    replace(transaction.Transaction, "_prepare_next", wrong)


@mutates("no-drain")
@no_case("a client cannot send a transaction while it holds a write: the command waits for it")
def waits_for_no_request() -> None:
    """A drive counts as quiet although a guest's write is in flight."""
    replace(Traffic, "quiet", True)


def _runs_if_open() -> None:
    """A job that starts although its drive is not drained any more is not paused by a drain."""
    right = backup_action._commit

    def wrong(state: State, backup: Any) -> Step:
        step = right(state, backup)

        def run(outcome: Any) -> Any:
            label = step.run(outcome)
            if not backup.job.source.traffic.drained:
                state.outbox.append(backup.job.move(Status.RUNNING))
            return label

        return step._replace(run=run)

    replace(backup_action, "_commit", wrong)


@mutates("undrain-early")
@no_case("a client cannot put a write between the steps of a transaction")
def undrains_early() -> None:
    """Guests of a drive go on when its own action is prepared."""
    without_asserts(backup_action, backup_action, "_commit")
    _runs_if_open()
    right = transaction.Transaction.steps

    def wrong(self: transaction.Transaction, state: State) -> Iterator[Step]:
        for action in self.actions[: self.position]:
            source = getattr(action, "source", None)
            if source is not None and source.traffic in self.drained:
                yield transaction._undrain(self, state, source.traffic)
        yield from right(self, state)

    replace(transaction.Transaction, "steps", wrong)


@mutates("leaked-job")
@caught_by("transaction/abort-last", "TX-FAIL-2")
def leaves_jobs_behind_and_drives_open() -> None:
    """A failed transaction is answered with jobs still there, their drives released before."""
    undrains_early()
    leaves_jobs_behind()


@mutates("drain-for-an-instant")
@no_case("a client cannot put a write between the steps of a transaction")
def drains_for_an_instant() -> None:
    """A drive is drained while its action is prepared, and not until the commit."""
    without_asserts(backup_action, backup_action, "_commit")
    _runs_if_open()
    right = backup_action._make_job

    def wrong(state: State, action: Any, source: Any, outcome: Any) -> None:
        right(state, action, source, outcome)
        source.traffic.drained = False

    replace(backup_action, "_make_job", wrong)


@mutates("event-on-rollback")
@caught_by("transaction/abort-last", "TX-FAIL-3")
def cancels_what_never_ran() -> None:
    """A job that is taken back is said to be cancelled."""
    right = ending.take_back

    def wrong(state: State, job: Job, whole: bool) -> None:
        state.outbox.append(job.block_job_event("BLOCK_JOB_CANCELLED"))
        right(state, job, whole)

    replace(backup_action, "take_back", wrong)


@mutates(
    "rollback-stuck",
    "QMP-ORDER-1",
    instance={"snapshot": False},
    why="a transaction that does not go on is one that is never answered",
)
@caught_by("transaction/abort-first", "QMP-ORDER-1")
def takes_nothing_back() -> None:
    """A failed transaction waits for ever for its turn to be taken back."""
    replace(transaction.Transaction, "_roll_back_next", lambda self, state: None)


@mutates(
    "wiped-target",
    refuse_next=True,
    walk={"drives": 1, "again": 2, "writes": 1, "errors": 0, "control": False},
)
@caught_by("transaction/keeps-existing-targets", "TX-KEEP-1")
def formats_in_prepare() -> None:
    """A target is emptied by the action's second step in prepare."""
    right = backup_action.Backup.prepare

    def wrong(self: backup_action.Backup, state: State) -> Step:
        if self.job is None:
            step = right(self, state)

            def run(outcome: Any) -> Any:
                label = step.run(outcome)
                self.prepared = False
                return label

            return step._replace(run=run)
        scope = self.job.settings.scope
        request = self.target.format_request(self.job.source, self.job.target, scope)

        def wiped(_: Any) -> None:
            self.prepared = True

        return Step(None, wiped, request)

    replace(backup_action.Backup, "prepare", wrong)


@mutates("group-too-early", "JOB-PROGRESS-1", why="it completes, and its offset is not its length")
@caught_by("transaction/grouped-cancelled-waiting", "TX-GROUP-2")
def lets_the_first_speak_for_its_group() -> None:
    """When one job of a group has copied all, the others are pending, too."""
    right = ending.group_steps

    def wrong(state: State, group: Any) -> Iterator[Step]:
        waiting = [job for job in group.jobs if job.status is Status.WAITING]
        if group.failed or not waiting:
            yield from right(state, group)
            return

        def run(_: Any) -> Label:
            for job in group.jobs:
                if job.status is Status.PAUSED:
                    state.outbox.append(job.move(Status.RUNNING))
                if job.status is Status.RUNNING:
                    state.outbox.append(job.move(Status.WAITING))
            return ending._all_pending(state, group)

        yield Step(Label("group_pending"), run)

    replace(ending, "group_steps", wrong)


@mutates("fails-in-a-group")
@caught_by("transaction/grouped-both-fail", "TX-GROUP-2")
def blames_each_of_a_group() -> None:
    """A job of a group that ends already reports an error of its own."""

    def wrong(job: Job, errno: str) -> None:
        if not job.ending:
            job.error = errno

    replace(ending, "fail", wrong)


@mutates("disconnect-cancels")
@no_case("a case has one connection from its beginning to its end")
def cancels_when_the_client_goes() -> None:
    """Jobs end when the client that started them hangs up."""
    right = engine.Engine.hang_up

    def wrong(self: engine.Engine) -> None:
        right(self)
        for job in self.state.jobs:
            ending.cancel(job)

    replace(engine.Engine, "hang_up", wrong)
