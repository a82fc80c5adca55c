"""A run as a file: the instance in the first line, then a step a line."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Final

from cleancut_model.options import Options, OptionsError
from cleancut_spec.schedule import Label, Move, parse_moves

INSTANCE: Final = "# instance: "


def write_schedule(
    options: Options, schedule: Sequence[Label], values: Sequence[int | None], end: str
) -> str:
    """The text of a run; `end` says what it leads to."""
    moves = [Move(label, value) for label, value in zip(schedule, values, strict=True)]
    plain = asdict(Options())
    given = {name: value for name, value in asdict(options).items() if value != plain[name]}
    head = [f"{INSTANCE}{json.dumps(given)}", f"# {end}" if end else "#"]
    return "\n".join([*head, *map(str, moves)]) + "\n"


def read_schedule(text: str) -> tuple[Options, list[Move]]:
    """The instance and the steps; without an instance it is the default one.

    Raises OptionsError and LabelError.
    """
    lines, given = text.splitlines(), {}
    if lines and lines[0].startswith(INSTANCE):
        try:
            given = json.loads(lines[0].removeprefix(INSTANCE))
            given = {k: tuple(v) if isinstance(v, list) else v for k, v in given.items()}
            options = Options(**given)
        except (ValueError, TypeError, AttributeError) as error:
            raise OptionsError(f"the instance in the first line cannot be read: {error}") from None
    else:
        options = Options()
    return options, parse_moves(lines)
