"""What single commands do, on the engine alone: cases found by other tests, and corners."""

import gc

import pytest

from cleancut_conformance.judge.shapes import return_fault
from cleancut_reference.block.faults import Fault, FaultError, Faults
from cleancut_reference.block.request import DiskRequest, Op
from cleancut_reference.commands import COMMANDS
from cleancut_reference.sizes import SizeError, parse_size
from cleancut_reference.state import Options
from tests.engine_harness import Harness, backup_action

SMALL = Options(cluster_bytes=4, max_chunk_bytes=4)


def test_a_write_over_two_clusters_meets_a_copy_of_the_second() -> None:
    """Found by the image machine: the job copied what the request had still to copy itself."""
    harness = Harness([8], SMALL)
    harness.execute("transaction", actions=[backup_action("d0")])
    while not harness.replies():
        harness.take(harness.steps()[0])
    harness.write(0, 0, b"abcdefgh")

    def take(name: str) -> None:
        by_name = {s.label.name: s for s in harness.steps() if s.label is not None}
        harness.take(by_name[name])

    for name in ("cbw_claim", "cbw_read", "copy_claim", "cbw_write", "copy_read", "copy_write"):
        take(name)
    harness.run()
    target = harness.files["d0.target"]
    assert target.read(0, 8) == bytes(8)
    assert harness.images["d0"].read(0, 8) == b"abcdefgh"


def test_a_failed_transaction_tells_the_first_error_and_leaves_nothing() -> None:
    harness = Harness([8, 8], SMALL)
    harness.execute(
        "transaction", actions=[backup_action("d0"), backup_action("nope"), backup_action("d1")]
    )
    harness.run()
    assert harness.replies() == [
        {
            "error": {
                "class": "GenericError",
                "desc": "Cannot find device='nope' nor node-name='nope'",
            }
        }
    ]
    statuses = [(e.data["id"], e.data["status"]) for e in harness.events("JOB_STATUS_CHANGE")]
    assert statuses == [("d0", s) for s in ("created", "aborting", "concluded", "null")]
    assert harness.files == {} and not harness.leaked()
    assert not any(traffic.drained for traffic in harness.traffics)


def test_an_existing_target_keeps_its_content_when_the_transaction_fails() -> None:
    harness = Harness([8], SMALL)
    harness.execute("transaction", actions=[backup_action("d0")])
    harness.run()
    harness.write(0, 0, b"newer")
    harness.run()
    harness.execute("transaction", actions=[backup_action("d0"), {"type": "abort", "data": {}}])
    harness.run()
    assert harness.replies()[-1]["error"]["desc"] == "Transaction aborted using Abort action"
    assert harness.files["d0.target"].read(0, 8) == bytes(8)


def test_the_client_is_gone_but_its_transaction_goes_on() -> None:
    harness = Harness([8], SMALL)
    harness.execute("transaction", actions=[backup_action("d0")])
    harness.take(harness.steps()[0])
    harness.execute("query-version")
    harness.engine.hang_up()
    harness.run()
    assert harness.replies() == []
    assert len(harness.events("BLOCK_JOB_COMPLETED")) == 1


@pytest.mark.parametrize(
    ("arguments", "desc"),
    [
        ({"sync": "none"}, "Backing file not supported for file format 'raw'"),
        ({"bitmap": "b"}, "Bitmap 'b' could not be found"),
        ({"format": "bogus"}, "Unknown file format 'bogus'"),
        ({"format": "null-co"}, "Format driver 'null-co' does not support image creation"),
        ({"target": "json:{}"}, "Unknown protocol 'json'"),
        ({"target": "null-co://"}, "Protocol driver 'null-co' does not support image creation"),
        ({"job_id": "!x"}, "Invalid job ID '!x'"),
        ({"job_id": ""}, "Invalid job ID ''"),
        ({"speed": -1}, "Parameter 'speed' expects a non-negative value"),
        ({"speed": 2**63}, "Invalid parameter type for 'actions[0].data.speed', expected: integer"),
        ({"speed": True}, "Invalid parameter type for 'actions[0].data.speed', expected: integer"),
        ({"sync": "bogus"}, "Parameter 'sync' does not accept value 'bogus'"),
        ({"foo": 1}, "Parameter 'actions[0].data.foo' is unexpected"),
        ({"mode": "existing"}, "Could not open 'd0.target': No such file or directory"),
    ],
)
def test_refused_arguments(arguments: dict[str, object], desc: str) -> None:
    harness = Harness([8], SMALL)
    harness.execute("transaction", actions=[backup_action("d0", **arguments)])
    harness.run()
    assert harness.replies() == [{"error": {"class": "GenericError", "desc": desc}}]
    assert harness.files == {}


