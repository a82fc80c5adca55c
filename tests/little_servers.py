"""Servers that are wrong as whole programs, each a few lines over docs/adapters/first_server.py."""

import os
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent / "docs" / "adapters"))

import first_server


class YesToAll(first_server.Client):
    """Answers every request with the same success."""

    def answer(self, request: Any) -> dict[str, Any]:
        return {"return": {}}


class NoToAll(first_server.Client):
    """Knows no command."""

    def result(self, request: dict[str, Any]) -> dict[str, Any]:
        name = request.get("execute")
        return first_server.error("CommandNotFound", f"The command {name} has not been found")


class Crashes(first_server.Client):
    """Ends when it is asked for a status."""

    def result(self, request: dict[str, Any]) -> dict[str, Any]:
        if request.get("execute") == "query-status":
            print("the status is lost", file=sys.stderr, flush=True)
            os._exit(3)
        return super().result(request)


class Hangs(first_server.Client):
    """Is silent when it is asked for a status."""

    def result(self, request: dict[str, Any]) -> dict[str, Any]:
        if request.get("execute") == "query-status":
            print("thinking", file=sys.stderr, flush=True)
            time.sleep(600)
        return super().result(request)


if __name__ == "__main__":
    first_server.Client = globals()[sys.argv[1]]  # type: ignore[misc]
    first_server.main(sys.argv[2])
