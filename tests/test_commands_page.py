"""A reader finds what a command means within two hops: its line on the page, then the function."""

from inspect import getdoc

import pytest

from cleancut_reference.actions.table import KINDS
from cleancut_reference.commands import COMMANDS
from cleancut_reference.introspection import served
from tests.commands_page import ACTIONS, CLASSES, PAGE, home, render

SERVED = [e["name"] for e in served([*COMMANDS, "qmp_capabilities"]) if e["meta-type"] == "command"]


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == render(), "run `make matrix`"


@pytest.mark.parametrize("name", SERVED)
def test_each_command_that_is_served_has_its_place(name: str) -> None:
    """A function or a class with a name and a sentence of its own, and its line on the page."""
    thing = home(name)
    assert "<" not in thing.__qualname__ and getdoc(thing)
    assert f"| `{name}` |" in PAGE.read_text(encoding="utf-8")


def test_each_kind_of_action_has_its_place() -> None:
    assert ACTIONS.keys() == KINDS.keys()
    assert CLASSES.keys() <= {*COMMANDS, "qmp_capabilities"}
