"""The engine and the model, side by side: same steps possible, same states after them.

The model is the oracle. Whatever the schedule, each labelled step of the engine is one that the
model allows, what the model allows of the implementation the engine offers, and the states agree.
"""

from dataclasses import replace
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from cleancut_conformance.agreement.abstraction import GUEST, TX, job_state
from cleancut_conformance.agreement.bench import final_of
from cleancut_conformance.agreement.product import CAN_FAIL
from cleancut_conformance.client_steps import COMMANDS, command_of
from cleancut_model.backup import Options as ModelOptions
from cleancut_model.compiled import compile_model
from cleancut_model.concrete import NotEnabled, Run
from cleancut_reference.actions.bitmap import BitmapAction
from cleancut_reference.block.dirty_bitmap import DirtyBitmap
from cleancut_reference.block.request import Blueprint, Opened
from cleancut_reference.jobs.job import COPIED, Job
from cleancut_reference.state import Options
from cleancut_reference.step import Step
from cleancut_reference.transaction import Transaction
from cleancut_spec.jobs import Status
from cleancut_spec.schedule import STEPS, Label
from tests.engine_harness import Harness, backup_action

pytestmark = pytest.mark.slow

DRIVES, CLUSTERS, VALUES, CLUSTER_BYTES = 2, 2, 3, 512
NONE = bytearray(CLUSTERS)
ERRNOS = ("EIO", "ENOSPC")
#: For source and target: each policy on each side.
POLICIES = (("report", "report"), ("report", "ignore"), ("ignore", "stop"), ("stop", "enospc"),
            ("enospc", "report"))  # fmt: skip


def options(policies: tuple[str, str], **parts: Any) -> ModelOptions:
    plain = ModelOptions(DRIVES, CLUSTERS, VALUES, None, None, errnos=ERRNOS, **parts)
    return replace(plain, source_policy=policies[0], target_policy=policies[1])


#: Each part of the protocol that the engine has, each policy on each side.
INSTANCES = (
    *(options(policies) for policies in POLICIES),
    options(("report", "report"), grouped=True),
    options(("stop", "report"), manual=True),
    options(("report", "stop"), grouped=True, manual=True),
    options(("report", "report"), sync="incremental", grouped=True),
    options(("stop", "report"), sync="bitmap", bitmap_mode="always"),
    options(("report", "ignore"), sync="bitmap", bitmap_mode="never", manual=True),
    options(("report", "report"), sync="none"),
    options(("report", "report"), changes=True),
)

#: What a transaction does to the bitmaps of its drives: the first has none yet.
CHANGES = (("add", "clear"), ("add", "disable"), ("add", "merge"), ("add", "add"), ("clear", "add"))

#: Steps of a transaction whose order the model leaves open where there are bitmap actions.
BY_TRANSACTION = ("prepare", "rollback", "commit", "drain", "undrain", "reply", "refuse")


