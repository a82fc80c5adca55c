"""The profiles: how the versions of QEMU differ in what this specification is about.

The one home of these facts; the reference server behaves by them, the judge demands by them. The
differences of the QMP schema are in `schema/profiles.json`. Source: 5.2, 7.2, 10.0 and 11 were
measured on running programs; 2013 is the patch that added backups to `transaction`, read.
"""

import re
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Rewording:
    """How a version says what 7.2 says otherwise: a pattern of 7.2's text and what stands for it.

    `kind` is the error's class where that is another one, too.
    """

    pattern: str
    text: str
    kind: str = ""


@dataclass(frozen=True, slots=True)
class Profile:
    """One version: the defaults are those of 7.2."""

    name: str
    version: str
    job_status_events: bool = True  # JOB_STATUS_CHANGE and BLOCK_JOB_PENDING exist
    whole_clusters: bool = True  # a job's `len` counts whole clusters, not the image's bytes
    starts_in_prepare: bool = False  # a job runs before all are prepared; taken back, it tells so
    commits_newest_first: bool = False  # the last action of a transaction starts first
    groups_first: bool = False  # what cannot be grouped is refused before anything is prepared
    quit_answers_first: bool = False  # before SHUTDOWN and the end of the jobs
    pause_waits: bool = True  # until the job stands still
    pauses_once: bool = True  # a second pause is refused, and a resume of what is not paused
    checks_size: bool = True  # a target of another size is refused
    stop_needs_io_status: bool = False  # on-source-error=stop|enospc needs a guest's device
    filter_driver: str = "copy-before-write"
    max_chunk_bytes: int = 1 << 20  # of one background copy
    human_error_prefix: str = ""  # of the human monitor
    rewordings: tuple[Rewording, ...] = ()

    def reword(self, kind: str, desc: str) -> tuple[str, str]:
        """Class and text of an error, from those of 7.2."""
        for wording in self.rewordings:
            match = re.fullmatch(wording.pattern, desc, re.DOTALL)
            if match is not None:
                return wording.kind or kind, match.expand(wording.text)
        return kind, desc


_NO_DEVICE: Final = r"Cannot find device='(.*)' nor node-name='(.*)'"
_BAD_VALUE: Final = Rewording(
    r"Parameter '[^']*' does not accept value '(.*)'", r"Invalid parameter '\1'"
)
_LOWER_CASE: Final = Rewording(
    r"(Action '.*' does not support )Transaction( property .*)", r"\1transaction\2"
)

#: A 10.0 blocks the node where 7.2 says that its device is in use.
_RESIZE_BUSY: Final = Rewording(
    r"Device '(.*)' is in use",
    r"Node '\1' is busy: block device is in use by block job: backup",
)

PROFILES: Final[dict[str, Profile]] = {
    profile.name: profile
    for profile in (
        Profile(
            "2013",
            "1.5.50",
            job_status_events=False,
            whole_clusters=False,
            starts_in_prepare=True,
            quit_answers_first=True,
            pause_waits=False,
            pauses_once=False,
            checks_size=False,
            stop_needs_io_status=True,
            max_chunk_bytes=1 << 16,
            rewordings=(
                Rewording(_NO_DEVICE, r"Device '\1' not found", "DeviceNotFound"),
                Rewording(r"Node '(.*)' is busy: .*", r"Device '\1' is in use"),
                Rewording(r"Block job '(.*)' not found", r"No active block job on device '\1'"),
                Rewording(
                    r"Job '(.*)' in state '.*' cannot accept command verb 'complete'",
                    r"The active block job for device '\1' cannot be completed",
                ),
                Rewording(
                    r"Parameter 'speed' expects a non-negative value", r"Invalid parameter 'speed'"
                ),
                Rewording(r"Unknown file format '(.*)'", r"Invalid block format '\1'"),
                Rewording(r"Parameter '(.*)' is unexpected", r"Invalid parameter '\1'"),
                _BAD_VALUE,
            ),
        ),
        Profile(
            "5.2",
            "5.2.0",
            quit_answers_first=True,
            pause_waits=False,
            filter_driver="backup-top",
            max_chunk_bytes=1 << 16,
            rewordings=(
                Rewording(_NO_DEVICE, r"Cannot find device=\1 nor node_name=\2"),
                Rewording(r"Could not create node: (.*)", r"\1"),
                _BAD_VALUE,
            ),
        ),
        Profile("7.2", "7.2.0"),
        Profile(
            "10.0",
            "10.0.0",
            commits_newest_first=True,
            groups_first=True,
            rewordings=(_LOWER_CASE, _RESIZE_BUSY),
        ),
        Profile(
            "11",
            "11.1.0",
            commits_newest_first=True,
            groups_first=True,
            human_error_prefix="Error: ",
            rewordings=(_LOWER_CASE, _RESIZE_BUSY),
        ),
    )
}

DEFAULT: Final = PROFILES["7.2"]
OLDEST: Final = next(iter(PROFILES))


def profile_for(major: int, minor: int) -> Profile:
    """The newest profile that is not newer than this version of QEMU."""
    best = PROFILES[OLDEST]
    for profile in PROFILES.values():
        numbers = [int(part) for part in profile.name.split(".")]
        if profile.name != OLDEST and numbers <= [major, minor]:
            best = profile
    return best
