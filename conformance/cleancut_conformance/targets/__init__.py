"""Ways to start an implementation and to look at it."""

from cleancut_conformance.targets.base import Session, Setup, Target, TargetError
from cleancut_conformance.targets.choose import choose

__all__ = ["Session", "Setup", "Target", "TargetError", "choose"]
