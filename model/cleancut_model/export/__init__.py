"""A finite model in the languages of other checkers."""

from collections.abc import Callable
from typing import Final

from cleancut_model.elaborated import Elaborated
from cleancut_model.export.chc import chc
from cleancut_model.export.dot import dot
from cleancut_model.export.promela import promela
from cleancut_model.export.smtlib import bounded, smtlib
from cleancut_model.export.tla import config, tla

#: The formats, by name.
FORMATS: Final[dict[str, Callable[[Elaborated], str]]] = {
    "promela": promela,
    "tla": tla,
    "tla-config": config,
    "chc": chc,
    "smtlib": smtlib,
    "dot": dot,
}

__all__ = ["FORMATS", "bounded", "chc", "config", "dot", "promela", "smtlib", "tla"]
