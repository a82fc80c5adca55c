"""What a right server may say while a command is under way, as it was seen on QEMU."""

from typing import Any

from cleancut_conformance.judge import Judge
from cleancut_spec.trace import Record

GREETING = {"QMP": {"version": {"qemu": {"major": 7, "minor": 2, "micro": 0}}, "capabilities": []}}


def findings(*messages: tuple[str, Any]) -> list[str]:
    """The clauses that the messages break; `>` stands for one that is sent, `<` for a received."""
    judge = Judge()
    records = [Record("meta", 0, None, None, {"format": 1, "drives": {}})]
    opening = [("<", GREETING), (">", {"execute": "qmp_capabilities"}), ("<", {"return": {}})]
    for way, message in (*opening, *messages):
        records.append(Record("send" if way == ">" else "recv", 0, message, None, {}))
    return [found.clause for record in records for found in judge.feed(record)]


def event(name: str, **data: Any) -> tuple[str, Any]:
    return "<", {"event": name, "data": data, "timestamp": {"seconds": 1, "microseconds": 2}}


def status(name: str, job: str = "d0") -> tuple[str, Any]:
    return event("JOB_STATUS_CHANGE", status=name, id=job)


def listed(name: str, offset: int = 0) -> tuple[str, Any]:
    progress = {"current-progress": offset, "total-progress": 65536}
    return "<", {"return": [{"id": "d0", "type": "backup", "status": name, **progress}]}


BACKUP = {"device": "d0", "target": "t", "sync": "full", "on-target-error": "stop",
          "auto-dismiss": False}  # fmt: skip
STARTED = [
    (">", {"execute": "drive-backup", "arguments": BACKUP}),
    status("created"), status("running"), ("<", {"return": {}}),
]  # fmt: skip
QUERY = (">", {"execute": "query-jobs"})


def test_a_list_may_be_older_than_the_events_before_it() -> None:
    assert not findings(*STARTED, QUERY, status("waiting"), listed("running"))
    assert not findings(*STARTED, QUERY, status("waiting"), listed("waiting"))


def test_a_list_is_no_older_than_its_command() -> None:
    assert findings(*STARTED, status("waiting"), QUERY, listed("running")) == ["JOB-LIST-1"]
    twice = (*STARTED, QUERY, status("waiting"), listed("running"), QUERY, listed("running"))
    assert findings(*twice) == ["JOB-LIST-1"]


def test_what_a_resume_does_may_come_before_its_reply() -> None:
    stopped = (
        event("BLOCK_JOB_ERROR", device="d0", operation="write", action="stop"),
        status("paused"),
    )
    resume = (">", {"execute": "block-job-resume", "arguments": {"device": "d0"}})
    after = (status("running"), status("waiting"))
    assert not findings(*STARTED, *stopped, resume, *after, ("<", {"return": {}}))
    assert findings(*STARTED, *stopped, *after) == ["POLICY-STOP-1"]


def test_quit_dismisses_what_there_is() -> None:
    final = event("BLOCK_JOB_COMPLETED", device="d0", type="backup", len=0, offset=0, speed=0)
    ended = (*STARTED, status("waiting"), status("pending"), final, status("concluded"))
    assert not findings(*ended, (">", {"execute": "quit"}), status("null"))
    assert findings(*ended, status("null")) == ["JOB-MANUAL-2"]
