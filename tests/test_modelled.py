"""The judge that follows the model: real dialogues are runs of it, corrupted ones are not."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from cleancut_conformance.agreement.mutants import counterexample
from cleancut_conformance.agreement.staging import orders, stage
from cleancut_conformance.cli import main
from cleancut_conformance.modelled.judge import Impossible, ModelJudge
from cleancut_spec.trace import Record, read

pytestmark = pytest.mark.slow

TRACES = Path(__file__).parent / "data" / "traces"


def load(name: str) -> list[Record]:
    with (TRACES / name).open(encoding="utf-8") as file:
        return list(read(file))


def first_impossible(records: list[Record]) -> Impossible | None:
    judge = ModelJudge()
    return next((seen.impossible for r in records if (seen := judge.feed(r)).impossible), None)


def at(records: list[Record], event: str, **data: str) -> int:
    """The first record that is such an event."""
    for index, record in enumerate(records):
        message = record.msg if record.dir == "recv" else {}
        if message.get("event") == event and data.items() <= message["data"].items():
            return index
    raise AssertionError(f"no {event} {data}")


@pytest.mark.parametrize("version", ["qemu-7.2", "qemu-10.0"])
def test_what_qemu_says_is_a_run_of_the_model(version: str) -> None:
    runs = 0
    for path in sorted((TRACES / version).glob("*.jsonl"))[::2]:  # all of them: `judge --model`
        judge = ModelJudge()
        for index, record in enumerate(load(f"{version}/{path.name}")):
            seen = judge.feed(record)
            assert seen.impossible is None, (path.name, index, seen.impossible)
        runs += judge.runs
    assert runs > 20


def drop(records: list[Record], index: int) -> list[Record]:
    return records[:index] + records[index + 1 :]


def repeat(records: list[Record], index: int) -> list[Record]:
    return records[: index + 1] + records[index:]


def swap(records: list[Record], index: int) -> list[Record]:
    return [*records[:index], records[index + 1], records[index], *records[index + 2 :]]


@pytest.mark.parametrize(
    ("change", "event", "status", "clause", "way"),
    [
        (drop, "JOB_STATUS_CHANGE", "created", "TX-ORDER-1", ["prepare d0"]),
        (repeat, "JOB_STATUS_CHANGE", "created", "TX-ORDER-1", None),
        (drop, "JOB_STATUS_CHANGE", "pending", "EV-FINAL-1", ["complete d0"]),
        (repeat, "BLOCK_JOB_COMPLETED", "", "EV-FINAL-1", None),
        (swap, "BLOCK_JOB_COMPLETED", "", "JOB-STATUS-1", ["complete d1"]),
    ],
)
def test_a_corrupted_dialogue_is_none(
    change: Callable[[list[Record], int], list[Record]],
    event: str,
    status: str,
    clause: str,
    way: list[str] | None,
) -> None:
    records = load("qemu-7.2/ev_tx2_success.jsonl")
    index = at(records, event, **({"status": status} if status else {}))
    found = first_impossible(change(records, index))
    assert found is not None and index <= found.index <= index + 5
    assert found.clause == clause, found
    assert found.last and found.next_told
    if way is not None:
        assert (found.way or [])[: len(way)] == way


@pytest.mark.parametrize("bug", ["fails-in-a-group"])
def test_whatever_the_engine_does_is_possible(bug: str) -> None:
    """The engine's steps and the model's, with only what a client sees between them."""
    run = counterexample(bug)
    for _, order in orders():
        assert first_impossible(stage(run.right, run.moves, order).records) is None


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = TRACES / "qemu-7.2" / "ev_tx2_success.jsonl"
    assert main(["judge", "--model", "--states", str(path)]) == 0
    told = capsys.readouterr().out
    assert "transaction COMMIT, drive0 RUNNING, drive1 RUNNING" in told
    broken = tmp_path / "broken.jsonl"
    records = load("qemu-7.2/ev_tx2_success.jsonl")
    late = drop(records, at(records, "JOB_STATUS_CHANGE", status="created"))
    broken.write_text("".join(f"{record.to_json()}\n" for record in late))
    assert main(["judge", "--model", str(broken)]) == 1
    told = capsys.readouterr().out
    assert "IMPOSSIBLE" in told and "the last states that were possible:" in told
    assert "what could be told instead: drive0 created" in told
    assert main(["judge", "--model", "--json", str(broken)]) == 1
    rows = json.loads(capsys.readouterr().out)
    assert sum(row["impossible"] is not None for row in rows) == 1
    assert main(["judge", "--states", str(path)]) == 2
    assert main(["judge", "--model", "--profile", "5.2", str(path)]) == 2
    cut, both = tmp_path / "cut.jsonl", [str(broken), str(tmp_path / "cut.jsonl")]
    cut.write_text("".join(f"{record.to_json()}\n" for record in records[:-1]))
    for form in ([], ["--json"]):
        assert main(["judge", "--model", *form, str(cut)]) == 3
        assert main(["judge", "--model", *form, *both]) == 1
