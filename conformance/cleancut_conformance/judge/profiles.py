"""How the versions of QEMU differ where the judge must know: data, not code."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Profile:
    """What may be demanded of a version."""

    name: str
    job_status_events: bool = True  # JOB_STATUS_CHANGE exists
    busy_by_device: bool = True  # a busy drive is refused by its device name


PROFILES: Final[dict[str, Profile]] = {
    profile.name: profile
    for profile in (
        Profile("2013", job_status_events=False),
        Profile("5.2"),
        Profile("7.2"),
        Profile("10.0"),
        Profile("11"),
    )
}


def profile_for(major: int, minor: int) -> Profile:
    """The newest profile that is not newer than this version of QEMU."""
    best = PROFILES["2013"]
    for profile in PROFILES.values():
        numbers = [int(part) for part in profile.name.split(".")]
        if profile.name != "2013" and numbers <= [major, minor]:
            best = profile
    return best
