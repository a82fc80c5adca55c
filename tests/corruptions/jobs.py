"""What events and listings tell of jobs."""

from collections.abc import Iterator
from typing import Any

from cleancut_conformance.judge.jobs import ACTIONS, FINAL
from cleancut_spec.jobs import FOLLOWS, Status
from cleancut_spec.trace import Record
from tests.corruptions.trace import Exchange, Trace, kind, succeeded

Copies = Iterator[list[Record]]


@kind
def final_event_lost(trace: Trace) -> Copies:
    """A job ends and does not say so."""
    ended = {job for _, status, job in trace.statuses if status == "concluded"}
    for at, _, data in trace.finals:
        if data["device"] in ended:
            yield trace.without(at)


@kind
def final_event_doubled(trace: Trace) -> Copies:
    """A job says twice how it ends."""
    for at, _, _ in trace.finals:
        yield trace.doubled(at)


@kind
def final_event_after_concluded(trace: Trace) -> Copies:
    """A job tells how it ends when it is concluded."""
    return _final_event_after(trace, "concluded")


@kind
def final_event_after_null(trace: Trace) -> Copies:
    """A job tells how it ends when it does not exist any more."""
    return _final_event_after(trace, "null")


def _final_event_after(trace: Trace, late: str) -> Copies:
    for at, _, data in trace.finals:
        for other, status, job in trace.statuses:
            if other > at and job == data["device"] and status == late:
                yield trace.moved(at, other + 1)
                break


@kind
def completed_for_cancelled(trace: Trace) -> Copies:
    """A job that was cancelled says that it has completed."""
    for at, name, data in trace.finals:
        if name == "BLOCK_JOB_CANCELLED" and data["offset"] != data["len"]:
            yield trace.changed(at, lambda m: m.update(event="BLOCK_JOB_COMPLETED"))


@kind
def cancelled_for_completed(trace: Trace) -> Copies:
    """A job that has completed says that it was cancelled."""
    for at, name, data in trace.finals:
        if name == "BLOCK_JOB_COMPLETED" and "error" not in data:
            yield trace.changed(at, lambda m: m.update(event="BLOCK_JOB_CANCELLED"))


@kind
def error_hidden(trace: Trace) -> Copies:
    """A job that failed ends without error."""
    for at, _, data in trace.finals:
        if "error" in data:
            yield trace.changed(at, lambda m: m["data"].pop("error"))


@kind
def error_invented(trace: Trace) -> Copies:
    """A job that did well ends with an error."""
    for at, name, data in trace.finals:
        if name == "BLOCK_JOB_COMPLETED" and "error" not in data:
            yield trace.changed(at, lambda m: m["data"].update(error="Input/output error"))


@kind
def offset_beyond_len(trace: Trace) -> Copies:
    """A final event tells of more than there was to do."""
    for at, _, _ in trace.finals:
        yield trace.changed(at, lambda m: m["data"].update(offset=m["data"]["len"] + 1))


