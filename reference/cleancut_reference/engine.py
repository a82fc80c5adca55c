"""The engine: commands, guest requests and the answers of disks in; replies and events out.

Nothing in it waits, sleeps, opens or locks. All that could happen next is a Step; who picks one is
the schedule's business. Equal inputs and equal schedule give equal outputs.
"""

from collections import deque
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, Final

from cleancut_reference import creating, devices, exports
from cleancut_reference.block import guest
from cleancut_reference.block.gates import pass_gates
from cleancut_reference.block.request import Outcome
from cleancut_reference.clock import wake_ns
from cleancut_reference.commands import COMMANDS, TRANSACTIONS, shut_down
from cleancut_reference.errors import QmpError, command_not_found
from cleancut_reference.jobs import backup, ending
from cleancut_reference.jobs.job import Job
from cleancut_reference.outputs import Event, Output, Reply, Shutdown
from cleancut_reference.procedure import Procedure
from cleancut_reference.qmp.arguments import check_arguments
from cleancut_reference.state import State
from cleancut_reference.step import Step
from cleancut_reference.telling import error_body, returned, told
from cleancut_reference.transaction import Transaction
from cleancut_reference.waiting import Wait, WaitForShutdown
from cleancut_spec import cites
from cleancut_spec.profiles import DEFAULT
from cleancut_spec.qmp import schema
from cleancut_spec.schedule import Label

Request = dict[str, Any]

_HOST_SIGNAL: Final[Request] = {}


@dataclass(slots=True, eq=False)
class Engine:
    """Drives, jobs and the one command under way."""

    state: State
    current: Transaction | Wait | Procedure | None = field(default=None, init=False)
    _asked: str = field(default="", init=False)  # the name of the command under way
    _id: tuple[Any, ...] = field(default=(), init=False)  # which the client has given it, if any
    _unheard: bool = field(default=False, init=False)  # nobody waits for the command's answer
    _queue: deque[tuple[Request, Any]] = field(default_factory=deque, init=False)

    @cites("QMP-ORDER-1")
    def receive(self, request: Request, answer: Any = None) -> None:
        """A command has arrived; it waits its turn, even if its `answer` is known by now.

        One that is out of band does not wait.
        """
        if answer is None and "exec-oob" in request:
            result = self._result(request["exec-oob"], request)
            name = str(request.get("execute"))
            self.state.outbox.append(_reply_to(self.state, name, _id_of(request), result))
        else:
            self._queue.append((request, answer))

    def hang_up(self) -> None:
        """The client has gone: what it queued is dropped, what it began goes on unanswered."""
        self._queue.clear()
        self._unheard = self.current is not None

    def end(self) -> None:
        """The host wants an end: it comes as with `quit`, after the command under way."""
        self.hang_up()
        self._queue.append((_HOST_SIGNAL, None))

    def advance(self, now_ns: int) -> None:
        """It is now `now_ns`, on a clock that never goes back."""
        assert now_ns >= self.state.now_ns, "time goes forward"
        self.state.now_ns = now_ns

    def wake_ns(self) -> int | None:
        """The next instant at which time alone enables a step; None if there is none."""
        return wake_ns(self.state)

    def sources(self) -> Iterator[Iterator[Step]]:
        """What can happen next, by who does it: the command, guests, jobs, groups of jobs."""
        state = self.state
        if state.shut_down:
            return
        yield self._command_steps()
        for part in (exports, devices, creating):
            yield part.steps(state)
        guests = (guest.steps(state, traffic) for traffic in state.graph.traffics)
        jobs = (self._job_steps(job) for job in state.jobs)
        groups = (ending.group_steps(state, group) for group in state.groups())
        others = chain(guests, jobs, groups)
        yield from (pass_gates(state, steps) for steps in others) if state.graph.gated else others

    def _job_steps(self, job: Job) -> Iterator[Step]:
        yield from backup.steps(self.state, job)
        yield from ending.steps(self.state, job)

    def steps(self) -> Iterator[Step]:
        """All that can happen next."""
        return chain.from_iterable(self.sources())

    def _command_steps(self) -> Iterator[Step]:
        if self.current is not None:
            yield from self.current.steps(self.state)
        elif self._queue:
            yield self._take_up()

    def take(self, step: Step, outcome: Outcome = None) -> Label | None:
        """Take a step that is enabled now; its `io` has answered `outcome`. Says what happened."""
        label = step.run(outcome)
        self.settle()
        return label

    def drain_outbox(self) -> list[Output]:
        """What is to be sent, in order; forgets it."""
        outputs = list(self.state.outbox)
        self.state.outbox.clear()
        if self.state.profile is DEFAULT:
            return outputs
        as_told = [told(self.state, each) if isinstance(each, Event) else each for each in outputs]
        return [each for each in as_told if each is not None]

    def _take_up(self) -> Step:
        begins = self._queue[0][0].get("execute") in TRANSACTIONS
        label = Label("begin") if begins else None

        def run(_: Outcome) -> Label | None:
            request, result = self._queue.popleft()
            self._asked, self._id = str(request.get("execute")), _id_of(request)
            self._unheard, before = request is _HOST_SIGNAL, len(self.state.outbox)
            if result is None:
                result = self._execute(request)
            if isinstance(result, Generator):
                result = Procedure(result)
            if isinstance(result, Transaction | Wait | Procedure):
                self.current = result
                if isinstance(result, WaitForShutdown) and self.state.profile.quit_answers_first:
                    self._reply({}, before)
                    self._unheard = True
                return label
            self._reply(result)
            return None

        return Step(label, run)

    def _execute(self, request: Request) -> Any:
        if request is _HOST_SIGNAL:
            return shut_down(self.state, "host-signal")
        return self._result(request["execute"], request)

    @cites("QMP-UNKNOWN-1", "ARG-TYPE-1")
    def _result(self, name: str, request: Request) -> Any:
        """What a command returns, or waits for, or why it is refused."""
        try:
            profile = self.state.profile.name
            if name not in COMMANDS or name not in schema(profile):
                raise command_not_found(f"The command {name} has not been found")
            arguments = request.get("arguments", {})
            check_arguments(name, arguments, profile)
            return COMMANDS[name](self.state, arguments)
        except QmpError as error:
            return error.with_traceback(None)  # which would hold on to all that called

    @cites("QMP-ALIVE-1")
    def settle(self) -> None:
        """Answer the current command if it is done; only `quit` ends the engine with it."""
        if self.current is not None and (result := self.current.result()) is not None:
            self.current = None
            self._reply(result)
            if self.state.shut_down:
                self.state.outbox.append(Shutdown())

    def _reply(self, result: Any, at: int | None = None) -> None:
        """Answer the request; `at` is the answer's place among what is to be sent, if not last."""
        name, request_id = self._asked, self._id
        self._asked, self._id = "", ()
        if self._unheard:
            self._unheard = False
            return
        outbox = self.state.outbox
        reply = _reply_to(self.state, name, request_id, result)
        outbox.insert(len(outbox) if at is None else at, reply)


def _id_of(request: Request) -> tuple[Any, ...]:
    """What the client calls its request; empty if it does not say."""
    return (request["id"],) if "id" in request else ()


@cites("QMP-ID-1")
def _reply_to(state: State, name: str, request_id: tuple[Any, ...], result: Any) -> Reply:
    body: dict[str, Any]
    if isinstance(result, QmpError):
        body = {"error": error_body(state.profile, result)}
    else:
        body = {"return": returned(state, name, result)}
    if request_id:
        body["id"] = request_id[0]
    return Reply(body)
