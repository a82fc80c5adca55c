"""The options of the commands that choose an instance of the model."""

from collections.abc import Callable
from dataclasses import replace
from functools import wraps
from typing import Any, Final

import click

from cleancut_model.bugs import BUGS, instance_of
from cleancut_model.language import MutationError
from cleancut_model.options import (
    BITMAP_MODES,
    PARTS,
    POLICIES,
    PRESETS,
    SYNCS,
    Options,
    OptionsError,
)

_NAMES: Final = (
    *("policy", "source_policy", "target_policy", "sync", "bitmap_mode", "control"),
    *("drives", "clusters", "values"),
    *("writes", "errors", "requests", "workers", "again"),
)

_CHOICE: Final = (
    click.option("--preset", type=click.Choice(list(PRESETS)),
                 help="A small instance to start from; what is given besides is changed in it."),
    click.option("--policy", type=click.Choice(POLICIES),
                 help="About I/O errors on either side. [report]"),
    click.option("--source-policy", type=click.Choice(POLICIES), help="About the drive alone."),
    click.option("--target-policy", type=click.Choice(POLICIES), help="About the target alone."),
    click.option("--sync", type=click.Choice(SYNCS), help="What is copied. [full]"),
    click.option("--bitmap-mode", type=click.Choice(BITMAP_MODES), help="With sync bitmap."),
    click.option("--control/--no-control", default=None,
                 help="The client pauses, resumes, cancels. [control]"),
    click.option("--with", "parts", type=click.Choice(list(PARTS)), multiple=True,
                 help="A part of the protocol, switched on; may be given again."),
    click.option("--bug", type=click.Choice(list(BUGS)),
                 help="Build a bug in; without a preset, in an instance that shows it."),
)  # fmt: skip

_SIZES: Final = (
    click.option("--drives", type=click.IntRange(1, 4), help="[2]"),
    click.option("--clusters", type=click.IntRange(1, 4), help="[2]"),
    click.option("--values", type=click.IntRange(2, 4), help="What a cluster may hold. [2]"),
    click.option("--writes", type=click.IntRange(0, 6), help="Guest writes in all. [1]"),
    click.option("--errors", type=click.IntRange(0, 4), help="I/O errors of each drive. [0]"),
    click.option("--requests", type=click.IntRange(1, 3),
                 help="Guest writes in flight on a drive. [1]"),
    click.option("--workers", type=click.IntRange(1, 3),
                 help="Background copies in flight on a drive. [1]"),
    click.option("--again", type=click.IntRange(0, 3),
                 help="Further transactions after the first. [0]"),
)  # fmt: skip


def _choose(preset: str | None, bug: str | None, given: dict[str, Any], plain: Options) -> Options:
    options = PRESETS[preset] if preset else instance_of(bug) if bug else plain
    if "policy" in given:  # it is for both sides, whatever the preset says of one
        given = {"source_policy": "", "target_policy": "", **given}
    options = replace(options, **given, bug=bug or "")
    return replace(options, errnos=("EIO", "ENOSPC")) if options.has("policies=enospc") else options


def chooses_instance(
    *, sizes: bool = True, small: bool = False
) -> Callable[[Callable[..., int]], Callable[..., int]]:
    """The command gets the instance as `options`; without sizes it is one for any number.

    Where nothing is asked for it is the default one, or a small one.
    """
    plain = PRESETS["core"] if small else Options()
    offered = (*_CHOICE, *_SIZES) if sizes else _CHOICE

    def decorate(command: Callable[..., int]) -> Callable[..., int]:
        @wraps(command)
        def with_options(
            preset: str | None, bug: str | None, parts: tuple[str, ...], **others: Any
        ) -> int:
            asked = {name: others.pop(name, None) for name in _NAMES}
            given = {name: value for name, value in asked.items() if value is not None}
            try:
                options = _choose(preset, bug, {**given, **dict.fromkeys(parts, True)}, plain)
                return command(options, **others)
            except OptionsError as error:
                raise click.UsageError(str(error)) from None
            except MutationError as error:
                raise click.UsageError(
                    f"bug {bug} does not fit this instance: {error}; without further options "
                    f"it gets preset {BUGS[str(bug)].preset}"
                ) from None

        for option in reversed(offered):
            with_options = option(with_options)
        return with_options

    return decorate
