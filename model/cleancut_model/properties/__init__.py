"""What the protocol promises, each claim with the clauses that it is the model's reading of."""

from cleancut_model.properties import (
    bitmap_actions,
    bitmaps,
    point_in_time,
    tail,
    transaction,
)  # they register their claims
from cleancut_model.properties.jobs import STATUS, follows
from cleancut_model.properties.registry import STATES, STEPS, WITNESSES, of_instance
from cleancut_model.properties.witnesses import ended, waits

__all__ = [
    "STATES",
    "STATUS",
    "STEPS",
    "WITNESSES",
    "bitmap_actions",
    "bitmaps",
    "ended",
    "follows",
    "of_instance",
    "point_in_time",
    "tail",
    "transaction",
    "waits",
]
