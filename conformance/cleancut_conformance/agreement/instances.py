"""The instances in which the engine is followed through every schedule."""

from typing import Final

from cleancut_model.options import Options

#: Together they have each part of the protocol that the engine's steps bear labels of.
INSTANCES: Final[dict[str, Options]] = {
    "core": Options(2, 1, 2, 1, 1, monitor=True),
    "clusters": Options(1, 2, 2, 2, 1, monitor=True),
    "stop": Options(2, 1, 2, 1, 1, "stop", monitor=True),
    "enospc": Options(2, 1, 2, 0, 1, "enospc", ("EIO", "ENOSPC"), monitor=True),
    "policies": Options(2, 1, 2, 0, 1, source_policy="ignore", target_policy="stop", monitor=True),
    "manual": Options(2, 1, 2, 0, 1, manual=True, monitor=True),
    "grouped": Options(2, 1, 2, 1, 1, grouped=True, monitor=True),
    "grouped-manual": Options(2, 1, 2, 0, 1, "stop", grouped=True, manual=True, monitor=True),
    "speed": Options(1, 1, 2, 1, 1, speed=True, monitor=True),
    "incremental": Options(1, 2, 2, 2, 1, sync="incremental", again=1, monitor=True),
    "grouped-bitmaps": Options(2, 1, 2, 1, 0, sync="incremental", grouped=True, monitor=True),
    "bitmap-always": Options(
        1, 2, 2, 1, 1, sync="bitmap", bitmap_mode="always", again=1, monitor=True
    ),
    "bitmap-never": Options(
        1, 2, 2, 1, 1, sync="bitmap", bitmap_mode="never", again=1, monitor=True
    ),
    "two-bitmaps": Options(2, 1, 2, 1, 0, sync="bitmap", bitmap_mode="always", monitor=True),
    "none": Options(2, 1, 2, 1, 1, sync="none", manual=True, monitor=True),
    "workers": Options(1, 2, 2, 1, 1, workers=2, monitor=True),
    "again": Options(1, 1, 2, 1, 1, again=2, monitor=True),
    "top": Options(1, 2, 2, 2, 1, sync="top", monitor=True),
    "bitmap-actions": Options(1, 1, 2, 1, 0, control=False, changes=True, again=1, monitor=True),
    "client": Options(1, 1, 2, 1, 1, leaves=True, again=1, monitor=True),
    "tail": Options(1, 2, 2, 1, 1, tail=True, monitor=True),
    "abort": Options(2, 1, 2, 0, 0, other=True, monitor=True),
}

#: Two drives of two clusters each, in both completion modes: each takes a minute or two.
LARGE: Final[dict[str, Options]] = {
    "two-by-two": Options(2, 2, 2, 1, 1, monitor=True),
    "two-by-two-grouped": Options(2, 2, 2, 1, 1, grouped=True, monitor=True),
}

#: What an instance may have beyond sizes and policies.
FOLLOWED: Final = frozenset(
    ("grouped", "manual", "speed", "monitor", "leaves", "changes", "tail", "other")
)
