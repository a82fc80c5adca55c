"""Replies, the greeting, and what a command must not do."""

from collections.abc import Iterator
from typing import Any

from cleancut_conformance.judge.commands import STARTERS
from cleancut_spec.trace import Record
from tests.corruptions.trace import Trace, kind, succeeded

Copies = Iterator[list[Record]]


@kind
def reply_lost(trace: Trace) -> Copies:
    """A command is never answered."""
    for exchange in trace.exchanges:
        if trace.has_quit and exchange.command.name != "quit":
            yield trace.without(exchange.reply)


@kind
def reply_doubled(trace: Trace) -> Copies:
    """A command is answered twice, the second time when nothing else waits."""
    for exchange in trace.exchanges:
        waits = any(e.at < exchange.reply < e.reply for e in trace.exchanges)
        if not waits:
            yield trace.doubled(exchange.reply)


@kind
def replies_swapped(trace: Trace) -> Copies:
    """Two commands are answered in the other order."""
    for one, two in zip(trace.exchanges, trace.exchanges[1:], strict=False):
        ids = [one.command.request_id, two.command.request_id]
        if ids[0] != ids[1] and two.at < one.reply:
            yield trace.moved(two.reply, one.reply)


@kind
def id_invented(trace: Trace) -> Copies:
    """A reply has an id, and its request has none."""
    for exchange in trace.exchanges:
        if exchange.command.request_id is None:
            yield trace.changed(exchange.reply, lambda m: m.update(id=1))


@kind
def id_lost(trace: Trace) -> Copies:
    """A request has an id, and its reply has none."""
    for exchange in trace.exchanges:
        if exchange.command.request_id is not None:
            yield trace.changed(exchange.reply, lambda m: m.pop("id"))


@kind
def id_of_another_type(trace: Trace) -> Copies:
    """An id comes back as a text."""
    for exchange in trace.exchanges:
        if isinstance(exchange.command.request_id, int):
            yield trace.changed(exchange.reply, lambda m: m.update(id=str(m["id"])))


@kind
def rubbish_for_a_message(trace: Trace) -> Copies:
    """What the server sends is no JSON object."""
    for at, record in enumerate(trace.records):
        if record.dir == "recv" and record.raw is None:
            yield trace.put(at, Record("recv", record.t, raw='{"return": {'))
            yield trace.put(at, Record("recv", record.t, [record.msg]))


@kind
def neither_reply_nor_event(trace: Trace) -> Copies:
    """A reply has neither `return` nor `error`."""
    for exchange in trace.exchanges:
        name = "return" if succeeded(trace, exchange) else "error"
        yield trace.changed(exchange.reply, lambda m, n=name: m.update({"result": m.pop(n)}))


@kind
def error_without_description(trace: Trace) -> Copies:
    """An error has no `desc`."""
    for exchange in trace.exchanges:
        if not succeeded(trace, exchange):
            yield trace.changed(exchange.reply, lambda m: m["error"].pop("desc"))


@kind
def greeting_lost(trace: Trace) -> Copies:
    """The server does not greet."""
    for at, record in enumerate(trace.records):
        if record.dir == "recv" and isinstance(record.msg, dict) and "QMP" in record.msg:
            yield trace.without(at)
            return


@kind
def greeting_in_the_middle(trace: Trace) -> Copies:
    """The server greets again while a command waits."""
    greeting = next((r for r in trace.records if isinstance(r.msg, dict) and "QMP" in r.msg), None)
    for exchange in trace.exchanges:
        if greeting is not None and exchange.command.name != "qmp_capabilities":
            records, at = trace.records, exchange.reply
            yield [*records[:at], greeting, *records[at:]]


@kind
def not_negotiated(trace: Trace) -> Copies:
    """Commands succeed that nobody has negotiated for."""
    for exchange in trace.exchanges[:1]:
        later = any(e.command.name not in ("", "qmp_capabilities") and succeeded(trace, e)
                    for e in trace.exchanges[1:])  # fmt: skip
        if exchange.command.name == "qmp_capabilities" and later:
            yield trace.without(exchange.at, exchange.reply)


@kind
def timestamp_lost(trace: Trace) -> Copies:
    """An event has no time."""
    for at, _, _ in trace.events:
        yield trace.changed(at, lambda m: m.pop("timestamp"))


@kind
def shutdown_lost(trace: Trace) -> Copies:
    """The server ends and does not say so."""
    for at, name, _ in trace.events:
        if name == "SHUTDOWN" and trace.has_quit:
            yield trace.without(at)


@kind
def ends_by_a_signal(trace: Trace) -> Copies:
    """The server crashes."""
    last = len(trace.records) - 1
    if trace.records[last].dir == "meta" and trace.records[last].note.get("exit") == 0:
        for status in (-6, -11):
            yield trace.changed(last, lambda n, s=status: n.update(exit=s))


