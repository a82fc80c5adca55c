"""Any commands with any arguments: each is answered once, nothing breaks, nothing stays behind."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from cleancut_reference.commands import COMMANDS
from cleancut_reference.qmp.session import Session
from cleancut_reference.state import Options
from tests.engine_harness import Harness

WORDS = st.sampled_from(
    ["d0", "d1", "nope", "", "full", "top", "existing", "absolute-paths", "raw", "qcow2", "stop",
     "ignore", "t", "a/b", "\0", "grouped", "individual", "qemu-io d0 \"write 0 4\"",
     "qemu-io d1 \"aio_write -P 1 0 8\"", "qemu-io d0 \"read -P 9 0 4\"", "qemu-io d0 'x", "info",
     "qemu-io n0 \"write -z 0 4\"", "qemu-io n1 \"break write_aio A\"",
     "qemu-io n1 \"resume A\"", "drive_del d0", "drive_add 0 if=none,id=d5,file=t,format=raw",
     "drive_add 0 id=d0", "n0", "n1", "g", "null-co", "json:{'driver':'null-co','size':8}",
     "json:{'driver':'raw','file':'n0'}"]
)  # fmt: skip
KEYS = st.sampled_from(
    ["device", "target", "sync", "mode", "format", "speed", "job-id", "on-source-error", "force",
     "on-target-error", "actions", "properties", "completion-mode", "command-line", "type", "data",
     "id", "compress", "flat", "foo", "node-name", "filename", "driver", "file", "size",
     "read-only", "inject-error", "image"]
)  # fmt: skip
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**65), 2**65) | st.floats() | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=5),
    max_leaves=10,
)
BACKUP = st.fixed_dictionaries(
    {"device": st.sampled_from(["d0", "d1", "cd", "x"]), "target": WORDS, "sync": st.just("full")},
    optional={"speed": st.integers(-1, 10), "mode": WORDS, "on-target-error": WORDS, "foo": VALUES},
)
ACTION = st.fixed_dictionaries({"type": st.just("drive-backup"), "data": BACKUP}) | st.just(
    {"type": "abort", "data": {}}
)
ARGUMENTS = (
    BACKUP
    | st.dictionaries(KEYS, VALUES, max_size=4)
    | st.fixed_dictionaries({"actions": st.lists(ACTION | VALUES, max_size=3)})
    | st.fixed_dictionaries({"device": WORDS}, optional={"force": st.booleans()})
    | st.fixed_dictionaries({"command-line": WORDS})
    | st.fixed_dictionaries({"device": WORDS, "size": st.integers(-1, 30)})
)
NODE = st.fixed_dictionaries(
    {"driver": st.sampled_from(["raw", "throttle", "qcow2"]), "file": WORDS},
    optional={"node-name": WORDS, "throttle-group": st.just("g"), "detect-zeroes": VALUES},
) | st.fixed_dictionaries(
    {"driver": st.sampled_from(["null-co", "file"]), "node-name": WORDS},
    optional={"filename": WORDS, "size": st.integers(0, 30), "read-only": st.booleans()},
)
GROUP = {"qom-type": "throttle-group", "id": "g", "limits": {"bps-total": 4, "iops-write": 1}}
NAMES = st.sampled_from([name for name in COMMANDS if name != "quit"])
REQUEST = (
    st.fixed_dictionaries({"execute": NAMES}, optional={"arguments": ARGUMENTS, "id": VALUES})
    | st.fixed_dictionaries({"execute": st.just("blockdev-add"), "arguments": NODE})
    | st.just({"execute": "object-add", "arguments": GROUP})
)


@settings(max_examples=400)
@given(st.lists(REQUEST | VALUES, max_size=12), st.integers(0, 3))
def test_every_request_is_answered_once(requests: list[Any], steps: int) -> None:
    harness = Harness([8, 13], Options(cluster_bytes=4, max_chunk_bytes=4))
    session = Session()
    list(session.feed(b'{"execute": "qmp_capabilities"}'))
    for request in requests:
        try:
            answer = session._check(request) if isinstance(request, dict) else None
        except Exception as error:
            assert type(error).__name__ == "QmpError"
            continue
        if isinstance(request, dict):
            harness.engine.receive(request, answer)
            for _ in range(steps):
                if (step := next(harness.engine.steps(), None)) is not None:
                    harness.take(step)
    asked = len(harness.replies()) + len(harness.engine._queue) + bool(harness.engine.current)
    harness.run()
    assert len(harness.replies()) == asked
    for job in list(harness.state.jobs):  # stopped by an error, or paused
        harness.execute("block-job-cancel", device=job.id, force=True)
        harness.run()
    assert not harness.state.jobs and not harness.leaked()
    assert not any(traffic.drained or traffic.requests for traffic in harness.traffics)