class Both:
    """An engine and a run of the model that take the same steps."""

    def __init__(self, instance: ModelOptions) -> None:
        self.options = instance
        self.model = Run(instance)
        small = Options(CLUSTER_BYTES, max_chunk_bytes=CLUSTER_BYTES, retry_delay_ns=0)
        self.engine = Harness([CLUSTERS * CLUSTER_BYTES] * DRIVES, small)
        self.transaction: Transaction | None = None
        self.changes = CHANGES[0]
        if instance.sync == "none":
            self._add_target_nodes()
        if instance.records:
            for index, drive in enumerate(self.engine.state.graph.drives):
                assert drive.root is not None
                drive.root.bitmaps += self._bitmaps(index)

    def _add_target_nodes(self) -> None:
        """Nodes for targets: with sync none a new image would need a backing file."""
        for index in range(DRIVES):
            plan = Blueprint(f"d{index}.target", "memory", {"size": CLUSTERS * CLUSTER_BYTES})
            opened = self.engine.disk.open(plan)
            assert isinstance(opened, Opened)
            self.engine.state.graph.build(opened).monitor_owned = True

    def _bitmaps(self, index: int) -> list[DirtyBitmap]:
        """A drive's bitmaps at first; with bitmap actions there is another, and one is missing."""
        size_bytes = CLUSTERS * CLUSTER_BYTES
        own = DirtyBitmap("b", CLUSTER_BYTES, size_bytes)
        if not self.options.changes:
            return [own]
        more = DirtyBitmap("more", CLUSTER_BYTES, size_bytes, enabled=False)
        if index == 0:
            more.mark(0, size_bytes)
        return [more] if index == 0 else [more, own]

    # ---- what the engine's state is to the model

    def abstract(self) -> dict[str, Any]:
        """The engine's state in the model's variables, but for the ghosts."""
        names = list(self.engine.images)
        traffics = self.engine.traffics
        finals = [self._final(name) for name in names]
        listed = [next(iter(self.engine.jobs_of(index)), None) for index in range(DRIVES)]
        jobs = [None if job is None or job.over else job for job in listed]
        guests = [traffic.requests[0] if traffic.requests else None for traffic in traffics]
        copies = [job.in_flight[0] if job and job.in_flight else None for job in jobs]
        return {
            "tx": self._tx(),
            "js": [job_state(job, final) for job, final in zip(listed, finals, strict=True)],
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
            "copied": [[x == COPIED for x in (job.copied if job else NONE)] for job in jobs],
            **(self._bits(jobs) if self.options.records else {}),
            **(self._changes() if self.options.changes else {}),
        }

    def _bits(self, jobs: list[Job | None]) -> dict[str, Any]:
        """What the bitmaps have; the model freezes them at the commit."""
        created = [job is not None and job.status is Status.CREATED for job in jobs]
        started = [job is not None and not new for job, new in zip(jobs, created, strict=True)]
        found = [self._bitmap(index) for index in range(DRIVES)]
        current = [
            bitmap.successor if bitmap and bitmap.successor and on else bitmap
            for bitmap, on in zip(found, started, strict=True)
        ]
        dirty = [[bool(x) for x in (b.bits if b else NONE)] for b in current]
        if not self.options.bitmaps:
            return {"dirty": dirty}
        known = self.model.read()["todo"]
        frozen = [
            bitmap.bits if bitmap and on else old
            for bitmap, on, old in zip(found, started, known, strict=True)
        ]
        return {"dirty": dirty, "todo": [[bool(x) for x in row] for row in frozen]}

    def _bitmap(self, index: int) -> DirtyBitmap | None:
        """The drive's own bitmap, wherever the filter stands."""
        root = self.engine.state.graph.drives[index].root
        return root.performer.bitmap("b") if root else None

    def _changes(self) -> dict[str, Any]:
        """What the transaction has done to the bitmaps, and can still undo."""
        found = [self._bitmap(index) for index in range(DRIVES)]
        actions = self.transaction.actions if self.transaction else []
        done = {a.before.node.index: a for a in actions if isinstance(a, BitmapAction) and a.before}
        undoable = self._tx() in ("PREPARE", "ROLLBACK")
        kept = [
            done[d].before.bits if undoable and d in done and _change(done[d]) in KEEPING else NONE
            for d in range(DRIVES)
        ]
        return {
            "there": [bitmap is not None for bitmap in found],
            "on": [bitmap is not None and bitmap.enabled for bitmap in found],
            "change": [_change(done[d]) if d in done else "UNCHANGED" for d in range(DRIVES)],
            "backup": [[bool(x) for x in row] for row in kept],
        }

    def _tx(self) -> str:
        current = self.engine.engine.current
        if isinstance(current, Transaction):
            return TX[current.phase]
        if any(label.name == "reply" for label in self.engine.labels):
            return "DONE"
        return "FAILED" if any(x.name == "refuse" for x in self.engine.labels) else "IDLE"

    def _final(self, name: str) -> str:
        found = [final_of(e) for e in self.engine.events() if e.data.get("device") == name]
        ends = [final for final in found if final]
        return "NO_EVENT" if not ends else ends[0] if len(ends) == 1 else "TWICE"

    @staticmethod
    def _values(image: Any) -> list[int]:
        content = image.read(0, CLUSTERS * CLUSTER_BYTES)
        cells = [content[c * CLUSTER_BYTES :][:CLUSTER_BYTES] for c in range(CLUSTERS)]
        assert all(len(set(cell)) == 1 for cell in cells), "a torn cluster"
        return [cell[0] for cell in cells]

    def _target(self, name: str) -> list[int]:
        node = self.engine.disk.nodes.get(f"{name}.target")
        image = node.image if node else self.engine.files.get(f"{name}.target")
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
        if self.options.changes:
            open_order = {x for x in allowed if x.name.startswith(BY_TRANSACTION)}
            refused = {x for x in offered - allowed if x.name.startswith("prepare_")}
            assert all(Label("fail_bitmap", x.drive) in self.model.enabled() for x in refused)
            assert bool(open_order) <= bool(open_order & offered or refused), "it can go on"
            allowed -= open_order - offered
            offered -= refused
        assert offered == allowed

    # ---- steps

    def take(self, step: Step, errno: str = "") -> None:
        label = self.engine.take(step, errno)
        if label is not None:
            self.model.step(label)
        else:
            assert step.label is None, "a labelled step tells what happened"
        if not self._goes_on_silently():
            self.compare()

    def _goes_on_silently(self) -> bool:
        """Take the transaction's steps that the model does not have; whether there was one."""
        current = self.engine.engine.current
        if isinstance(current, Transaction):
            for step in current.steps(self.engine.state):
                if step.label is None:
                    self.take(step)
                    return True
        return False

    def guest_write(self, drive: int, cluster: int, value: int) -> None:
        self.engine.write(drive, cluster * CLUSTER_BYTES, bytes([value]) * CLUSTER_BYTES)
        self.model.step(Label("guest_write", drive, cluster), value)
        self.compare()

    def client(self, name: str, drive: int) -> None:
        """A command of the client: the engine accepts it exactly if the model allows it."""
        command, arguments = command_of(name, drive)
        replies = len(self.engine.replies())
        self.engine.execute(command, **arguments)
        self.engine.take(self.engine.steps()[0])
        current = self.engine.engine.current
        for step in list(current.steps(self.engine.state)) if current else []:
            assert self.engine.take(step) == Label(name, drive)
        answered = self.engine.replies()[replies:]
        refused = bool(answered) and "error" in answered[0]
        label = Label(name, drive)
        assert refused == (label not in self.model.enabled()), f"{label}: {answered}"
        if not refused:
            self.model.step(label)
        self.compare()

    def verbs(self) -> list[str]:
        """What a client may try: the commands that the instance has steps for."""
        return [name for name in COMMANDS if name in elaborated_steps(self.options)]

    def is_ending(self, drive: int) -> bool:
        """Whether its job has been told to end; it may be told so again, which the model omits."""
        return any(job.ending and not job.over for job in self.engine.jobs_of(drive))

    def begin(self) -> None:
        source, target = self.options.policies
        auto = not self.options.manual
        arguments: dict[str, Any] = {"on_source_error": source, "on_target_error": target}
        arguments |= {"auto_finalize": auto, "auto_dismiss": auto}
        actions = [a for drive in range(DRIVES) for a in self._actions(f"d{drive}", arguments)]
        mode = "grouped" if self.options.grouped else "individual"
        self.engine.execute("transaction", actions=actions, properties={"completion-mode": mode})
        self.take(self.engine.steps()[0])
        current = self.engine.engine.current
        self.transaction = current if isinstance(current, Transaction) else None

    def _actions(self, drive: str, arguments: dict[str, Any]) -> list[dict[str, Any]]:
        """The drive's backup, and what is done to its bitmap."""
        instance = self.options
        more: dict[str, Any] = {"sync": instance.sync}
        if instance.bitmaps:
            more |= {"bitmap": "b", "bitmap_mode": instance.bitmap_mode}
        backup = backup_action(drive, **arguments, **more)
        if instance.sync == "none":
            backup = {"type": "blockdev-backup", "data": backup["data"]}
        if not instance.changes:
            return [backup]
        verb = self.changes[int(drive[1:])]
        data = {"node": drive, "target" if verb == "merge" else "name": "b"}
        data |= {"bitmaps": ["more"]} if verb == "merge" else {}
        data |= {"granularity": 512} if verb == "add" else {}
        return [{"type": f"block-dirty-bitmap-{verb}", "data": data}, backup]