@kind
def ends_badly_after_quit(trace: Trace) -> Copies:
    """After quit the server's exit status is 1."""
    last = len(trace.records) - 1
    if trace.has_quit and trace.records[last].note.get("exit") == 0:
        yield trace.changed(last, lambda n: n.update(exit=1))


# ---- commands that start backups


@kind
def return_before_created(trace: Trace) -> Copies:
    """A backup's command succeeds before its job exists."""
    return _return_before(trace, "created", -1)


@kind
def return_before_running(trace: Trace) -> Copies:
    """A backup's command succeeds before its job runs."""
    return _return_before(trace, "running", 0)


def _return_before(trace: Trace, early: str, which: int) -> Copies:
    for exchange in trace.starters:
        reached = [at for at, status, _ in trace.statuses
                   if status == early and exchange.at < at < exchange.reply]  # fmt: skip
        if reached and not any(exchange.at < e.at < exchange.reply for e in trace.exchanges):
            yield trace.moved(exchange.reply, reached[which])


@kind
def runs_before_all_are_prepared(trace: Trace) -> Copies:
    """A job runs when another action of its transaction is still to be prepared."""
    for exchange in trace.starters:
        inside = [s for s in trace.statuses if exchange.at < s[0] < exchange.reply]
        made = [s for s in inside if s[1] == "created"]
        if len(made) >= 2:
            ran = next(
                at for at, status, job in inside if job == made[0][2] and status == "running"
            )
            yield trace.moved(ran, made[1][0])


@kind
def success_for_failure(trace: Trace) -> Copies:
    """A command that took its jobs back is said to have succeeded."""
    for exchange in trace.exchanges:
        refused = not succeeded(trace, exchange) and exchange.command.name in STARTERS
        taken_back = any(s == "null" and exchange.at < at < exchange.reply
                         for at, s, _ in trace.statuses)  # fmt: skip
        if refused and (taken_back or any(k == "abort" for k, _ in exchange.command.actions())):
            yield trace.changed(exchange.reply, _succeed)


@kind
def failure_for_success(trace: Trace) -> Copies:
    """A command whose jobs run is said to have failed."""
    for exchange in trace.starters:
        if exchange.command.backups():
            yield trace.changed(exchange.reply, _fail)


@kind
def busy_drive_accepted(trace: Trace) -> Copies:
    """A backup of a busy drive is said to have succeeded."""
    for exchange in trace.exchanges:
        error = trace.records[exchange.reply].msg.get("error", {})
        if exchange.command.backups() and "busy" in str(error.get("desc")):
            yield trace.changed(exchange.reply, _succeed)


@kind
def verb_on_nothing_accepted(trace: Trace) -> Copies:
    """A command to a job that does not exist is said to have succeeded."""
    for exchange in trace.exchanges:
        error = trace.records[exchange.reply].msg.get("error", {})
        nothing = error.get("class") == "DeviceNotActive"
        if exchange.command.verb and nothing and not _ended_before(trace, exchange):
            yield trace.changed(exchange.reply, _succeed)


@kind
def wrong_class_for_no_job(trace: Trace) -> Copies:
    """A command to a block job that does not exist is refused with the class of all errors."""
    for exchange in trace.exchanges:
        error = trace.records[exchange.reply].msg.get("error", {})
        if exchange.command.of_block_job and error.get("class") == "DeviceNotActive":
            yield trace.changed(
                exchange.reply, lambda m: m["error"].update({"class": "GenericError"})
            )


@kind
def verb_accepted_in_a_wrong_status(trace: Trace) -> Copies:
    """A command that does not fit the job's status is said to have succeeded."""
    for exchange in trace.exchanges:
        desc = str(trace.records[exchange.reply].msg.get("error", {}).get("desc"))
        if exchange.command.verb and "cannot accept command verb" in desc:
            yield trace.changed(exchange.reply, _succeed)


@kind
def negative_speed_accepted(trace: Trace) -> Copies:
    """A negative speed is said to have been accepted."""
    for exchange in trace.exchanges:
        speeds = [exchange.command.arguments, *exchange.command.backups()]
        below = any(isinstance(d.get("speed"), int) and d["speed"] < 0 for d in speeds)
        if below and not succeeded(trace, exchange):
            yield trace.changed(exchange.reply, _succeed)


def _ended_before(trace: Trace, exchange: Any) -> bool:
    """Whether such a job existed once: the judge cannot know how long it takes to hear so."""
    job = exchange.command.job_id
    return any(j == job and at < exchange.reply for at, _, j in trace.statuses)


def _succeed(message: Any) -> None:
    message.pop("error")
    message["return"] = {}


def _fail(message: Any) -> None:
    message.pop("return")
    message["error"] = {"class": "GenericError", "desc": "no"}
