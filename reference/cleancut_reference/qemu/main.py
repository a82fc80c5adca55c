"""`cleancut-qemu`: starts the reference server as a harness starts qemu-system-x86_64."""

import asyncio
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from cleancut_reference.assembly import assemble
from cleancut_reference.block.faults import FaultError
from cleancut_reference.builder import UsageError
from cleancut_reference.machine import Machine
from cleancut_reference.qemu.command_line import CommandLineError
from cleancut_reference.qemu.connections import Connections
from cleancut_reference.qemu.help import help_text
from cleancut_reference.qemu.plan import Plan, read_plan
from cleancut_reference.qmp.server import Server


def _program() -> str:
    return os.path.basename(sys.argv[0]) or "cleancut-qemu"


async def _serve(plan: Plan, machine: Machine, connections: Connections) -> None:
    server = Server(machine, connections.clients(plan.monitor))
    silent = asyncio.ensure_future(connections.keep_silent(plan.qtest))

    def stop(number: int) -> None:
        print(f"{_program()}: terminating on signal {number}", file=sys.stderr, flush=True)
        server.end()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, stop, number)
    try:
        await server.run()
    finally:
        silent.cancel()


def _start(plan: Plan, connections: Connections) -> None:
    if plan.pidfile:
        connections.pidfile(Path(plan.pidfile))
    machine = assemble(plan.wanted)
    try:
        asyncio.run(_serve(plan, machine, connections))
    finally:
        machine.close()


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until `quit` or a signal (0); 1 for a wrong command line."""
    connections = Connections()
    try:
        plan = read_plan(sys.argv[1:] if argv is None else argv)
        if plan.wants_help:
            print(help_text(plan.wants_help, plan.wanted.profile), end="")
            return 0
        _start(plan, connections)
    except (CommandLineError, UsageError, FaultError) as error:
        print(f"{_program()}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    finally:
        connections.close()
    return 0
