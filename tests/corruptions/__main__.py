"""Corrupt the recorded traces and print what the judge sees.

`python -m tests.corruptions` draws up to 4 places of each kind in each trace; `--all` takes every
place; names of kinds take these alone; `--missed` shows where nothing was seen. Exit code 1 if
less than 97 % of the places are seen, in all or of one kind.
"""

import argparse
import random
import sys
import time

from tests.corruptions import KINDS, Kind, load, places
from tests.corruptions.trace import broken

WANTED = 0.97


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m tests.corruptions")
    parser.add_argument("kinds", nargs="*", metavar="KIND")
    parser.add_argument("--all", action="store_true", help="every place, not a sample")
    parser.add_argument("--each", type=int, default=4, metavar="N", help="places of a trace")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--missed", action="store_true", help="show where nothing was seen")
    options = parser.parse_args()
    unknown = set(options.kinds) - KINDS.keys()
    if unknown:
        parser.error(f"no kind {', '.join(sorted(unknown))}; there are {', '.join(KINDS)}")
    traces, started = load(), time.monotonic()
    at_most = None if options.all else options.each
    kinds = [Kind(KINDS[name]) for name in options.kinds or KINDS]
    for kind in kinds:
        chance = random.Random(f"{options.seed} {kind.name}")
        for trace, records in places(kind.corrupt, traces, at_most, chance):
            kind.places += 1
            seen = bool(broken(records))
            kind.seen += seen
            if not seen:
                kind.missed.append(trace.name)
        share = kind.seen / kind.places if kind.places else 0
        counts = f"{share:7.1%} {kind.seen:>6} of {kind.places:>6}"
        print(f"{counts}  {kind.name:<42} {kind.words}", flush=True)
        for name in kind.missed if options.missed else []:
            print(f"          not in {name}")
    total, seen = sum(k.places for k in kinds), sum(k.seen for k in kinds)
    seconds = time.monotonic() - started
    print(f"{seen / max(total, 1):7.1%} {seen:>6} of {total:>6}  in {len(kinds)} kinds, "
          f"{len(traces)} traces, {seconds:.0f} s")  # fmt: skip
    return 0 if all(k.places and k.seen >= WANTED * k.places for k in kinds) else 1


if __name__ == "__main__":
    sys.exit(main())
