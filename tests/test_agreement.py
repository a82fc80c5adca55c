"""The engine and the model, side by side: same steps possible, same states after them.

The model is the oracle. Whatever the schedule, each labelled step of the engine is one that the
model allows, what the model allows of the implementation the engine offers, and the states agree.
"""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from cleancut_model.backup import Options as ModelOptions
from cleancut_model.concrete import NotEnabled, Run
from cleancut_reference.block.request import Op
from cleancut_reference.block.traffic import Phase as GuestPhase
from cleancut_reference.jobs.job import Job
from cleancut_reference.state import Options
from cleancut_reference.step import Step
from cleancut_reference.transaction import Phase, Transaction
from cleancut_spec.jobs import Status
from cleancut_spec.schedule import STEPS, Label
from tests.engine_harness import Harness, backup_action

DRIVES, CLUSTERS, VALUES, CLUSTER_BYTES = 2, 2, 3, 4
NONE = bytearray(CLUSTERS)
ERRNOS = ("EIO", "ENOSPC")
#: For source and target: each policy on each side.
POLICIES = (("report", "report"), ("report", "ignore"), ("ignore", "stop"), ("stop", "enospc"),
            ("enospc", "report"))  # fmt: skip

GUEST = {
    GuestPhase.ARRIVED: "ARRIVED",
    GuestPhase.CBW_READ: "CBW_READ",
    GuestPhase.CBW_WRITE: "CBW_WRITE",
    GuestPhase.IN_FLIGHT: "WRITING",
}
TX = {Phase.PREPARE: "PREPARE", Phase.COMMIT: "COMMIT", Phase.ROLLBACK: "ROLLBACK"}


def options(policies: tuple[str, str]) -> ModelOptions:
    plain = ModelOptions(DRIVES, CLUSTERS, VALUES, None, None, errnos=ERRNOS)
    return replace(plain, source_policy=policies[0], target_policy=policies[1])


