"""What a target has, as it says itself, what a case needs, and what is to be implemented first."""

import json
import re
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from cleancut_conformance import needs, small_disks
from cleancut_conformance.case import Case
from cleancut_conformance.judge.shapes import actions, actions_in, commands
from cleancut_conformance.targets.base import (
    Narrow,
    OfProfile,
    Session,
    Setup,
    Target,
    session_folder,
)
from cleancut_conformance.targets.guests import ByNbd
from cleancut_conformance.verdict import Result
from cleancut_conformance.wire import Closed, Late
from cleancut_spec import clause
from cleancut_spec.profiles import OLDEST, PROFILES
from cleancut_spec.qmp import Schema, schema

_ABSENT: Final = "CommandNotFound"
_EXECUTE: Final = re.compile(r"""["']execute["']\s*:\s*["']([a-z_-]+)["']""")
ANSWER_S: Final = 5.0  # a target that needs longer to say what it has does not say it


@dataclass(frozen=True, slots=True)
class Abilities:
    """The commands, kinds of actions and types of a target; None: it does not say."""

    commands: frozenset[str] | None = None
    actions: frozenset[str] | None = None
    types: Schema | None = None

    def missing(self, needed: frozenset[str]) -> list[str]:
        """What of this it does not have; an action is written `transaction:KIND`."""
        lacking = []
        for name in sorted(needed):
            command, _, kind = name.partition(":")
            no_command = self.commands is not None and command not in self.commands
            if no_command or (kind and self.actions is not None and kind not in self.actions):
                lacking.append(name)
        return lacking


UNTOLD: Final = Abilities()


def probe(target: Target, timeout_s: float) -> Abilities:
    """Start the target without drives and ask what it has; raises TargetError if it does not start.

    The version in its greeting says nothing of that. One that is silent, hangs up or answers in
    another form has not said, and is judged by what it does; one that has no `query-qmp-schema`,
    and is known to be like a version of QEMU, has what that has.
    """
    with session_folder() as folder:
        session = Session(target, Setup(folder, {}, ()), timeout_s)
        try:
            return _ask(session, min(ANSWER_S, timeout_s))
        except (Closed, Late):
            return UNTOLD
        finally:
            session.close()


def _ask(session: Session, timeout_s: float) -> Abilities:
    for name in ("qmp_capabilities", "query-commands", "query-qmp-schema"):
        session.connection.send(json.dumps({"execute": name, "id": name}).encode() + b"\n")
    answers: dict[str, Any] = {}
    replies = 0
    while replies < 3:  # all of them, for whoever hangs up early may end a fragile server
        message = session.connection.receive(timeout_s)
        if isinstance(message, dict) and ("return" in message or "error" in message):
            replies += 1
            answers[str(message.get("id"))] = message.get("return")
    found = _named(answers.get("query-commands"))
    if found is not None and answers.get("qmp_capabilities") is not None:
        found |= {"qmp_capabilities"}  # some list it no more once it has been used
    told = answers.get("query-qmp-schema")
    types = needs.types_in(told)
    if told is None and isinstance(session.target, OfProfile) and session.target.profile:
        types = schema(session.target.profile)
    return Abilities(found, actions_in(told), types)


def _named(value: Any) -> frozenset[str] | None:
    try:
        return frozenset(str(entry["name"]) for entry in value) or None
    except (TypeError, KeyError):
        return None


# ---- what a case needs


def needed(case: Case, by_monitor: bool = True) -> frozenset[str]:
    """The commands, and the kinds of actions, that the case wants to be known.

    `by_monitor`: a guest's requests are made by a command.
    """
    found = {"qmp_capabilities"}
    for part in _parts(case):
        if "guest" in part:
            found |= {"human-monitor-command"} if by_monitor else set()
            continue
        if _ABSENT in json.dumps([part.get("reply"), part.get("replies")]):
            continue
        message = part.get("send") or part.get("until")
        if isinstance(message, dict):
            found |= set(_names(message))
        found |= commands() & set(_EXECUTE.findall(part.get("raw", "")))
    return frozenset(found)


def _parts(case: Case) -> Iterator[dict[str, Any]]:
    for step in case.steps:
        yield from step.get("pipeline", [step])


