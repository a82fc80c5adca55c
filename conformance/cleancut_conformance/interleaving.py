"""The verbs of a case that decide what happens first: requests held, connections dropped, ends."""

from collections.abc import Callable
from typing import Any, Final

from cleancut_conformance import small_disks
from cleancut_conformance.case import parse_size
from cleancut_conformance.dialogue import Deviation, Dialogue
from cleancut_conformance.qemu_io import monitor
from cleancut_conformance.targets.layers import EVENTS

Step = dict[str, Any]


def _monitor(drive: str, command: str, dialogue: Dialogue) -> None:
    """A word to the gate of a drive, which the human monitor carries there."""
    dialogue.send([monitor(drive, command)])
    reply = dialogue.reply(f"qemu-io {drive} {command!r}")
    if reply.get("return") != "":
        raise Deviation(f"{drive} {command!r}: {str(reply)[:200]}")


def _hold(step: Step, dialogue: Dialogue) -> None:
    """The next request of this kind that comes to the gate stops there."""
    words = step["hold"]
    _monitor(words["drive"], f"break {EVENTS[words['op']]} {words['as']}", dialogue)


def _held(step: Step, dialogue: Dialogue) -> None:
    """Wait until a request stands at the gate."""
    dialogue.request_held(step["held"])


def _release(step: Step, dialogue: Dialogue) -> None:
    """Let the request go on."""
    words = step["release"]
    _monitor(words["drive"], f"resume {words['as']}", dialogue)


def _still_open(step: Step, dialogue: Dialogue) -> None:
    """So many guest requests are left open, once the others have ended, and stay so this long."""
    count = dialogue.open_requests(step["still-open"], step["for_ms"] / 1000)
    if count != step["still-open"]:
        words = f"{count} guest requests are open, not {step['still-open']}"
        raise Deviation(words, "CBW-OVERLAP-1")


def _reconnect(_: Step, dialogue: Dialogue) -> None:
    """Hang up, in the middle of whatever is going on, and come back as a new client."""
    dialogue.again("reconnected")


def _kill(_: Step, dialogue: Dialogue) -> None:
    """End the process as a power failure of it would."""
    dialogue.kill()


def _restart(_: Step, dialogue: Dialogue) -> None:
    """Start the program again on what is left of the images."""
    dialogue.restart()


def _grow(step: Step, dialogue: Dialogue) -> None:
    """Make a small disk bigger."""
    for name, size in step["grow"].items():
        small_disks.resize(dialogue.session.setup.folder / name, parse_size(size))


VERBS: Final[dict[str, Callable[[Step, Dialogue], None]]] = {
    "hold": _hold,
    "held": _held,
    "release": _release,
    "still-open": _still_open,
    "reconnect": _reconnect,
    "kill": _kill,
    "restart": _restart,
    "grow": _grow,
}
