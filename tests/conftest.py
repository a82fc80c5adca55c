"""Settings for all tests: time is no property of the code, and CI draws the same cases."""

import os
import signal

from hypothesis import HealthCheck, settings

SLOW_MACHINE = [HealthCheck.too_slow]
settings.register_profile("here", deadline=None, suppress_health_check=SLOW_MACHINE)
settings.register_profile(
    "ci", deadline=None, suppress_health_check=SLOW_MACHINE, derandomize=True, database=None
)
settings.load_profile("ci" if os.environ.get("CI") else "here")


def pytest_configure() -> None:
    """A shell's background job ignores Ctrl-C, and so would every program that a test starts."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
