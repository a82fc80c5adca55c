"""Whether the guest runs. Nothing here depends on it: there are no processors to be stopped."""

from typing import Any

from cleancut_reference.errors import generic
from cleancut_reference.outputs import Event
from cleancut_reference.state import State


def query_status(state: State, arguments: dict[str, Any]) -> Any:
    """The run state."""
    running = state.run_state == "running"
    return {"status": state.run_state, "singlestep": False, "running": running}


def stop(state: State, arguments: dict[str, Any]) -> Any:
    """Stop the guest."""
    if state.run_state == "running":
        state.run_state = "paused"
        state.outbox.append(Event("STOP", {}))
    return {}


def migrate_pause(state: State, arguments: dict[str, Any]) -> Any:
    """Always refused: nothing migrates. The one command that may come out of band."""
    raise generic("migrate-pause is currently only supported during postcopy-active state")


def cont(state: State, arguments: dict[str, Any]) -> Any:
    """Let the guest run."""
    if state.run_state != "running":
        state.run_state = "running"
        state.outbox.append(Event("RESUME", {}))
    return {}
