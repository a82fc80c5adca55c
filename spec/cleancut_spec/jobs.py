"""The job-status table: which status may follow which, and which verb is allowed in which.

The one home of these facts; the reference engine, the model and the judge read them here.
Source: QEMU's documentation of `JobStatus` and `JobVerb`, checked against recorded dialogues.
"""

from enum import StrEnum
from typing import Final


class Status(StrEnum):
    """A job's status, spelled as in QMP's `JobStatus`."""

    UNDEFINED = "undefined"
    CREATED = "created"
    RUNNING = "running"
    PAUSED = "paused"
    READY = "ready"
    STANDBY = "standby"
    WAITING = "waiting"
    PENDING = "pending"
    ABORTING = "aborting"
    CONCLUDED = "concluded"
    NULL = "null"


class Verb(StrEnum):
    """What a client can ask of a job, spelled as in QMP's `JobVerb`."""

    CANCEL = "cancel"
    PAUSE = "pause"
    RESUME = "resume"
    SET_SPEED = "set-speed"
    COMPLETE = "complete"
    FINALIZE = "finalize"
    DISMISS = "dismiss"


S = Status

#: `b in FOLLOWS[a]`: a job may change from status a to status b.
FOLLOWS: Final[dict[Status, frozenset[Status]]] = {
    S.UNDEFINED: frozenset({S.CREATED}),
    S.CREATED: frozenset({S.RUNNING, S.ABORTING, S.NULL}),
    S.RUNNING: frozenset({S.PAUSED, S.READY, S.WAITING, S.ABORTING}),
    S.PAUSED: frozenset({S.RUNNING}),
    S.READY: frozenset({S.STANDBY, S.WAITING, S.ABORTING}),
    S.STANDBY: frozenset({S.READY}),
    S.WAITING: frozenset({S.PENDING, S.ABORTING}),
    S.PENDING: frozenset({S.ABORTING, S.CONCLUDED}),
    S.ABORTING: frozenset({S.ABORTING, S.CONCLUDED}),
    S.CONCLUDED: frozenset({S.NULL}),
    S.NULL: frozenset(),
}

#: `status in ALLOWED[verb]`: the verb is accepted in that status.
ALLOWED: Final[dict[Verb, frozenset[Status]]] = {
    Verb.CANCEL: frozenset(
        {S.CREATED, S.RUNNING, S.PAUSED, S.READY, S.STANDBY, S.WAITING, S.PENDING}
    ),
    Verb.PAUSE: frozenset({S.CREATED, S.RUNNING, S.PAUSED, S.READY, S.STANDBY}),
    Verb.RESUME: frozenset({S.CREATED, S.RUNNING, S.PAUSED, S.READY, S.STANDBY}),
    Verb.SET_SPEED: frozenset({S.CREATED, S.RUNNING, S.PAUSED, S.READY, S.STANDBY}),
    Verb.COMPLETE: frozenset({S.READY}),
    Verb.FINALIZE: frozenset({S.PENDING}),
    Verb.DISMISS: frozenset({S.CONCLUDED}),
}
