"""Every schedule of the engine, side by side with the model, in several processes.

Each state belongs to one process, by the model's part of it, which keeps it and takes its steps. A
state that another process reaches is sent to it once; the parent passes such letters on unread.
"""

import contextlib
import gc
import marshal
import multiprocessing
import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, Final, NamedTuple, Self

from cleancut_conformance.agreement.product import Digest, Disagreement, Joint, Product
from cleancut_model.compiled import Compiled, Values
from cleancut_model.options import Options

Place = tuple[Digest, int]  # a state by its digest, and the number of the process that has it
Letter = tuple[Digest, Place, str, bytes, Values]  # a state: where it comes from, by which step
Progress = Callable[[int, int], None]  # states of the engine, steps
NOWHERE: Final[Place] = (b"", 0)  # where the first state comes from
TOLD_EVERY: Final = 200  # states between two words of a process about how far it is


@dataclass(slots=True)
class Agreement:
    """What was found: equal counts on both sides, or where they part."""

    states: int = 0  # of the engine
    steps: int = 0  # of the engine
    refusals: int = 0  # commands that the model does not allow, and the engine refuses
    model_states: int = 0
    model_steps: int = 0
    seconds: float = 0.0
    processor_s: float = 0.0  # of all processes, while the engine's steps were followed
    limit: bool = False  # it ended before its end
    disagreement: str = ""
    schedule: list[str] = field(default_factory=list)  # to where they part
    left_out: Counter[str] = field(default_factory=Counter)  # steps of the model alone, by name

    @property
    def all_steps(self) -> int:
        """What the engine's code has done: steps to other states, and commands refused."""
        return self.steps + self.refusals

    @property
    def complete(self) -> bool:
        """Whether every schedule was followed, and all that the model does was seen."""
        return not (self.limit or self.disagreement or self.left_out)


class _Word(NamedTuple):
    """What a process says: what it has done since its last word; with letters its level is done."""

    states: int
    steps: int
    refusals: int
    letters: list[bytes] | None = None  # by process: states that belong to it
    disagreement: tuple[Place, str] | None = None


class _Owner:
    """In a process of its own: the states that belong to it, and where they come from."""

    def __init__(self, number: int, processes: int, product: Product, stop: Any) -> None:
        self.number = number
        self._processes, self._product, self._stop = processes, product, stop
        self._origins: dict[Digest, tuple[Place, str]] = {}
        self._next: list[Joint] = []
        self._told: set[Digest] = set()  # states of others that were sent to them
        self._letters: list[list[Letter]] = [[] for _ in range(processes)]
        self._taken: dict[Values, int] = {}  # the model's states, and as bits the actions taken
        self._steps = self._new = 0

    def serve(self, pipe: Connection) -> None:
        """Do what the parent asks until it hangs up."""
        while (asked := pipe.recv()) is not None:
            name, argument = asked
            if name == "level":
                for word in self._level(argument):
                    pipe.send(word)
            elif name == "origin":
                pipe.send(self._origins.get(argument))
            else:
                pipe.send(marshal.dumps(self._taken))

    def _keep(self, state: Letter) -> None:
        """A state that belongs to this process, if it is new."""
        digest, origin, what, engine, model = state
        if digest not in self._origins:
            self._origins[digest] = origin, what
            self._taken.setdefault(model, 0)
            self._next.append(Joint(engine, model, digest))
            self._new += 1

    def _level(self, letters: list[bytes]) -> Iterator[_Word]:
        """Take every step of the states that are as far as this from the first."""
        for letter in letters:
            for state in marshal.loads(letter):
                self._keep(state)
        level, self._next = self._next, []
        disagreement = None
        for number, joint in enumerate(level, 1):
            if self._stop.value:
                break
            try:
                self._expand(joint)
            except Disagreement as error:
                disagreement = (joint.digest, self.number), str(error)
                self._stop.value = True
            if number % TOLD_EVERY == 0:
                yield self._word()
        sealed = [marshal.dumps(letter) if letter else b"" for letter in self._letters]
        self._letters = [[] for _ in self._letters]
        yield self._word()._replace(letters=sealed, disagreement=disagreement)

    def _expand(self, joint: Joint) -> None:
        here = joint.digest, self.number
        for taken in self._product.expand(joint):
            self._steps += not taken.alike
            if taken.action is not None:
                self._taken[joint.model] |= 1 << taken.action
            after = taken.after
            owner = owner_of(after, self._processes)
            state = after.digest, here, taken.what, after.engine, after.model
            if owner == self.number:
                self._keep(state)
            elif after.digest not in self._told:
                self._told.add(after.digest)
                self._letters[owner].append(state)

    def _word(self) -> _Word:
        word = _Word(self._new, self._steps, self._product.refusals)
        self._new = self._steps = self._product.refusals = 0
        return word


def owner_of(joint: Joint, processes: int) -> int:
    """The number of the process that a state belongs to, with all that are one to the model."""
    return hash(joint.model) % processes


class ProcessDied(Exception):
    """A process of the search has ended by itself; the message says which, and how."""