class Both:
    """An engine and a run of the model that take the same steps."""

    def __init__(self, policies: tuple[str, str]) -> None:
        self.policies = policies
        self.model = Run(options(policies))
        small = Options(CLUSTER_BYTES, max_chunk_bytes=CLUSTER_BYTES, retry_delay_ns=0)
        self.engine = Harness([CLUSTERS * CLUSTER_BYTES] * DRIVES, small)

    # ---- what the engine's state is to the model

    def abstract(self) -> dict[str, Any]:
        """The engine's state in the model's variables, but for the ghosts."""
        names = list(self.engine.images)
        traffics = self.engine.traffics
        finals = [self._final(name) for name in names]
        jobs = [next(iter(self.engine.jobs_of(index)), None) for index in range(DRIVES)]
        guests = [traffic.requests[0] if traffic.requests else None for traffic in traffics]
        copies = [job.in_flight[0] if job and job.in_flight else None for job in jobs]
        return {
            "tx": self._tx(),
            "js": [self._job(job, final) for job, final in zip(jobs, finals, strict=True)],
            "drained": [traffic.drained for traffic in traffics],
            "final": finals,
            "error": [
                bool(job.error) if job else final == "FAILED"
                for job, final in zip(jobs, finals, strict=True)
            ],
            "g": [GUEST[guest.phase] if guest else "G_IDLE" for guest in guests],
            "gc": [guest.offset_bytes // CLUSTER_BYTES if guest else 0 for guest in guests],
            "gv": [guest.data[0] if guest else 0 for guest in guests],
            "gbuf": [
                guest.old_content[0] if guest and guest.old_content else 0 for guest in guests
            ],
            "b": ["B_IDLE" if c is None else "WRITE" if c.data else "READ" for c in copies],
            "bc": [copy.first if copy else 0 for copy in copies],
            "bbuf": [_first(copy.data) if copy else 0 for copy in copies],
            "src": [self._values(self.engine.images[name]) for name in names],
            "tgt": [self._target(name) for name in names],
            "copied": [[bool(x) for x in (job.copied if job else NONE)] for job in jobs],
        }

    def _tx(self) -> str:
        current = self.engine.engine.current
        if isinstance(current, Transaction):
            return TX[current.phase]
        if any(label.name == "reply" for label in self.engine.labels):
            return "DONE"
        return "FAILED" if any(x.name == "refuse" for x in self.engine.labels) else "IDLE"

    @staticmethod
    def _job(job: Job | None, final: str) -> str:
        if job is None:
            return "NONE" if final == "NO_EVENT" else "GONE"
        if job.ending:
            return "ABORTING"
        if job.status in (Status.CREATED, Status.PENDING):
            return str(job.status).upper()
        return "PAUSED" if job.user_paused else "RUNNING"

    def _final(self, name: str) -> str:
        found = [e for e in self.engine.events() if e.data.get("device") == name]
        ends = [e for e in found if e.name in ("BLOCK_JOB_COMPLETED", "BLOCK_JOB_CANCELLED")]
        if len(ends) != 1:
            return "TWICE" if ends else "NO_EVENT"
        if ends[0].name == "BLOCK_JOB_CANCELLED":
            return "CANCELLED"
        return "FAILED" if "error" in ends[0].data else "COMPLETED"

    @staticmethod
    def _values(image: Any) -> list[int]:
        content = image.read(0, CLUSTERS * CLUSTER_BYTES)
        cells = [content[c * CLUSTER_BYTES :][:CLUSTER_BYTES] for c in range(CLUSTERS)]
        assert all(len(set(cell)) == 1 for cell in cells), "a torn cluster"
        return [cell[0] for cell in cells]

    def _target(self, name: str) -> list[int]:
        image = self.engine.files.get(f"{name}.target")
        return self._values(image) if image and image.size_bytes else [0] * CLUSTERS

    def compare(self) -> None:
        """Both are in the same state, and the same steps are possible."""
        mine, model = self.abstract(), self.model.read()
        assert {name: model[name] for name in mine} == mine
        offered = {step.label for step in self.engine.steps() if step.label is not None}
        allowed = {
            label
            for label in self.model.enabled()
            if not STEPS[label.name].by_client and not label.name.startswith("fail_")
        }
        assert offered == allowed

    # ---- steps

    def take(self, step: Step, errno: str = "") -> None:
        label = self.engine.take(step, errno)
        if label is not None:
            self.model.step(label)
        else:
            assert step.label is None, "a labelled step tells what happened"
        self.compare()

    def guest_write(self, drive: int, cluster: int, value: int) -> None:
        self.engine.write(drive, cluster * CLUSTER_BYTES, bytes([value]) * CLUSTER_BYTES)
        self.model.step(Label("guest_write", drive, cluster), value)
        self.compare()

    def client(self, name: str, drive: int) -> None:
        """A command of the client: the engine accepts it exactly if the model allows it."""
        command = "cancel" if name == "force_cancel" else name
        arguments = {"force": True} if name == "force_cancel" else {}
        replies = len(self.engine.replies())
        self.engine.execute(f"block-job-{command}", device=f"d{drive}", **arguments)
        self.engine.take(self.engine.steps()[0])
        answered = self.engine.replies()[replies:]
        refused = bool(answered) and "error" in answered[0]
        label = Label(name, drive)
        assert refused == (label not in self.model.enabled()), f"{label}: {answered}"
        if not refused:
            self.model.step(label)
        self.compare()

    def begin(self) -> None:
        policies = dict(zip(("on_source_error", "on_target_error"), self.policies, strict=True))
        actions = [backup_action(f"d{drive}", **policies) for drive in range(DRIVES)]
        self.engine.execute("transaction", actions=actions)
        self.take(self.engine.steps()[0])


def _first(content: bytes | None) -> int:
    return content[0] if content else 0


class Agreement(RuleBasedStateMachine):
    """Any schedule of one transaction over two drives."""

    @initialize(policies=st.sampled_from(POLICIES))
    def start(self, policies: tuple[str, str]) -> None:
        self.both = Both(policies)
        self.begun = False

    def idle(self) -> bool:
        return self.both.engine.engine.current is None

    @rule(drive=st.integers(0, 1), cluster=st.integers(0, 1), value=st.integers(0, VALUES - 1))
    def guest_write(self, drive: int, cluster: int, value: int) -> None:
        if not self.both.engine.traffics[drive].requests:
            self.both.guest_write(drive, cluster, value)

    @precondition(lambda self: not self.begun)
    @rule()
    def begin(self) -> None:
        self.begun = True
        self.both.begin()

    @precondition(lambda self: self.begun and self.idle())
    @rule(
        name=st.sampled_from(["pause", "resume", "cancel", "force_cancel"]),
        drive=st.integers(0, 1),
    )
    def client(self, name: str, drive: int) -> None:
        if not any(
            job.ending for job in self.both.engine.jobs_of(drive)
        ):  # what is told to end may be told so again
            self.both.client(name, drive)

    @precondition(lambda self: self.both.engine.steps())
    @rule(data=st.data(), count=st.integers(1, 6))
    def take(self, data: st.DataObject, count: int) -> None:
        for _ in range(count):
            steps = self.both.engine.steps()
            if not steps:
                return
            step = steps[data.draw(st.integers(0, len(steps) - 1))]
            self.both.take(step, self.errno(step, data))

    @staticmethod
    def errno(step: Step, data: st.DataObject) -> str:
        can_fail = step.io is not None and step.io.op in (Op.READ, Op.WRITE, Op.OPEN)
        if not can_fail or (step.label is not None and step.label.name == "guest_done"):
            return ""
        return data.draw(st.sampled_from(("", "", "", "", *ERRNOS)))

    @invariant()
    def states_agree(self) -> None:
        if hasattr(self, "both"):
            self.both.compare()


Agreement.TestCase.settings = settings(
    max_examples=200,
    stateful_step_count=50,
    suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow],
)
TestAgreement = Agreement.TestCase


def test_a_step_that_the_model_forbids_is_refused_with_its_guard() -> None:
    run = Run(options(("report", "report")))
    run.step(Label("begin"))
    with pytest.raises(NotEnabled, match="prepare d0: the guard 'drained' does not hold"):
        run.step(Label("prepare", 0))
    with pytest.raises(NotEnabled, match="commit d0: the guard 'ready' does not hold"):
        run.step(Label("commit", 0))
