"""Hold the recorded dialogues of QEMU 7.2 with the engine, and print what differs and why.

python -m tests.dialogues            # every dialogue: equal, or each place that differs
python -m tests.dialogues probes     # the error probes: the score, and each that differs
python -m tests.dialogues orders     # the orders of events: observed with QEMU, or not
python -m tests.dialogues schedules  # search anew by which schedules races go as recorded
"""

import json
import sys
from collections.abc import Iterable

from .compare import differences, hold, search_schedule
from .known import excuse, excuses, known
from .orders import scenarios
from .probes import probes
from .recording import recordings
from .schedules import FOUND


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


def _dialogues() -> int:
    """Print each place that differs, with the reason; 1 if one has none, or none is needed."""
    total = equal = unexpected = 0
    for recording in recordings():
        total, name = total + 1, recording.name
        found, known_ones = differences(hold(name)), excuse(name)
        equal += not found
        if found:
            print(f"{name}: {known_ones.reason}" if known_ones.reason else name)
        for each in found:
            reason = "" if each.place in known_ones.places else "    NO REASON IS KNOWN"
            unexpected += bool(reason)
            print(f"    {each}{reason}")
        for place in sorted(known_ones.places - {each.place for each in found}):
            unexpected += 1
            print(f"{name}: {place} is equal now; it need not be excused")
    print(f"dialogues: {equal} of {total} equal ({100 * equal / total:.1f} %)")
    return 1 if unexpected else 0


def _schedules() -> int:
    """Write a schedule for each dialogue that no excuse covers and that has or needs one."""
    schedules, lost = json.loads(FOUND.read_text()), []
    for recording in recordings():
        name = recording.name
        if name in excuses() or (name not in schedules and not differences(hold(name))):
            continue
        chosen = search_schedule(name)
        print(f"{name}: {'none is found' if chosen is None else f'{len(chosen)} requests'}")
        schedules.pop(name, None)
        if chosen is None:
            lost.append(name)
        elif chosen:
            schedules[name] = chosen
    FOUND.write_text(json.dumps(schedules, indent=2) + "\n")
    return 1 if lost else 0


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
    kinds = {
        "dialogues": _dialogues,
        "probes": lambda: _report("probes", _probes()),
        "orders": lambda: _report("orders", _orders()),
        "schedules": _schedules,
    }
    kind = arguments[0] if arguments else "dialogues"
    if kind not in kinds:
        print(__doc__, file=sys.stderr)
        return 2
    return kinds[kind]()


sys.exit(main(sys.argv[1:]))
