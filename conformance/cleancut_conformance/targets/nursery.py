"""Forks a process for each request, from one that has imported a Python module already.

Run by its path, `python -P nursery.py FD MODULE`, with the standard library alone, so that what is
forked has loaded nothing but that module. Requests come over the socket FD: a JSON line with
`argv` and `cwd`, and three file descriptors, for standard output, for standard error and for the
exit status, which is written there as a decimal number, negative for a signal.
"""

import array
import contextlib
import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import sys
from typing import Any

MAX_REQUEST_BYTES = 1 << 16


def serve(control: socket.socket, module: str) -> None:
    """Fork until the other end hangs up."""
    importlib.import_module(module)
    gc.freeze()  # so that a child's collector does not copy what all share
    running: dict[int, int] = {}  # pid -> where its status goes
    wakeup_reader, wakeup_writer = os.pipe()
    os.set_blocking(wakeup_writer, False)
    signal.set_wakeup_fd(wakeup_writer, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    sources: list[Any] = [control, wakeup_reader]
    while True:
        ready, _, _ = select.select(sources, [], [])
        if wakeup_reader in ready:
            os.read(wakeup_reader, 4096)
            _reap(running)
        if control in ready:
            request, fds = _receive(control)
            if request is None:
                break
            pid = os.fork()
            if pid == 0:
                control.close()
                for fd in (wakeup_reader, wakeup_writer, *running.values()):
                    os.close(fd)
                _become(request, fds)
            for fd in fds[:2]:
                os.close(fd)
            running[pid] = fds[2]
            os.write(fds[2], f"{pid}\n".encode())
    for pid in running:  # whoever wanted them has gone
        os.killpg(pid, signal.SIGKILL)


def _receive(control: socket.socket) -> tuple[Any, list[int]]:
    fds = array.array("i")
    data, ancillary, _, _ = control.recvmsg(MAX_REQUEST_BYTES, socket.CMSG_LEN(3 * fds.itemsize))
    for _, _, part in ancillary:
        fds.frombytes(part)
    return (json.loads(data) if data else None), list(fds)


def _reap(running: dict[int, int]) -> None:
    for pid in list(running):
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            fd = running.pop(pid)
            with contextlib.suppress(OSError):  # nobody waits for it any more
                os.write(fd, f"{os.waitstatus_to_exitcode(status)}\n".encode())
            os.close(fd)


def _become(request: Any, fds: list[int]) -> None:
    """Run the module that the request names, as `python -m` does; never returns."""
    status = 1
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.setsid()
        os.chdir(request["cwd"])
        for source, standard in ((fds[0], 1), (fds[1], 2)):
            os.dup2(source, standard)
        for fd in fds:
            os.close(fd)
        sys.stdout = open(1, "w", buffering=1, closefd=False)  # noqa: SIM115
        sys.stderr = open(2, "w", buffering=1, closefd=False)  # noqa: SIM115
        module, *arguments = request["argv"]
        sys.argv = [module, *arguments]
        runpy.run_module(module, run_name="__main__", alter_sys=True)
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the suite, which hangs up then
    serve(socket.socket(fileno=int(sys.argv[1])), sys.argv[2])
