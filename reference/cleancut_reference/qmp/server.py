"""The QMP server: the clients, the clock, and the loop that lets the machine run."""

import asyncio
import contextlib
import json
import os
import sys
import time
from typing import Any, Final

from cleancut_reference.clock import pass_time
from cleancut_reference.commands import version
from cleancut_reference.machine import Machine
from cleancut_reference.nbd.server import NbdServer
from cleancut_reference.outputs import (
    Console,
    Event,
    GuestDone,
    HangUp,
    Reply,
    Shutdown,
    StopListening,
)
from cleancut_reference.qmp.clients import Clients
from cleancut_reference.qmp.session import CAPABILITIES, Session
from cleancut_reference.state import Clock
from cleancut_spec import cites

MAX_TURN_NS: Final = 2_000_000  # then the sockets have their turn
MAX_TURN_STEPS: Final = 100_000  # the same without time, since a job may go on for ever
READ_BYTES: Final = 1 << 16
MAX_UNSENT_BYTES: Final = 64 << 20
QUIT_GRACE_S: Final = 5.0  # for other servers to answer what is under way


class Server:
    """Serves one client after the other; the machine runs whether one is there or not."""

    def __init__(self, machine: Machine, clients: Clients) -> None:
        self._machine = machine
        self._clients = clients
        self._profile = machine.engine.state.profile
        self._writer: asyncio.StreamWriter | None = None
        self._work = asyncio.Event()
        self._ended = False
        self._leaving = False
        self._nbd = NbdServer(machine.engine.state, self._work.set)
        machine.listen = self._nbd.listen

    async def run(self) -> None:
        """Serve until `quit`."""
        self._loop = asyncio.get_running_loop()
        self._machine.work_in_background(self._wake)
        try:
            async with asyncio.TaskGroup() as tasks:
                clients = tasks.create_task(self._serve_clients())
                await self._run_machine()
                clients.cancel()
        finally:
            self._nbd.close()

    def _wake(self) -> None:
        """There is an answer; called in a thread, perhaps after the end."""
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._work.set)

    def end(self) -> None:
        """The host wants an end, as by a signal."""
        self._machine.engine.end()
        self._work.set()

    async def _run_machine(self) -> None:
        engine = self._machine.engine
        real = engine.state.clock is Clock.REAL
        while not self._ended:
            busy = self._turn() if real else self._turn_without_time()
            self._send_outputs()
            if engine.state.quitting and not self._leaving:
                self._leaving = True
                self._loop.call_later(QUIT_GRACE_S, self._machine.disk.hang_up)
            if busy:
                await asyncio.sleep(0)
            else:
                await self._wait(engine.wake_ns() if real else None)
        writer = self._writer  # the client may hang up meanwhile
        if writer is not None:
            with contextlib.suppress(ConnectionError, TimeoutError):
                await asyncio.wait_for(writer.drain(), 5)
            writer.close()

    def _turn(self) -> bool:
        """Take steps until none is enabled, or it is time for the sockets; whether any was."""
        now_ns, busy = time.monotonic_ns(), False
        self._machine.engine.advance(now_ns)
        while self._machine.step():
            busy = True
            if time.monotonic_ns() > now_ns + MAX_TURN_NS:
                break
        return busy

    def _turn_without_time(self) -> bool:
        """The same, with a clock that does not run: all comes to rest before anything is heard."""
        machine, steps = self._machine, 0
        while steps < MAX_TURN_STEPS and (
            machine.step() or (not machine.waits and pass_time(machine.engine))
        ):
            steps += 1
        return steps > 0

    async def _wait(self, wake_ns: int | None) -> None:
        """Until somebody brings work, or time alone enables a step."""
        if wake_ns is None:
            await self._work.wait()
        else:
            with contextlib.suppress(TimeoutError):
                left_s = max(0, wake_ns - time.monotonic_ns()) / 1e9
                await asyncio.wait_for(self._work.wait(), left_s)
        self._work.clear()

    async def _serve_clients(self) -> None:
        async for reader, writer in self._clients:
            self._writer = writer
            self._greet()
            try:
                await self._serve(reader)
            except ConnectionError:
                pass
            finally:
                self._writer = None
                self._machine.engine.hang_up()
                writer.close()

    async def _serve(self, reader: asyncio.StreamReader) -> None:
        session = Session(self._profile.name)
        while data := await reader.read(READ_BYTES):
            for request, answer in session.feed(data):
                self._machine.engine.receive(request, answer)
            self._work.set()

    def _date_ns(self) -> int:
        """Since 1970; a clock that does not run began then."""
        state = self._machine.engine.state
        return time.time_ns() if state.clock is Clock.REAL else state.now_ns

    @cites("QMP-GREET-1")
    def _greet(self) -> None:
        greeting = {"version": version(self._profile), "capabilities": list(CAPABILITIES)}
        self._send({"QMP": greeting})

    def _send(self, message: dict[str, Any]) -> None:
        if self._writer is None:
            return
        self._writer.write(json.dumps(message).encode() + b"\r\n")
        if self._writer.transport.get_write_buffer_size() > MAX_UNSENT_BYTES:
            print("cleancut: the client reads nothing; it is cut off", file=sys.stderr)
            self._writer.transport.abort()

    @cites("QMP-EVENT-1")
    def _send_outputs(self) -> None:
        for output in self._machine.engine.drain_outbox():
            match output:
                case Reply(body):
                    self._send(body)
                case Event(name, data):
                    seconds, microseconds = divmod(self._date_ns() // 1000, 1_000_000)
                    stamp = {"seconds": seconds, "microseconds": microseconds}
                    known = {"data": data} if data else {}
                    self._send({"timestamp": stamp, "event": name} | known)
                case GuestDone(console=""):
                    self._nbd.handle(output)
                case GuestDone(console=text) | Console(text=text):
                    _print(text)
                case HangUp() | StopListening():
                    self._nbd.handle(output)
                case Shutdown():
                    self._ended = True


def _print(text: str) -> None:
    """Print, or from now on nothing, if nobody reads it any more."""
    try:
        print(text, end="", flush=True)
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
