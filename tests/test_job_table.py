"""The client's commands in the model against the job-status table: what is allowed, and no more."""

from dataclasses import replace
from typing import Final

import pytest

from cleancut_model.compiled import compile_model
from cleancut_model.options import PRESETS, Options
from cleancut_model.properties import STATUS
from cleancut_spec.jobs import ALLOWED, Status, Verb

VERBS: Final = {
    "pause": Verb.PAUSE,
    "resume": Verb.RESUME,
    "cancel": Verb.CANCEL,
    "force_cancel": Verb.CANCEL,
    "set_speed": Verb.SET_SPEED,
    "finalize": Verb.FINALIZE,
    "dismiss": Verb.DISMISS,
}

#: What the table allows and the command yet refuses, as QEMU's does.
REFUSED: Final = {
    ("pause", "PAUSED"),  # it is paused already
    ("resume", "RUNNING"),  # it is not paused
    ("cancel", "PAUSED"),  # that needs force
}


def taken(options: Options) -> set[tuple[str, str]]:
    """Each command of a client with each state of the job in which some run has it."""
    model = compile_model(options)
    todo, known, found = [model.initial], {model.initial}, set()
    for state in todo:
        jobs = model.read(state)["js"]
        for action, after in model.successors(state):
            label = model.labels[action]
            if label.name in VERBS:
                found.add((label.name, jobs[label.drive]))
            if after not in known:
                known.add(after)
                todo.append(after)
    return found


@pytest.mark.slow
def test_the_client_can_do_what_the_table_allows_and_no_more() -> None:
    # No command comes before the transaction's reply, so none meets a created job; a backup is
    # never ready nor in standby.
    unseen = {Status.CREATED, Status.READY, Status.STANDBY}
    allowed = {
        (name, state)
        for name, verb in VERBS.items()
        for state, status in STATUS.items()
        if status in ALLOWED[verb] - unseen
    }
    assert allowed >= REFUSED
    options = replace(PRESETS["grouped-manual"], speed=True, errors=0)
    assert taken(options) == allowed - REFUSED
