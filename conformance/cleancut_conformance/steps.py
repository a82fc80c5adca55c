"""The verbs of a case: what each step and each demand does."""

import json
import time
from collections.abc import Callable
from typing import Any, Final

from cleancut_conformance import interleaving
from cleancut_conformance.case import parse_size
from cleancut_conformance.console import Request
from cleancut_conformance.dialogue import POLL_S, Deviation, Dialogue
from cleancut_conformance.expect import matches
from cleancut_conformance.targets.base import Rewrites

Step = dict[str, Any]

#: What a reply must match where the case does not say.
SUCCESS: Final = {"return": "$any"}


def take(step: Step, dialogue: Dialogue) -> None:
    """Take one step; raises Deviation if the target does not do what is expected."""
    verb = next(name for name in VERBS if name in step)
    VERBS[verb](step, dialogue)


def _send(step: Step, dialogue: Dialogue) -> None:
    _requests([step], dialogue)


def _pipeline(step: Step, dialogue: Dialogue) -> None:
    _requests(step["pipeline"], dialogue)


def _requests(parts: list[Step], dialogue: Dialogue) -> None:
    """Send all in one packet, then take the replies, then the guests' results."""
    messages: list[Any] = []
    guests: list[Request | None] = []
    for part in parts:
        if "guest" in part:
            guest, _, command = part["guest"].partition(" ")
            request, message = dialogue.guest_request(guest, command)
            messages.append(message)
            guests.append(request)
        else:
            messages.append(_request(part["send"], dialogue))
            guests.append(None)
    dialogue.send([message for message in messages if message is not None])
    for part, asked, message in zip(parts, guests, messages, strict=True):
        if asked is None:
            _check_reply(part.get("reply", SUCCESS), message, dialogue)
        elif message is not None:
            _check_guest(asked, dialogue)
    for part, asked in zip(parts, guests, strict=True):
        if asked is not None and asked.waits:
            _check_result(part.get("result", "ok"), asked, dialogue)


def _request(message: Any, dialogue: Dialogue) -> Any:
    """The request as the target wants it."""
    target, expanded = dialogue.session.target, expand(message, dialogue)
    return target.request(expanded) if isinstance(target, Rewrites) else expanded


def _check_reply(pattern: Any, message: Any, dialogue: Dialogue) -> None:
    reply = dialogue.reply(str(message.get("execute")))
    if not matches(expand(pattern, dialogue), reply):
        shown = {key: reply[key] for key in reply if key != "timestamp"}
        raise Deviation(f"expected {json.dumps(pattern)}, got {json.dumps(shown)[:300]}")


def _check_guest(request: Request, dialogue: Dialogue) -> None:
    reply = dialogue.reply(f"{request.guest} {request.command}", "GUEST-LIVE-1")
    if reply.get("return") != "":
        raise Deviation(f"guest request {request.command!r}: {json.dumps(reply)[:200]}")


def _check_result(expected: str, request: Request, dialogue: Dialogue) -> None:
    result = dialogue.io_result(request)
    if result != expected:
        words = f"{request.guest} {request.command!r} ends with {result}, not {expected}"
        raise Deviation(words)


def _raw(step: Step, dialogue: Dialogue) -> None:
    dialogue.send_raw(step["raw"])
    for pattern in step["replies"]:
        _check_reply(pattern, {"execute": "the bytes sent"}, dialogue)


def _until(step: Step, dialogue: Dialogue) -> None:
    """Ask again and again until the reply is the expected one."""
    deadline = time.monotonic() + dialogue.timeout_s
    while True:
        dialogue.send([_request(step["until"], dialogue)])
        reply = dialogue.reply(str(step["until"].get("execute")))
        if matches(step["reply"], reply):
            return
        if time.monotonic() > deadline:
            words = f"{json.dumps(step['reply'])} never comes; last {json.dumps(reply)[:300]}"
            raise Deviation(words)
        time.sleep(POLL_S)


def _any_order(step: Step, dialogue: Dialogue) -> None:
    for pattern in step["any-order"]:
        dialogue.event(pattern)


def _observe(step: Step, dialogue: Dialogue) -> None:
    for wanted in step["observe"]:
        demand(wanted, dialogue)


VERBS: Final[dict[str, Callable[[Step, Dialogue], None]]] = {
    "send": _send,
    "guest": _send,
    "pipeline": _pipeline,
    "raw": _raw,
    "until": _until,
    "expect": lambda step, dialogue: dialogue.event(step["expect"]),
    "any-order": _any_order,
    "never": lambda step, dialogue: dialogue.silence(step["never"], step["for_ms"] / 1000),
    "mark": lambda step, dialogue: dialogue.recorder.add("mark", note={"name": step["mark"]}),
    "observe": _observe,
    "jobs-end": lambda step, dialogue: dialogue.jobs_end(step["jobs-end"]),
    "io-end": lambda _, dialogue: dialogue.io_end(),
    "quit": lambda _, dialogue: dialogue.quit(),
    **interleaving.VERBS,
}


def demand(wanted: Step, dialogue: Dialogue) -> None:
    """Check what must hold now: of an image, or of all the events that came."""
    clause = wanted.get("clause")
    if "image" in wanted:
        path = dialogue.session.setup.path(wanted["image"])
        dialogue.recorder.observe(path, _must(wanted), clause or dialogue.clause)
        return
    name = "no-event" if "no-event" in wanted else "one-event"
    count = sum(matches(wanted[name], event) for event in dialogue.all_events)
    if count != (name == "one-event"):
        words = f"{json.dumps(wanted[name])} came {count} times"
        raise Deviation(words, clause or "")


def _must(wanted: Step) -> dict[str, Any] | None:
    if "equals" in wanted:
        drive, _, mark = wanted["equals"].partition("@")
        return {"equals": drive, "at": mark}
    if "size" in wanted:
        return {"size_bytes": parse_size(wanted["size"])}
    for name in ("absent", "unchanged"):
        if name in wanted:
            return {name: True}
    return None


def expand(value: Any, dialogue: Dialogue) -> Any:
    """The value with `$NAME` replaced by how the target names that image."""
    if isinstance(value, dict):
        return {key: expand(part, dialogue) for key, part in value.items()}
    if isinstance(value, list):
        return [expand(part, dialogue) for part in value]
    if isinstance(value, str) and value.startswith("$") and value != "$any":
        session = dialogue.session
        return session.target.target_text(session.setup, value[1:])
    return value
