"""Explores every state of a finite model, breadth first: in C, or in plain Python."""

from cleancut_model.explore.build import NoCompiler, Progress, SearchError
from cleancut_model.explore.fast import How, explore
from cleancut_model.explore.plain import explore as explore_in_python
from cleancut_model.explore.result import Exploration, Limits

__all__ = [
    "Exploration",
    "How",
    "Limits",
    "NoCompiler",
    "Progress",
    "SearchError",
    "explore",
    "explore_in_python",
]
