"""Engine and model as one: what both can do from a state, and where they part.

A state is a pair: the engine's, as bytes, and the model's. From it every step that the engine
offers is taken, with every outcome that the instance allows of its disk request, and every command
and guest write that the model allows is given. The model must allow each, and be in the same state
after it.
"""

import marshal
import traceback
from collections.abc import Callable, Iterator
from hashlib import sha256
from operator import methodcaller
from pathlib import Path
from typing import Any, Final, NamedTuple

import cleancut_reference
import cleancut_spec
from cleancut_conformance.agreement.abstraction import abstract, parted
from cleancut_conformance.agreement.allowed import Allowed, ModelSide, parted_offers
from cleancut_conformance.agreement.beginnings import beginnings
from cleancut_conformance.agreement.bench import Bench, build
from cleancut_conformance.agreement.freezing import (
    Freezer,
    Thawed,
    classes_of,
)
from cleancut_conformance.agreement.tiny_disk import TinyDisk
from cleancut_conformance.client_steps import command_of
from cleancut_model.compiled import Values
from cleancut_model.options import Options
from cleancut_reference.block.request import Blueprint, Op, Opened
from cleancut_reference.block.traffic import GuestRequest
from cleancut_reference.jobs.job import Job, Settings
from cleancut_reference.jobs.scope import Scope
from cleancut_reference.state import Options as Sizes
from cleancut_reference.state import State
from cleancut_reference.step import Step
from cleancut_spec.profiles import DEFAULT
from cleancut_spec.schedule import Label

#: What tells states apart that go on alike, and what it is instead: numbers of requests, a cache of
#: a position, what was heard.
IGNORED: Final[dict[tuple[type, str], Callable[[], Any]]] = {
    (GuestRequest, "id"): int,
    (State, "next_request"): lambda: 1,
    (State, "profile"): lambda: DEFAULT,
    (Job, "lowest"): int,
    (Bench, "heard"): list,
}

#: What an object of these classes holds never changes.
CONSTANT: Final = frozenset({Settings, Scope, Sizes, Blueprint, Opened})

#: Commands whose effect is a further step of the engine, which bears the label.
ANSWERED_LATER: Final = frozenset({"finalize"})
#: What may be while a command is under way.
AT_ANY_TIME: Final = frozenset({"guest_write", "disconnect", "reconnect"})
CAN_FAIL: Final = (Op.READ, Op.WRITE, Op.OPEN)

#: What an engine raises that goes wrong, besides its own assertions.
FAULTS: Final = (ArithmeticError, AttributeError, LookupError, NameError, RuntimeError, TypeError,
                 ValueError)  # fmt: skip

Digest = bytes
MARSHAL_VERSION: Final = 2  # later ones write equal values in several ways


class Joint(NamedTuple):
    """A state of both; the digest has 16 bytes, so that no two of a search are confused."""

    engine: bytes
    model: Values
    digest: Digest


class Taken(NamedTuple):
    """A step of both; `action` is the model's number for it, None where the model rests.

    It is `alike` where the engine's step is one that was told already, and the model's another.
    """

    what: str
    action: int | None
    after: Joint
    alike: bool = False


class Disagreement(Exception):
    """Engine and model part; the message says how."""


#: Steps of the client that are no commands.
FROM_OUTSIDE: Final[dict[str, Callable[[Bench], None]]] = {
    "begin_again": methodcaller("forget"),
    "disconnect": methodcaller("hang_up"),
    "reconnect": methodcaller("come_back"),
}


def give(bench: Bench, label: Label, value: int | None) -> bool:
    """The client or the guest does its step; false if the engine refuses, or no client is there."""
    if label.name not in AT_ANY_TIME and not bench.connected:
        return False
    if label.name == "guest_write":
        assert label.drive is not None and label.cluster is not None and value is not None
        bench.write(label.drive, label.cluster, value)
        return True
    if label.name in FROM_OUTSIDE:
        FROM_OUTSIDE[label.name](bench)
        return True
    command, arguments = command_of(label.name, label.drive)
    return bench.command(command, **arguments)


