"""Wrong engines, and the right one, as targets of the suite."""

from typing import Final

from cleancut_conformance.case import Case
from cleancut_conformance.needs import profile_for
from cleancut_conformance.targets.reference import Reference
from cleancut_spec.profiles import DEFAULT

MODULE: Final = "cleancut_conformance.agreement.wrong"
CASE_S: Final = 3.0  # to wait for what a wrong engine does not send


def server(case: Case, engine: str = "") -> Reference:
    """A wrong engine, or the right one, like a version that has all that the case uses."""
    profile = profile_for(case)
    words = () if profile == DEFAULT.name else ("--profile", profile)
    if not engine:
        return Reference(arguments=words)
    return Reference(engine, MODULE, (engine, *words))
