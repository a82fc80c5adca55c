"""The recorded dialogues, error probes and orders of events of QEMU 7.2, on the engine."""

import shutil

import pytest

from tests.dialogues.compare import differences, hold
from tests.dialogues.given import needs_qemu_img
from tests.dialogues.known import excuse, excuses, known
from tests.dialogues.orders import listed, scenarios
from tests.dialogues.probes import probes
from tests.dialogues.recording import recordings

needs_tools = pytest.mark.skipif(not shutil.which("qemu-img"), reason="no qemu-img")
NAMES = [
    pytest.param(each.name, marks=[needs_tools] if needs_qemu_img(each) else [])
    for each in recordings()
]


@pytest.mark.parametrize("name", NAMES)
def test_a_dialogue_is_held_as_with_qemu(name: str) -> None:
    """But for the places that an excuse names, all of which do differ."""
    found = {each.place: str(each) for each in differences(hold(name))}
    assert found.keys() == excuse(name).places, found


def test_errors_are_those_of_qemu() -> None:
    unequal = {probe.name for probe in probes() if not probe.equal}
    assert unequal <= known("probes").keys() | known("out of scope").keys()
    assert len(unequal) <= 0.03 * len(list(probes()))  # those out of scope among them


@pytest.mark.slow
def test_orders_of_events_are_those_of_qemu() -> None:
    """Each job and the client see what they saw in some run; between jobs nothing is promised."""
    unequal = {scenario.name for scenario in scenarios() if scenario.new_but_for_interleaving()}
    assert unequal <= known("orders").keys()


@pytest.mark.slow
def test_known_differences_are_of_something() -> None:
    assert excuses().keys() <= {recording.name for recording in recordings()}
    names = {probe.name for probe in probes()}
    assert known("probes").keys() | known("out of scope").keys() <= names
    assert known("orders").keys() <= listed().keys()


def test_a_difference_is_seen() -> None:
    """A reply, an event and an image that are not as recorded."""
    held = hold("pol_src_report_5_once")
    assert not differences(held)
    for place in (held.played.messages[2], held.played.messages[-3], held.played.looks[-1][1]):
        before = dict(place)
        place["event" if "event" in place else "return" if "return" in place else "md5"] = "other"
        assert differences(held)
        place.clear()
        place.update(before)
