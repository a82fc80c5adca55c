"""The differences that are known, each with its reason, in `tests/data/differences-7.2.json`."""

import json

from .recording import DATA


def known(kind: str) -> dict[str, str]:
    """The reasons by name, of one kind: `dialogues`, `probes` or `orders`."""
    text = (DATA / "differences-7.2.json").read_text()
    reasons: dict[str, str] = json.loads(text)[kind]
    return reasons
