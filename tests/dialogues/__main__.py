"""Hold the recorded dialogues of QEMU 7.2 with the engine, and print what differs and why.

python -m tests.dialogues            # every dialogue: equal, or the first difference
python -m tests.dialogues probes     # the error probes: the score, and each that differs
python -m tests.dialogues orders     # the orders of events: observed with QEMU, or not
"""

import sys
from collections.abc import Iterable

from .compare import first_difference, hold
from .known import known
from .orders import scenarios
from .probes import probes
from .recording import recordings


def _report(kind: str, differences: Iterable[tuple[str, str]]) -> int:
    """Print each difference with its reason; 1 if one has none."""
    reasons, total, unknown = known(kind), 0, 0
    unequal: list[str] = []
    for name, difference in differences:
        total += 1
        if not difference:
            if name in reasons:
                print(f"{name}: equal now; its reason can go")
            continue
        unequal.append(name)
        unknown += name not in reasons
        print(f"{name}\n    {difference}\n    {reasons.get(name, 'NO REASON IS KNOWN')}")
    equal = total - len(unequal)
    print(f"{kind}: {equal} of {total} equal ({100 * equal / total:.1f} %)")
    return 1 if unknown else 0


def _dialogues() -> Iterable[tuple[str, str]]:
    for recording in recordings():
        yield recording.name, first_difference(hold(recording.name))


def _probes() -> Iterable[tuple[str, str]]:
    outside = known("out of scope")
    for name, reason in outside.items():
        print(f"{name}: not counted, {reason}")
    for probe in probes():
        if probe.name in outside:
            continue
        unequal = f"QEMU {' '.join(probe.recorded)}, here {' '.join(probe.said)}"
        yield probe.name, "" if probe.equal else unequal


def _orders() -> Iterable[tuple[str, str]]:
    for scenario in scenarios():
        if (new := scenario.new()) and not scenario.new_but_for_interleaving():
            print(f"{scenario.name}: each job as observed, interleaved otherwise: {min(new)}")
        yield scenario.name, "; ".join(sorted(scenario.new_but_for_interleaving()))


def main(arguments: list[str]) -> int:
    kinds = {"dialogues": _dialogues, "probes": _probes, "orders": _orders}
    kind = arguments[0] if arguments else "dialogues"
    if kind not in kinds:
        print(__doc__, file=sys.stderr)
        return 2
    return _report(kind, kinds[kind]())


sys.exit(main(sys.argv[1:]))
