"""Whatever the order of steps and faults, a completed backup is the drive at the common cut.

The oracle is a plain list of bytes for each drive, written to when a guest's write completes.
"""

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from cleancut_reference.block.request import Op
from cleancut_reference.jobs.job import Job
from cleancut_reference.state import Options
from cleancut_spec.jobs import Status
from cleancut_spec.schedule import Label
from tests.engine_harness import Harness, backup_action

CLUSTER = 4
ERRNOS = ("EIO", "ENOSPC")


class Images(RuleBasedStateMachine):
    """Two drives, guest writes of any range, faults, one transaction after the other."""

    @initialize(
        sizes=st.tuples(st.integers(1, 21), st.integers(1, 21)),
        chunk=st.sampled_from([CLUSTER, 3 * CLUSTER]),
        workers=st.integers(1, 3),
    )
    def start(self, sizes: tuple[int, int], chunk: int, workers: int) -> None:
        options = Options(CLUSTER, max_chunk_bytes=chunk, workers=workers, retry_delay_ns=5)
        self.harness = Harness(list(sizes), options)
        self.content = [bytearray(size) for size in sizes]
        self.snapshot: list[bytes] | None = None  # at the first commit of this transaction
        self.cut: dict[int, bytes] = {}  # of the newest job of each drive
        self.before: dict[str, bytes] = {}  # targets at the begin of this transaction
        self.writes: dict[int, tuple[int, int, bytes]] = {}  # request -> drive, offset, data
        self.events_seen = 0
        self.results_seen: set[int] = set()
        self.completed = 0

    # ---- the client and the guest

    @rule(drive=st.integers(0, 1), data=st.data())
    def guest_write(self, drive: int, data: st.DataObject) -> None:
        size = len(self.content[drive])
        offset = data.draw(st.integers(0, size - 1))
        payload = data.draw(st.binary(min_size=1, max_size=size - offset))
        request = self.harness.write(drive, offset, payload)
        self.writes[request] = (drive, offset, payload)

    @rule(
        policy=st.sampled_from(["report", "ignore", "stop", "enospc"]),
        drives=st.data(),
        format=st.sampled_from(["raw", "raw", "qcow2"]),
    )
    def transaction(self, policy: str, drives: st.DataObject, format: str) -> None:
        if self.harness.engine.current is not None:
            return
        names = drives.draw(st.permutations(["d0", "d1"]))
        actions = [
            backup_action(name, on_source_error=policy, on_target_error=policy, format=format)
            for name in names
        ]
        if drives.draw(st.integers(0, 4)) == 0:
            actions.append({"type": "abort", "data": {}})
        self.harness.execute("transaction", actions=actions)

    @rule(
        command=st.sampled_from(["pause", "resume", "cancel"]),
        drive=st.integers(0, 1),
        force=st.booleans(),
    )
    def control(self, command: str, drive: int, force: bool) -> None:
        arguments = {"force": True} if command == "cancel" and force else {}
        self.harness.execute(f"block-job-{command}", device=f"d{drive}", **arguments)

    # ---- the implementation

    @precondition(lambda self: self.harness.steps())
    @rule(data=st.data(), count=st.integers(1, 8))
    def take(self, data: st.DataObject, count: int) -> None:
        for _ in range(count):
            steps = self.harness.steps()
            if not steps:
                return
            step = data.draw(st.sampled_from(steps))
            can_fail = step.io is not None and step.io.op in (Op.READ, Op.WRITE, Op.OPEN)
            errno = data.draw(st.sampled_from(ERRNOS)) if can_fail and self.unlucky(data) else ""
            in_flight_write = step.label is not None and step.label.name == "guest_done"
            label = self.harness.take(step, "" if in_flight_write else errno)
            self.follow(label)

    @staticmethod
    def unlucky(data: st.DataObject) -> bool:
        return data.draw(st.integers(0, 9)) == 0

    @rule()
    def wait(self) -> None:
        self.harness.engine.advance(self.harness.state.now_ns + 10)

    # ---- the oracle

    def idle_targets(self) -> dict[str, bytes]:
        """The target files that no job has open, with their content."""
        busy = {job.target.filename for job in self.harness.state.jobs}
        files = self.harness.files.items()
        return {path: i.read(0, i.size_bytes) for path, i in files if path not in busy}

    def follow(self, label: Label | None) -> None:
        for request, errno in self.harness.guest_results().items():
            if request not in self.results_seen:
                self.results_seen.add(request)
                drive, offset, payload = self.writes[request]
                if not errno:
                    self.content[drive][offset : offset + len(payload)] = payload
        if label is not None and label.name == "begin":
            self.snapshot = None
            self.before = self.idle_targets()
        if label is not None and label.name == "commit":
            self.snapshot = self.snapshot or [bytes(content) for content in self.content]
            assert label.drive is not None
            self.cut[label.drive] = self.snapshot[label.drive]
        if label is not None and label.name == "refuse":
            now = self.idle_targets()
            kept = {path: now.get(path) for path in self.before}
            assert kept == self.before, "a failed transaction keeps its targets, TX-KEEP-1"
        for event in self.harness.events("BLOCK_JOB_COMPLETED")[self.events_seen :]:
            self.events_seen += 1
            if "error" in event.data:
                continue
            drive = int(event.data["device"][1:])
            target = self.harness.content(f"d{drive}.target")
            assert target == self.cut[drive], "PIT-ONE-1, PIT-ALL-1"
            assert event.data["offset"] == event.data["len"]
            self.completed += 1

    @invariant()
    def drives_hold_what_the_guest_wrote(self) -> None:
        if not hasattr(self, "harness"):
            return
        for index, content in enumerate(self.content):
            stored = self.harness.images[f"d{index}"]
            assert stored.read(0, stored.size_bytes) == content

    @invariant()
    def what_is_not_copied_is_still_on_the_drive(self) -> None:
        if not hasattr(self, "harness"):
            return
        for job in self.harness.state.jobs:
            if job.status is not Status.CREATED:
                self.check_job(job)

    def check_job(self, job: Job) -> None:
        cut = self.cut[job.index]
        for cluster, copied in enumerate(job.copied):
            place = slice(cluster * CLUSTER, (cluster + 1) * CLUSTER)
            target = self.harness.disk.nodes[job.target.name].image
            held = target.read(0, target.size_bytes) if copied else self.content[job.index]
            assert bytes(held[place]) == cut[place], "CBW-COPY-1, CBW-ONCE-1"

    def teardown(self) -> None:
        """Let everything end: nobody is blocked for ever (GUEST-LIVE-1, JOB-END-1)."""
        if not hasattr(self, "harness"):
            return
        self.harness.collect()
        for _ in range(10_000):
            step = next(self.harness.engine.steps(), None)
            if step is not None:
                label = self.harness.take(step)
                self.follow(label)
                continue
            if (wake_ns := self.harness.engine.wake_ns()) is not None:
                self.harness.engine.advance(wake_ns)
                continue
            paused = [job for job in self.harness.state.jobs if job.user_paused]
            if not paused:
                break
            self.harness.execute("block-job-resume", device=paused[0].id)
        assert not self.harness.state.jobs
        assert not any(traffic.requests for traffic in self.harness.traffics)
        assert self.harness.engine.current is None


Images.TestCase.settings = settings(
    max_examples=150,
    stateful_step_count=60,
    suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow],
)
TestImages = Images.TestCase