def test_what_is_refused_leaves_nothing_behind() -> None:
    """Found by profiling: an error's traceback held in a circle all frames that had called."""
    harness = Harness([8], SMALL)

    def refuse() -> None:
        harness.execute("block-job-pause", device="d0")
        harness.run()

    refuse()
    gc.collect()
    gc.disable()
    try:
        for _ in range(10):
            refuse()
        assert gc.collect() == 0, "what is refused is kept until it is collected"
    finally:
        gc.enable()
    assert all("error" in reply for reply in harness.replies())


def test_an_ignored_error_is_retried_after_a_delay() -> None:
    harness = Harness([4], SMALL)
    harness.execute("transaction", actions=[backup_action("d0", on_source_error="ignore")])
    while not any(s.label and s.label.name == "copy_read" for s in harness.steps()):
        harness.take(harness.steps()[0])
    harness.take(harness.steps()[0], "EIO")
    assert harness.steps() == []
    assert harness.engine.wake_ns() == SMALL.retry_delay_ns
    harness.run()
    assert harness.events("BLOCK_JOB_ERROR")[0].data["action"] == "ignore"
    assert "error" not in harness.events("BLOCK_JOB_COMPLETED")[0].data


@pytest.mark.parametrize(
    "text",
    ["", "d0", "d0 write", "d0 erase 1 EIO", "d0 write 0 EIO", "d0 write x EIO", "d0 write @ EIO",
     "d0 write 1 EWHAT", "d0 write 1 error", "d0 write 1 EIO never", "d0 write 1 EIO always x"],
)  # fmt: skip
def test_bad_faults_are_named(text: str) -> None:
    with pytest.raises(FaultError, match="fault"):
        Fault.parse(text)


def test_faults_strike_by_number_and_by_offset() -> None:
    faults = Faults([Fault.parse("d0 write 2 ENOSPC"), Fault.parse("d0 read @1k EIO always")])

    def strike(op: Op, offset: int) -> str:
        failed = faults.strike(DiskRequest(op, "d0", offset, 512))
        return failed.errno if failed else ""

    assert [strike(Op.WRITE, 0) for _ in range(4)] == ["", "ENOSPC", "", ""]
    assert [strike(Op.READ, at) for at in (0, 1024, 768, 1536, 1024)] == [
        "",
        "EIO",
        "EIO",
        "",
        "EIO",
    ]


def test_sizes() -> None:
    assert [parse_size(t) for t in ("0", "512", "64k", "1.5M", "2G")] == [
        0, 512, 65536, 1572864, 1 << 31,
    ]  # fmt: skip
    for text in ("", "k", "-1", "1x", "1e3", "9E9E", "8E", "9" * 60):
        with pytest.raises(SizeError):
            parse_size(text)


@pytest.mark.parametrize("name", [name for name in COMMANDS if name.startswith("query-")])
def test_queries_answer_in_the_shape_of_the_schema(name: str) -> None:
    """Looked at while a job runs, by the judge's own reading of the schema."""
    harness = Harness([8, 8], SMALL)
    harness.execute("transaction", actions=[backup_action("d0")])
    while not harness.replies():
        harness.take(harness.steps()[0])
    harness.execute(name)
    while len(harness.replies()) < 2:
        harness.take(harness.steps()[0])
    assert return_fault(name, harness.replies()[-1]["return"]) == ""


def test_a_target_stands_on_its_source_and_not_on_the_filter_above_it() -> None:
    """With sync none, of a node that no drive has: nothing is left, and nothing closed twice."""
    harness = Harness([8], SMALL)
    harness.execute("blockdev-add", driver="null-co", node_name="n", size=65536)
    backup = {"device": "n", "target": "t", "sync": "none", "format": "qcow2"}
    harness.execute("drive-backup", **backup, job_id="j")
    harness.run()
    job = harness.state.jobs[0]
    assert job.target.children["backing"] is job.source is job.filter.children["file"]
    harness.execute("block-job-cancel", device="j")
    harness.run()
    harness.execute("blockdev-del", node_name="n")
    harness.run()
    assert all("return" in reply for reply in harness.replies()) and not harness.leaked()


@pytest.mark.parametrize("mode", ["always", "on-success", "never"])
def test_what_is_taken_back_leaves_exactly_the_bits_that_there_were(mode: str) -> None:
    """Also where the bitmap is finer than what the job copies at once: QEMU sets them all."""
    harness = Harness([1 << 17])
    harness.execute("block-dirty-bitmap-add", node="d0", name="b", granularity=512)
    harness.run()
    harness.write(0, 4096, b"x" * 512)
    harness.run()
    data = {"sync": "bitmap", "bitmap": "b", "bitmap-mode": mode}
    harness.execute(
        "transaction", actions=[backup_action("d0", **data), {"type": "abort", "data": {}}]
    )
    harness.run()
    assert "error" in harness.replies()[-1]
    root = harness.state.graph.find("d0")
    (bitmap,) = root.bitmaps
    assert bitmap.runs() == [(4096, 4096 + 512)]