#: The changes of which the bits before them are kept.
KEEPING = ("CLEAR", "MERGE")


def _change(action: BitmapAction) -> str:
    return action.kind.rpartition("-")[2].upper()


def _first(content: bytes | None) -> int:
    return content[0] if content else 0


def can_fail(step: Step) -> bool:
    """Whether the step has a request that the model lets fail."""
    if step.io is None or step.io.op not in CAN_FAIL:
        return False
    return step.label is None or step.label.name != "guest_done"


class Agreement(RuleBasedStateMachine):
    """Any schedule of one transaction over two drives."""

    @initialize(instance=st.sampled_from(INSTANCES), changes=st.sampled_from(CHANGES))
    def start(self, instance: ModelOptions, changes: tuple[str, str]) -> None:
        self.both = Both(instance)
        self.both.changes = changes
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
    @rule(name=st.sampled_from(list(COMMANDS)), drive=st.integers(0, 1))
    def client(self, name: str, drive: int) -> None:
        if name in self.both.verbs() and not self.both.is_ending(drive):
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
        return data.draw(st.sampled_from(("", "", "", "", *ERRNOS))) if can_fail(step) else ""

    @invariant()
    def states_agree(self) -> None:
        if hasattr(self, "both"):
            self.both.compare()


Agreement.TestCase.settings = settings(
    max_examples=100,
    stateful_step_count=50,
    suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow],
)
TestAgreement = Agreement.TestCase


