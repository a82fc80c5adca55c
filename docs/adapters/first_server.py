#!/usr/bin/env python3
"""A QMP server to begin with: it greets, negotiates and answers, and has no block jobs yet.

`cleancut conform --target adapter:docs/adapters/first_server.toml` judges it and tells what to
implement next. It needs nothing but Python.
"""

import json
import socket
import sys
from collections.abc import Iterator
from typing import Any

VERSION = {"qemu": {"major": 7, "minor": 2, "micro": 0}, "package": "first-server"}


def error(kind: str, text: str) -> dict[str, Any]:
    """A refusal, as QMP writes it."""
    return {"error": {"class": kind, "desc": text}}


class Client:
    """One connection: what has been negotiated, and the answers to its commands."""

    def __init__(self) -> None:
        self.negotiated = self.ended = False
        self.commands = {
            "qmp_capabilities": self.negotiate,
            "query-commands": lambda: [{"name": name} for name in self.commands],
            "query-status": lambda: {"running": True, "status": "running"},
            "query-version": lambda: VERSION,
            "quit": self.quit,
        }

    def negotiate(self) -> Any:
        """Let the other commands in."""
        self.negotiated = True
        return {}

    def quit(self) -> Any:
        """Note that the server is to end."""
        self.ended = True
        return {}

    def answer(self, request: Any) -> dict[str, Any]:
        """The reply to a request, with its id."""
        if not isinstance(request, dict):
            return error("GenericError", "a request is a JSON object")
        identity = {"id": request["id"]} if "id" in request else {}
        return {**self.result(request), **identity}

    def result(self, request: dict[str, Any]) -> dict[str, Any]:
        """The reply to a command."""
        name = request.get("execute")
        if not isinstance(name, str):
            return error("GenericError", "a request names a command: 'execute'")
        known = name in self.commands and self.negotiated == (name != "qmp_capabilities")
        if not known:
            return error("CommandNotFound", f"The command {name} has not been found")
        return {"return": self.commands[name]()}


def requests(connection: socket.socket) -> Iterator[Any]:
    """The JSON values that come; None for what is none, up to the end of its line."""
    decoder, text = json.JSONDecoder(), ""
    while data := connection.recv(65536):
        text = (text + data.decode("latin-1")).lstrip()
        while text:
            try:
                value, end = decoder.raw_decode(text)
            except ValueError:
                if "\n" not in text:
                    break  # the rest is still to come
                value, end = None, text.index("\n")
            text = text[end:].lstrip()
            yield value


def main(path: str) -> None:
    """Serve one client after the other until one of them says quit."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen()
    while True:
        connection, _ = listener.accept()
        client = Client()

        def say(message: Any, to: socket.socket = connection) -> None:
            to.sendall(json.dumps(message).encode() + b"\r\n")

        say({"QMP": {"version": VERSION, "capabilities": []}})
        for request in requests(connection):
            reply = client.answer(request)
            if client.ended:
                stamp = {"seconds": 0, "microseconds": 0}
                why = {"guest": False, "reason": "host-qmp-quit"}
                say({"event": "SHUTDOWN", "data": why, "timestamp": stamp})
                say(reply)
                return
            say(reply)


if __name__ == "__main__":
    main(sys.argv[1])
