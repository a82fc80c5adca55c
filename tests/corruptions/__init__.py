"""Recorded dialogues with one thing made wrong, each of which the judge must notice.

A *kind* yields copies of a trace, one for each place where the wrong thing breaks a clause.
`python -m tests.corruptions` prints for each kind in how many of its places the judge sees it.
"""

from tests.corruptions import data, jobs, replies
from tests.corruptions.trace import KINDS, Kind, Trace, load, places

__all__ = ["KINDS", "Kind", "Trace", "data", "jobs", "load", "places", "replies"]
