"""The differences that are known, each with its reason, in `tests/data/differences-7.2.json`."""

import json

from .recording import DATA


def known(kind: str) -> dict[str, str]:
    """The reasons by name; `kind` is dialogues, probes, orders, or (probes) out of scope."""
    text = (DATA / "differences-7.2.json").read_text()
    reasons: dict[str, str] = json.loads(text)[kind]
    return reasons
