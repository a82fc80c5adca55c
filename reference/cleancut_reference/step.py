"""A step: one thing that could happen next; the schedule picks which."""

from collections.abc import Callable
from typing import NamedTuple

from cleancut_reference.block.request import DiskRequest, Outcome
from cleancut_spec.schedule import Label


class Step(NamedTuple):
    """An enabled step.

    If it has `io`, whoever takes the step performs that request first and passes what it answers.
    `run` changes the state and returns the label of what really happened: for a step labelled
    `copy_read d0 c1` whose read failed, `fail_copy_read d0 c1 EIO`. Steps that the model does not
    have bear None.
    """

    label: Label | None
    run: Callable[[Outcome], Label | None]
    io: DiskRequest | None = None