@kind
def completed_half_way(trace: Trace) -> Copies:
    """A job completes when half is copied."""
    for at, name, data in trace.finals:
        if name == "BLOCK_JOB_COMPLETED" and "error" not in data and data["offset"]:
            yield trace.changed(at, lambda m: m["data"].update(offset=m["data"]["offset"] // 2))


@kind
def wrong_len(trace: Trace) -> Copies:
    """The last length of a completed job is not what it has copied."""
    for at, name, data in trace.finals:
        if name == "BLOCK_JOB_COMPLETED" and "error" not in data:
            yield trace.changed(at, lambda m: m["data"].update(len=m["data"]["len"] + 65536))


@kind
def final_event_of_a_stranger(trace: Trace) -> Copies:
    """A final event names a job that nobody started."""
    for at, _, _ in trace.finals:
        yield trace.changed(at, lambda m: m["data"].update(device="stranger"))


@kind
def status_lost(trace: Trace) -> Copies:
    """A status is left out that no job may leave out."""
    for place, (at, status, job) in enumerate(trace.statuses):
        before = [s for _, s, j in trace.statuses[:place] if j == job][-1:]
        after = [s for _, s, j in trace.statuses[place + 1 :] if j == job][:1]
        start = Status(before[0]) if before and before[0] != "null" else Status.UNDEFINED
        if after and status != "null" and Status(after[0]) not in FOLLOWS[start]:
            yield trace.without(at)


@kind
def null_lost(trace: Trace) -> Copies:
    """A job that is dismissed by itself is never gone."""
    for at, status, job in trace.statuses:
        backup = trace.backup_of(job, at)
        if status == "null" and trace.has_quit and backup and backup.get("auto-dismiss", True):
            yield trace.without(at)


@kind
def status_doubled(trace: Trace) -> Copies:
    """A job changes to the status that it has."""
    for at, status, _ in trace.statuses:
        if status != "aborting":
            yield trace.doubled(at)


@kind
def status_forged(trace: Trace) -> Copies:
    """A job is said to have a status that cannot follow."""
    now: dict[str, Status] = {}
    for at, status, job in trace.statuses:
        allowed = FOLLOWS[now.get(job, Status.UNDEFINED)]
        for forged in Status:
            if forged not in allowed:
                yield trace.changed(at, lambda m, f=forged: m["data"].update(status=str(f)))
        now[job] = Status(status)
        if status == "null":
            del now[job]


@kind
def statuses_swapped(trace: Trace) -> Copies:
    """Two changes of one job that follow each other change places."""
    for (at, one, job), (other, two, job_2) in zip(
        trace.statuses, trace.statuses[1:], strict=False
    ):
        if job == job_2 and other == at + 1 and {one, two} != {"running", "paused"}:
            yield trace.moved(other, at)


@kind
def status_of_a_stranger(trace: Trace) -> Copies:
    """A status names a job that does not exist."""
    for at, status, _ in trace.statuses:
        if status != "created":
            yield trace.changed(at, lambda m: m["data"].update(id="stranger"))


@kind
def event_after_null(trace: Trace) -> Copies:
    """A job that is gone becomes running."""
    for at, status, job in trace.statuses:
        if status == "null":
            event = {**trace.records[at].msg, "data": {"status": "running", "id": job}}
            records = trace.records
            yield [*records[: at + 1], Record("recv", records[at].t, event), *records[at + 1 :]]


@kind
def pending_event_lost(trace: Trace) -> Copies:
    """A job that waits to be finalized does not say so."""
    gone_on = {j for _, s, j in trace.statuses if s in ("concluded", "aborting")}
    for at, name, data in trace.events:
        if name == "BLOCK_JOB_PENDING" and data["id"] in gone_on:
            yield trace.without(at)


@kind
def pending_event_doubled(trace: Trace) -> Copies:
    """A job says twice that it waits to be finalized."""
    for at, name, _ in trace.events:
        if name == "BLOCK_JOB_PENDING":
            yield trace.doubled(at)


@kind
def pending_before_the_group_waits(trace: Trace) -> Copies:
    """A job of a group is pending when another still copies."""
    for exchange in trace.starters:
        jobs = [str(d.get("job-id", d.get("device"))) for d in exchange.command.backups()]
        if not exchange.command.grouped or len(jobs) < 2:
            continue
        mine = [s for s in trace.statuses if s[2] in jobs and s[0] > exchange.at]
        waiting = [at for at, status, _ in mine if status == "waiting"]
        pending = [at for at, status, _ in mine if status == "pending"]
        if len(waiting) >= 2 and pending and waiting[0] < waiting[1] < pending[0]:
            first = next(job for at, _, job in mine if at == waiting[0])
            own = next(at for at, s, job in mine if job == first and s == "pending")
            yield trace.moved(own, waiting[1])


@kind
def finalized_by_nobody(trace: Trace) -> Copies:
    """A job that waits to be finalized completes, and nobody has asked for it."""
    for exchange in _asked(trace, "finalize"):
        done = {d["device"] for _, n, d in trace.finals if n == "BLOCK_JOB_COMPLETED"}
        others = [e for e in _asked(trace, "finalize") if e is not exchange]
        if exchange.command.job_id in done and not others:
            yield trace.without(exchange.at, exchange.reply)


@kind
def dismissed_by_nobody(trace: Trace) -> Copies:
    """A job that waits to be dismissed is gone, and nobody has asked for it."""
    for exchange in _asked(trace, "dismiss"):
        job = exchange.command.job_id
        others = [e for e in _asked(trace, "dismiss") if e.command.job_id == job]
        backup = trace.backup_of(job, exchange.at)
        kept = backup is not None and backup.get("auto-dismiss") is False
        if kept and len(others) == 1:
            yield trace.without(exchange.at, exchange.reply)


def _asked(trace: Trace, verb: str) -> list[Exchange]:
    return [e for e in trace.exchanges if e.command.verb == verb and succeeded(trace, e)]


# ---- I/O errors


@kind
def error_event_lost(trace: Trace) -> Copies:
    """An error ends a job, and nothing announces it."""
    for at, name, data in trace.events:
        alone = sum(n == name and d["device"] == data["device"] for _, n, d in trace.events
                    if n == "BLOCK_JOB_ERROR") == 1  # fmt: skip
        fails = any("error" in d and d["device"] == data.get("device") for _, _, d in trace.finals)
        if name == "BLOCK_JOB_ERROR" and data["action"] == "report" and alone and fails:
            yield trace.without(at)


@kind
def error_action_forged(trace: Trace) -> Copies:
    """What is done about an error is not what the policy says."""
    for at, name, data in trace.events:
        if name != "BLOCK_JOB_ERROR" or (backup := trace.backup_of(data["device"], at)) is None:
            continue
        side = "on-source-error" if data["operation"] == "read" else "on-target-error"
        for action in ("report", "ignore", "stop"):
            if action not in ACTIONS[backup.get(side, "report")]:
                yield trace.changed(at, lambda m, a=action: m["data"].update(action=a))


@kind
def error_event_after_the_end(trace: Trace) -> Copies:
    """An error is announced when its job has told how it ended."""
    for at, name, data in trace.events:
        if name == "BLOCK_JOB_ERROR":
            for other, _, end in trace.finals:
                if other > at and end["device"] == data["device"]:
                    yield trace.moved(at, other + 1)
                    break


# ---- listings


def _listings(trace: Trace) -> Iterator[tuple[int, str, list[dict[str, Any]]]]:
    for exchange in trace.exchanges:
        if exchange.command.name in ("query-jobs", "query-block-jobs") and succeeded(
            trace, exchange
        ):
            key = "id" if exchange.command.name == "query-jobs" else "device"
            yield exchange.reply, key, trace.records[exchange.reply].msg["return"]


@kind
def job_missing_from_list(trace: Trace) -> Copies:
    """A job that exists is not listed."""
    for at, _, entries in _listings(trace):
        for place in range(len(entries)):
            yield trace.changed(at, lambda m, p=place: m["return"].pop(p))


@kind
def job_listed_twice(trace: Trace) -> Copies:
    """A job is listed twice."""
    for at, _, entries in _listings(trace):
        if entries:
            yield trace.changed(at, lambda m: m["return"].append(m["return"][0]))


@kind
def job_listed_after_null(trace: Trace) -> Copies:
    """A job that is gone is still listed."""
    shown: dict[str, dict[str, Any]] = {}
    for at, key, entries in _listings(trace):
        gone = {j for i, s, j in trace.statuses if s == "null" and i < at}
        gone -= {entry[key] for entry in entries}
        alive = {j for i, s, j in trace.statuses if i < at and s != "null"} - gone
        for job in gone - alive:
            if (entry := shown.get(f"{key} {job}")) is not None:
                yield trace.changed(at, lambda m, e=entry: m["return"].append(e))
        shown |= {f"{key} {entry[key]}": entry for entry in entries}


@kind
def ghost_in_list(trace: Trace) -> Copies:
    """A job is listed that nobody started."""
    for at, key, entries in _listings(trace):
        if entries:
            ghost = {**entries[0], key: "ghost"}
            yield trace.changed(at, lambda m, g=ghost: m["return"].append(g))


@kind
def listed_status_forged(trace: Trace) -> Copies:
    """A job is listed with a status that it does not have."""
    for at, _, entries in _listings(trace):
        for place, entry in enumerate(entries):
            forged = "standby" if entry.get("status") != "standby" else "ready"
            yield trace.changed(at, lambda m, p=place, f=forged: m["return"][p].update(status=f))


@kind
def listed_offset_beyond_len(trace: Trace) -> Copies:
    """A job is listed with more done than there is to do."""
    for at, key, entries in _listings(trace):
        offset, end = ("current-progress", "total-progress") if key == "id" else ("offset", "len")
        for place, entry in enumerate(entries):
            more = {offset: entry[end] + 1}
            yield trace.changed(at, lambda m, p=place, v=more: m["return"][p].update(v))


@kind
def progress_goes_back(trace: Trace) -> Copies:
    """A job has done less than it had before."""
    done: dict[str, tuple[int, int]] = {}
    for at, key, entries in _listings(trace):
        offset, end = ("current-progress", "total-progress") if key == "id" else ("offset", "len")
        gone = {j for i, s, j in trace.statuses if s == "null" and i < at}
        for place, entry in enumerate(entries):
            before, length = done.get(entry[key], (0, -1))
            if before and length == entry[end] and entry[key] not in gone:
                less = {offset: before - 1}
                yield trace.changed(at, lambda m, p=place, v=less: m["return"][p].update(v))
            done[entry[key]] = entry[offset], entry[end]


@kind
def member_of_an_event_lost(trace: Trace) -> Copies:
    """An event of a job lacks something that the schema promises."""
    for at, name, data in trace.events:
        if name in (*FINAL, "JOB_STATUS_CHANGE", "BLOCK_JOB_ERROR", "BLOCK_JOB_PENDING"):
            for member in data.keys() - {"error", "node-name", "nospace", "reason", "qom-path"}:
                yield trace.changed(at, lambda m, x=member: m["data"].pop(x))


@kind
def member_of_an_event_of_another_type(trace: Trace) -> Copies:
    """A number of an event is a text, or a text a number."""
    for at, name, data in trace.events:
        if name in (*FINAL, "JOB_STATUS_CHANGE", "BLOCK_JOB_ERROR", "BLOCK_JOB_PENDING"):
            for member, value in data.items():
                other: Any = str(value) if isinstance(value, int) else 7
                if member not in ("node-name", "nospace", "reason", "qom-path"):
                    yield trace.changed(at, lambda m, x=member, o=other: m["data"].update({x: o}))
