"""Fuzz the server for as long as you like, and tell what was found.

python -m tests.fuzzing --minutes 10 [--seed N]

Ends with status 1 and the shortest dialogue at the first guarantee that is not kept.
"""

import argparse
import random
import sys
import time
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings

from cleancut_spec.profiles import PROFILES

from .driver import hold
from .requests import ANY, BACKUPS, SEEDS, dialogues


def main(words: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzzing", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 30))
    options = parser.parse_args(words)
    print(f"seed {options.seed}", flush=True)
    end = time.monotonic() + options.minutes * 60
    counts = {"dialogues": 0, "requests": 0}
    number = 0
    while time.monotonic() < end:
        _search(number, options.seed + number, counts)
        number += 1
        told = f"{counts['dialogues']} dialogues, {counts['requests']} requests"
        print(f"\r{told}", end="", flush=True)
    print(": every guarantee kept")
    return 0


def _search(number: int, seed_: int, counts: dict[str, int]) -> None:
    """A hundred dialogues, with one of the profiles."""
    foretold, profile = number % 2 == 0, list(PROFILES)[number // 2 % len(PROFILES)]

    @seed(seed_)
    @settings(max_examples=100, deadline=None, database=None,
              suppress_health_check=list(HealthCheck),
              phases=[Phase.generate, Phase.shrink])  # fmt: skip
    @given(dialogues(BACKUPS if foretold else ANY), SEEDS)
    def one(sent: list[tuple[Any, int]], order: int) -> None:
        counts["dialogues"] += 1
        counts["requests"] += len(sent)
        hold(sent, profile, order, foretold=foretold)

    one()


sys.exit(main(sys.argv[1:]))