class _Processes:
    """The processes of a search, each with a pipe."""

    def __init__(self, count: int, product: Product) -> None:
        context = multiprocessing.get_context("fork")
        self.stop = context.RawValue("b", 0)
        pipes = [context.Pipe() for _ in range(count)]
        self._pipes = [mine for mine, _ in pipes]
        owners = [_Owner(number, count, product, self.stop) for number in range(count)]
        self._all = [context.Process(target=_run, args=(owner, pipes)) for owner in owners]
        for process in self._all:
            process.start()
        for _, its in pipes:
            its.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        """All end: by themselves after a search, at once if something has gone wrong."""
        for pipe, process in zip(self._pipes, self._all, strict=True):
            if kind is None:
                pipe.send(None)
            else:
                process.kill()
        for process in self._all:
            process.join()

    def mail_of(self, first: Joint) -> list[list[bytes]]:
        """By process, the letter with which a search begins."""
        state = first.digest, NOWHERE, "", first.engine, first.model
        mail: list[list[bytes]] = [[] for _ in self._all]
        mail[owner_of(first, len(mail))].append(marshal.dumps([state]))
        return mail

    def level(self, mail: list[list[bytes]]) -> Iterator[_Word]:
        """All take the steps of their next states; what they say of it."""
        for pipe, letters in zip(self._pipes, mail, strict=True):
            pipe.send(("level", letters))
        busy = dict(zip(self._pipes, self._all, strict=True))
        while busy:
            for ready in wait(list(busy)):
                assert isinstance(ready, Connection)
                word = self._hear(ready, busy[ready])
                if word.letters is not None:
                    del busy[ready]
                yield word

    def way(self, at: Place) -> Iterator[str]:
        """The steps that have led to a state, the last one first."""
        while True:
            digest, number = at
            self._pipes[number].send(("origin", digest))
            at, what = self._hear(self._pipes[number], self._all[number])
            if at == NOWHERE:
                return
            yield what

    def taken(self) -> dict[Values, int]:
        """The states of the model, and as bits the actions that were taken in each."""
        found: dict[Values, int] = {}
        for pipe, process in zip(self._pipes, self._all, strict=True):
            pipe.send(("taken", None))
            for state, actions in marshal.loads(self._hear(pipe, process)).items():
                found[state] = found.get(state, 0) | actions
        return found

    def _hear(self, pipe: Connection, process: BaseProcess) -> Any:
        try:
            return pipe.recv()
        except EOFError:
            process.join()
            raise ProcessDied(f"{process.name} ended with {process.exitcode}") from None


def _run(owner: _Owner, pipes: list[tuple[Connection, Connection]]) -> None:
    """A process; Ctrl-C is the parent's business, which ends this one."""
    gc.freeze()  # what was there before the search is not looked through again and again
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    for number, (theirs, its) in enumerate(pipes):
        theirs.close()  # so that each hears when the parent is gone
        if number != owner.number:
            its.close()
    with contextlib.suppress(EOFError):
        owner.serve(pipes[owner.number][1])


def agree(
    options: Options, processes: int, max_states: int = 0, progress: Progress | None = None
) -> Agreement:
    """Follow every schedule of an instance; ends where the two part, or at the limit of states."""
    started = time.monotonic()
    product = Product(options)
    first = product.first()
    result, before_s = Agreement(), _processor_s()
    with _Processes(processes, product) as owners:
        _search(owners, first, result, max_states, progress)
        taken = owners.taken()
    result.processor_s = _processor_s() - before_s
    result.model_states = len(taken)
    result.model_steps = sum(actions.bit_count() for actions in taken.values())
    if not result.limit and not result.disagreement:
        result.left_out = _left_out(product.model, taken)
    result.seconds = time.monotonic() - started
    return result


def _search(
    owners: _Processes,
    first: Joint,
    result: Agreement,
    max_states: int,
    progress: Progress | None,
) -> None:
    """Level by level, until nothing is new, the two part, or there are too many states."""
    mail = owners.mail_of(first)
    parted: tuple[Place, str] | None = None
    going = True
    while going and not owners.stop.value:
        before, letters = result.states, list[list[bytes]]()
        for word in owners.level(mail):
            result.states += word.states
            result.steps += word.steps
            result.refusals += word.refusals
            parted = parted or word.disagreement
            letters += [word.letters] if word.letters is not None else []
            if progress is not None:
                progress(result.states, result.steps)
            if max_states and result.states > max_states:
                result.limit, owners.stop.value = True, True
        mail = [[letter for letter in each if letter] for each in zip(*letters, strict=True)]
        going = result.states > before or any(mail)
    if parted is not None:
        origin, result.disagreement = parted
        result.limit = False
        result.schedule = list(owners.way(origin))[::-1]


def _left_out(model: Compiled, taken: dict[Values, int]) -> Counter[str]:
    """The steps of the model that were not taken, by the name of the action."""
    seen, todo, found = {model.initial}, [model.initial], Counter[str]()
    while todo:
        state = todo.pop()
        for number, after in model.successors(state):
            if not taken.get(state, 0) >> number & 1:
                found[model.labels[number].name] += 1
            if after not in seen:
                seen.add(after)
                todo.append(after)
    return found


def _processor_s() -> float:
    """What this process and those that it has ended have had of the cores."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system