class Product:
    """Both sides of an instance."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.refusals = 0  # commands that both refuse
        self._theirs = ModelSide(options)
        self.model = self._theirs.model
        self._by_list = options.changes or options.other
        classes = [
            *classes_of(cleancut_reference),
            *classes_of(cleancut_spec),
            Bench,
            TinyDisk,
        ]
        self.freezer = Freezer(classes, IGNORED, CONSTANT)

    def first(self) -> Joint:
        """Both at the beginning."""
        return self._joint(build(self.options), self.model.initial)

    def _joint(self, bench: Bench, model: Values) -> Joint:
        frozen = self.freezer.freeze(bench)
        told = frozen + marshal.dumps(model, MARSHAL_VERSION)
        return Joint(frozen, model, sha256(told).digest()[:16])

    def check(self, joint: Joint) -> None:
        """Raise Disagreement where the two are not in the same state, as `expand` does."""
        self._compare(self.freezer.thaw(joint.engine), joint.model)

    def _parted(self, bench: Bench, model: Values) -> str:
        """The variable of which both tell something else, in words."""
        mine, theirs = abstract(bench, self.options), self._theirs.read(model)
        name = parted(mine, theirs)
        return name and f"{name} is {mine[name]} in the engine, {theirs[name]} in the model"

    def _compare(self, bench: Bench, model: Values) -> None:
        if words := self._parted(bench, model):
            raise Disagreement(words)
        if misled := bench.misled():
            raise Disagreement(misled)

    def expand(self, joint: Joint) -> Iterator[Taken]:
        """Every step of both, after a look at whether they are in the same state.

        Raises Disagreement.
        """
        try:
            yield from self._expand(joint)
        except AssertionError as error:
            raise Disagreement(f"the engine's own assertion fails: {error}") from error
        except FAULTS as error:
            *_, last = traceback.extract_tb(error.__traceback__)
            place = f"{Path(last.filename).name}, line {last.lineno}"
            raise Disagreement(f"{type(error).__name__} in {place}: {error}") from error

    def _expand(self, joint: Joint) -> Iterator[Taken]:
        thawed = self.freezer.open(joint.engine)
        bench: Bench = thawed.state
        self._compare(bench, joint.model)
        allowed = self._theirs.allowed(joint.model)
        steps = bench.steps()
        offered = {step.label for step in steps}
        if words := parted_offers(offered, allowed, by_list=self._by_list):
            raise Disagreement(words)
        idle = bench.engine.current is None
        if idle and bench.connected:
            self._check_refusals(joint, thawed, allowed)
        for step in steps:
            for errno in self._outcomes(step, allowed):
                yield from self._step(joint, thawed.fresh(), step, errno)
        for label, value in allowed.given:
            if not (idle or label.name in AT_ANY_TIME):
                continue
            if label.name == "begin":
                yield from self._begin(joint, thawed)
            else:
                yield from self._client(joint, thawed.fresh(), label, value)
        thawed.give_up()

    def _outcomes(self, step: Step, allowed: Allowed) -> list[str]:
        """Success, and each errno with which the model lets this step fail."""
        if step.label is None or step.io is None or step.io.op not in CAN_FAIL:
            return [""]
        failure = f"fail_{step.label.name}", step.label.drive, step.label.cluster
        return ["", *allowed.errnos.get(failure, ())]

    def _step(self, joint: Joint, bench: Bench, step: Step, errno: str) -> Iterator[Taken]:
        label = bench.take(step, errno)
        if label is None:
            yield Taken("-", None, self._joint(bench, joint.model))
        else:
            yield from self._followed(joint, bench, label, None)

    def _begin(self, joint: Joint, thawed: Thawed) -> Iterator[Taken]:
        """Every transaction with which the client may begin."""
        if not thawed.state.connected:
            raise Disagreement("the model lets a client begin that is not there")
        for beginning in beginnings(thawed.fresh(), self.options):
            beginning.give(thawed.fresh(), self.options)
            yield from self._followed(joint, thawed.state, Label("begin"), None)

    def _client(
        self, joint: Joint, bench: Bench, label: Label, value: int | None
    ) -> Iterator[Taken]:
        if not give(bench, label, value):
            raise Disagreement(
                f"{label} is allowed by the model, and cannot be given to the engine"
            )
        if label.name in ANSWERED_LATER:
            yield Taken(f"({label})", None, self._joint(bench, joint.model))
        else:
            yield from self._followed(joint, bench, label, value)

    def _followed(
        self, joint: Joint, bench: Bench, label: Label, value: int | None
    ) -> Iterator[Taken]:
        """The pairs after a step; of several copies at once each may be the one that steps."""
        move = self._theirs.allowed(joint.model).moves.get((label, value))
        if move is None:
            raise Disagreement(f"the engine does {label}, and the model does not allow it")
        same = 0
        for number, after, broken in move.outcomes:
            if len(move.outcomes) > 1 and self._parted(bench, after):
                continue
            if broken:
                raise Disagreement(f"the model's own claim {broken} breaks at {label}")
            yield Taken(move.what, number, self._joint(bench, after), alike=same > 0)
            same += 1
        if not same:
            raise Disagreement(
                f"{move.what}: the engine is in none of the states that the model allows"
            )

    def _check_refusals(self, joint: Joint, thawed: Thawed, allowed: Allowed) -> None:
        """What the model does not allow the client, the engine refuses, and stays as it is."""
        bench: Bench = thawed.fresh()
        ending = {job.index for job in bench.state.jobs if job.ending}
        refused: list[Label] = []
        for drive, labels in enumerate(allowed.refused):
            if drive not in ending:  # what is told to end may be told so again
                refused += labels
        for label in refused:
            if give(bench, label, None):
                raise Disagreement(f"the engine accepts {label}, the model does not allow it")
        self.refusals += len(refused)
        if not thawed.is_unchanged() and self.freezer.freeze(bench) != joint.engine:
            raise Disagreement(f"one of {refused} was refused, and changed the engine's state")