def _names(message: dict[str, Any]) -> Iterator[str]:
    name, arguments = message.get("execute"), message.get("arguments")
    if name not in commands():
        return
    yield str(name)
    listed = arguments.get("actions") if isinstance(arguments, dict) else None
    for action in listed if isinstance(listed, list) else []:
        kind = action.get("type") if isinstance(action, dict) else None
        if isinstance(kind, str) and kind in actions():
            yield f"{name}:{kind}"


def lacks(case: Case, target: Target, abilities: Abilities) -> str:
    """Why the target cannot be given this case; empty if it can."""
    if case.given.disks and "files" in target.capabilities and (words := small_disks.why_not()):
        return f"this user cannot have a small disk: {words}"
    plain = frozenset(name for name in case.needs if ":" not in name)
    missing = sorted(plain - target.capabilities)
    by_nbd = isinstance(target, ByNbd)
    if not missing and by_nbd and any(_mixed(step) for step in case.steps):
        missing = ["order between guest requests and commands"]
    if not missing:
        named = frozenset(need.removeprefix("command:") for need in case.needs - plain)
        every = needed(case, by_monitor=not by_nbd) if target.partial else frozenset()
        missing = [_words(name) for name in abilities.missing(named | every)]
    if not missing and abilities.types is not None:
        parts = needs.lacking(case, abilities.types)
        missing = [needs.words(p) for p in parts if target.partial or not needs.is_whole(p)]
    if not missing and isinstance(target, Narrow):
        missing = [what for what in [target.unfit(case)] if what]
    return f"the target has no {', '.join(missing)}" if missing else ""


def _mixed(step: dict[str, Any]) -> bool:
    """Whether guest requests are to run at their places among commands."""
    parts = step.get("pipeline", [])
    return any("guest" in part for part in parts) and any("send" in part for part in parts)


def _words(name: str) -> str:
    command, _, kind = name.partition(":")
    return f"action {kind} of {command}" if kind else f"command {command}"


def unpromised(clause_id: str, target: Target) -> str:
    """Why a clause is not asked of a target that is like an older version; empty if it is."""
    if not isinstance(target, OfProfile) or not target.profile:
        return ""
    since, version = clause(clause_id).since, PROFILES[target.profile].version
    newer = since != OLDEST and _numbers(since) > _numbers(version)
    return f"{clause_id} is promised since {since} only" if newer else ""


def _numbers(version: str) -> list[int]:
    return [int(part) for part in version.split(".")[:2]]


# ---- what to do next


def unable(results: list[Result], target: Target) -> Counter[str]:
    """What cases need that is no command, and how many do."""
    return Counter(
        name
        for result in results
        for name in result.case.needs - target.capabilities
        if ":" not in name
    )


@dataclass(frozen=True, slots=True)
class Advice:
    """Something that is missing: how many cases need it, and how many then miss nothing more."""

    name: str
    cases: int
    opens: int

    @property
    def words(self) -> str:
        """What is missing."""
        return _words(self.name)


def advice(results: list[Result], abilities: Abilities, target: Target) -> list[Advice]:
    """What the target does not have yet, in the order in which it opens most cases."""
    by_monitor = not isinstance(target, ByNbd)
    wants = {result.case.id: needed(result.case, by_monitor) for result in results}
    every: frozenset[str] = frozenset().union(*wants.values())
    missing = set(abilities.missing(every)) | (_refused(results) & every)
    found: list[Advice] = []
    while missing:
        lacking = [want & missing for want in wants.values() if want & missing]
        alone = Counter(next(iter(some)) for some in lacking if len(some) == 1)
        in_all = Counter(name for some in lacking for name in some)
        best = min(missing, key=lambda name: (-alone[name], -in_all[name], name))
        if not alone:  # what most wait for comes first where nothing opens a case by itself
            best = min(missing, key=lambda name: (-in_all[name], name))
        found.append(Advice(best, in_all[best], alone[best]))
        missing.discard(best)
    return found


def _refused(results: list[Result]) -> set[str]:
    """The commands that were never answered but with CommandNotFound."""
    found: set[str] = set()
    known: set[str] = set()
    for result in results:
        open_names: deque[str] = deque()
        for record in result.records:
            message = record.msg if isinstance(record.msg, dict) else {}
            if record.dir == "send":
                open_names.append(str(message.get("execute")))
            elif "return" in message or "error" in message:
                name = open_names.popleft() if open_names else ""
                error = message.get("error")
                absent = isinstance(error, dict) and error.get("class") == _ABSENT
                (found if absent else known).add(name)
    return found - known