class Walk:
    """A random schedule of one transaction; the seed determines it."""

    def __init__(self, instance: ModelOptions, seed: int) -> None:
        self.both = Both(instance)
        self.random = Random(seed)
        self.both.changes = self.random.choice(CHANGES)
        self.begun = False

    def run(self, steps: int) -> set[str]:
        """Take steps; returns the names of those that the engine took."""
        for _ in range(steps):
            draw = self.random.random()
            if draw < 0.12:
                self.guest_write()
            elif draw < 0.17 and not self.begun:
                self.begun = True
                self.both.begin()
            elif draw < 0.2 and self.begun and self.both.engine.engine.current is None:
                self.client()
            elif steps_now := self.both.engine.steps():
                step = self.random.choice(steps_now)
                self.both.take(step, self.errno(step) if can_fail(step) else "")
        return {label.name for label in self.both.engine.labels}

    def errno(self, step: Step) -> str:
        """An error now and then; more often where there are few requests that could meet one."""
        rare = step.label is not None and step.label.name.startswith("cbw")
        return self.random.choice(ERRNOS) if self.random.random() < (0.3 if rare else 0.1) else ""

    def guest_write(self) -> None:
        drive = self.random.randrange(DRIVES)
        if not self.both.engine.traffics[drive].requests:
            cell = self.random.randrange(CLUSTERS)
            self.both.guest_write(drive, cell, self.random.randrange(VALUES))

    def client(self) -> None:
        name = self.random.choice(self.both.verbs())
        drive = self.random.randrange(DRIVES)
        if not self.both.is_ending(drive):
            self.both.client(name, drive)


@pytest.mark.parametrize("instance", INSTANCES, ids=lambda instance: instance.parts())
def test_random_walks_agree_and_take_every_kind_of_step(instance: ModelOptions) -> None:
    taken = set().union(*(Walk(instance, seed).run(200) for seed in range(60)))
    owed = {name for name in elaborated_steps(instance) if not STEPS[name].by_client}
    if instance.sync == "none":  # there the targets are nodes, and nothing can be refused
        owed -= {"fail_prepare", "rollback", "refuse"}
    if instance.changes:  # which all bitmaps are at first
        owed -= {"prepare_enable"}
    assert owed <= taken, f"never taken: {owed - taken}"


def elaborated_steps(instance: ModelOptions) -> set[str]:
    """The names of all steps that an instance of the model has."""
    return {label.name for label in compile_model(instance).labels}


def test_a_step_that_the_model_forbids_is_refused_with_its_guard() -> None:
    run = Run(options(("report", "report")))
    run.step(Label("begin"))
    with pytest.raises(NotEnabled, match="prepare d0: the guard 'drained' does not hold"):
        run.step(Label("prepare", 0))
    with pytest.raises(NotEnabled, match="commit d0: the guard 'ready' does not hold"):
        run.step(Label("commit", 0))
