"""The always-on judge: a pure reader of traces."""

from cleancut_conformance.judge.finding import Finding
from cleancut_conformance.judge.judge import Judge

__all__ = ["Finding", "Judge"]
