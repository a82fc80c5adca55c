"""The client's side of a case: sends, waits, and keeps what came for later expectations."""

import json
import queue
import time
from collections.abc import Callable
from typing import Any, Final

from cleancut_conformance.console import Console, Request
from cleancut_conformance.expect import matches
from cleancut_conformance.qemu_io import monitor
from cleancut_conformance.recorder import Recorder
from cleancut_conformance.targets.base import START_S, Session
from cleancut_conformance.wire import Closed, Late

POLL_S: Final = 0.02


class Deviation(Exception):
    """The target does not do what the case expects; the clause may be empty (the case's first)."""

    def __init__(self, message: str, clause: str = "") -> None:
        super().__init__(message)
        self.clause = clause


class Silence(Deviation):
    """What must come does not come in time."""


class Stuck(Exception):
    """The case cannot go on for a reason that is no deviation."""


class Lost(Exception):
    """The connection has ended."""


class Dialogue:
    """One connection, with the replies and events that no expectation has taken yet."""

    def __init__(self, session: Session, recorder: Recorder, clause: str, timeout_s: float) -> None:
        self.session = session
        self.clause = clause  # what a demand breaks that names none
        self.recorder = recorder
        self.timeout_s = timeout_s
        self.greeted = self.has_quit = self.killed = False
        self.events: list[Any] = []  # not taken by an expectation yet
        self.all_events: list[Any] = []
        self._replies: list[Any] = []
        self._console = Console()

    def open(self) -> None:
        """Take the greeting and negotiate; a program that we have started may take its time."""
        patience_s = max(self.timeout_s, START_S) if self.session.command else self.timeout_s
        asked_s, self.timeout_s = self.timeout_s, patience_s
        self._receive_until(lambda: bool(self._replies), "the greeting", "QMP-GREET-1")
        self._replies.clear()
        self.greeted = True
        self.send([{"execute": "qmp_capabilities"}])
        if "error" in (reply := self.reply("qmp_capabilities")):
            words = f"the server refuses to negotiate: {json.dumps(reply['error'])[:200]}"
            raise Deviation(words, "QMP-NEGOTIATE-1")
        self.timeout_s = asked_s

    def again(self, name: str) -> None:
        """Open a connection of a new client."""
        self.session.reconnect(self.timeout_s)
        self._begin_anew(name)

    def kill(self) -> None:
        """End the process, which has no say in it."""
        self.session.end_process()
        self.killed = True
        while not self.session.console.empty():
            self.session.console.get()
        self._console.open.clear()

    def restart(self) -> None:
        """Start the program again after `kill`."""
        self.session.start_again(self.timeout_s)
        self.killed = False
        self._begin_anew("restarted", server="new")

    def _begin_anew(self, name: str, **more: str) -> None:
        """Be greeted again; the mark tells the judge what is new."""
        self._replies.clear()
        self.recorder.add("mark", note={"name": name, "connection": "new", **more})
        self.greeted = False
        self.open()

    # ---- sending

    def send(self, requests: list[Any]) -> None:
        """Send requests in one packet."""
        for request in requests:
            self.recorder.add("send", request)
        self._send("".join(json.dumps(request) + "\n" for request in requests).encode())

    def send_raw(self, text: str) -> None:
        """Send a text as it is; each character is one byte."""
        self.recorder.add("send", raw=text)
        self._send(text.encode("latin-1"))

    def _send(self, data: bytes) -> None:
        try:
            self.session.connection.send(data)
        except Closed:
            raise Lost from None
        except Late:
            raise Silence("the server does not read its socket", "QMP-ORDER-1") from None

    def guest_request(self, guest: str, command: str) -> tuple[Request, Any]:
        """Begin a guest request; the monitor command that makes it, if that is the way."""
        guests = self.session.guests
        by = {"by": "nbd"} if guests is not None else {}
        self.recorder.add("io", note={"guest": guest, "cmd": command, **by})
        request = Request(guest, command)
        if request.kind != "flush" or guests is not None:
            self._console.open.append(request)
        if guests is not None:
            guests.ask(guest, command)
            return request, None
        return request, monitor(guest, command)

    # ---- waiting

    def reply(self, what: str, clause: str = "QMP-ORDER-1") -> Any:
        """The oldest reply that nobody has taken."""
        self._receive_until(lambda: bool(self._replies), f"a reply to {what}", clause)
        return self._replies.pop(0)

    def event(self, pattern: Any) -> None:
        """Take an event that matches, whether it has come or is still to come."""
        found: list[Any] = []

        def seen() -> bool:
            found[:] = [event for event in self.events if matches(pattern, event)]
            return bool(found)

        self._receive_until(seen, f"the event {json.dumps(pattern)}", "")
        self.events.remove(found[0])

    def silence(self, pattern: Any, seconds: float) -> None:
        """No event that matches comes in this time."""
        deadline = time.monotonic() + seconds
        while (left_s := deadline - time.monotonic()) > 0:
            before = len(self.all_events)
            try:
                self._receive(left_s)
            except Late:
                return
            for event in self.all_events[before:]:
                if matches(pattern, event):
                    raise Deviation(f"an event that is not expected: {json.dumps(event)}")

    def jobs_end(self, job_ids: list[str]) -> None:
        """Wait until these jobs exist no more."""
        jobs = self.recorder.judge.jobs
        words = f"the end of {', '.join(job_ids)}"
        self._receive_until(lambda: not set(job_ids) & jobs.keys(), words, "JOB-END-1")

    def io_result(self, request: Request) -> str:
        """How a guest request ends."""
        deadline = time.monotonic() + self.timeout_s
        while not request.result:
            self._read_console(deadline, request)
        return request.result

    def io_end(self) -> None:
        """Wait for every guest request that is still open."""
        for request in list(self._console.open):
            self.io_result(request)

    def request_held(self, tag: str) -> None:
        """Wait until a request is held under this tag."""
        deadline = time.monotonic() + self.timeout_s
        while tag not in self._console.held:
            if not self._console_line(deadline - time.monotonic()):
                raise Silence(f"no request is held as {tag!r}", "")

    def open_requests(self, expected: int, seconds: float) -> int:
        """How many guest requests are open, this long after no more than expected are."""
        deadline = time.monotonic() + self.timeout_s
        while len(self._console.open) > expected:
            if not self._console_line(deadline - time.monotonic()):
                return len(self._console.open)
        deadline = time.monotonic() + seconds
        while (left_s := deadline - time.monotonic()) > 0:
            self._console_line(left_s)
        return len(self._console.open)

    def _console_line(self, timeout_s: float) -> bool:
        """Take one line of the console, if one comes in this time."""
        try:
            guest, line = self.session.console.get(timeout=max(0.001, timeout_s))
        except queue.Empty:
            return False
        self._ended(self._console.line(line, guest))
        return True

    def _ended(self, request: Request | None) -> None:
        if request is not None:
            note = {"guest": request.guest, "cmd": request.command, "result": request.result}
            self.recorder.add("io", note=note)

    def _read_console(self, deadline: float, request: Request) -> None:
        if request.kind == "flush" and self.session.guests is None:
            request.result = "ok"  # qemu-io prints nothing of it
            self._ended(request)
        elif not self._console_line(deadline - time.monotonic()):
            words = f"{request.guest} {request.command!r} does not end"
            raise Silence(words, "GUEST-LIVE-1")

    def quit(self) -> None:
        """End the server; it says SHUTDOWN and hangs up."""
        self.has_quit = True
        self.send([{"execute": "quit"}])
        try:
            self.reply("quit", "JOB-QUIT-1")
            deadline = time.monotonic() + self.timeout_s  # even for one that goes on talking
            while True:
                self._receive(deadline - time.monotonic())
        except (Lost, Closed):
            return
        except Late:
            raise Silence("the server does not hang up after quit", "JOB-QUIT-1") from None

    def _receive_until(self, done: Callable[[], bool], what: str, clause: str) -> None:
        deadline = time.monotonic() + self.timeout_s
        while not done():
            try:
                self._receive(deadline - time.monotonic())
            except Late:
                words = f"{what} does not come within {self.timeout_s:g} s"
                raise Silence(words, clause) from None

    def _receive(self, timeout_s: float) -> None:
        try:
            message = self.session.connection.receive(timeout_s)
        except Closed:
            raise Lost from None
        if isinstance(message, bytes):
            self.recorder.add("recv", raw=message.decode(errors="replace"))
            return
        self.recorder.add("recv", message)
        if isinstance(message, dict) and "event" in message:
            self.events.append(message)
            self.all_events.append(message)
        else:
            self._replies.append(message)
