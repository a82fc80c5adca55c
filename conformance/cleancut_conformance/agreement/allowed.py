"""What the model allows in a state, sorted by who does it."""

from collections.abc import Set
from functools import cache
from typing import Final, NamedTuple

from cleancut_conformance.client_steps import COMMANDS
from cleancut_model.compiled import Compiled, Values, compile_model
from cleancut_model.options import Options
from cleancut_spec.schedule import STEPS, Label

#: Steps of the transaction, which come in the order of its list.
BY_LIST: Final = ("drain", "prepare", "commit", "rollback", "undrain", "reply", "refuse")


class Move(NamedTuple):
    """What the model may do under one label; several copies at once may bear the same.

    `outcomes` has of each action its number, the state after it, and the claim that it breaks.
    """

    what: str
    outcomes: list[tuple[int, Values, str]]


class Allowed(NamedTuple):
    """All that the model may do in a state."""

    moves: dict[tuple[Label, int | None], Move]  # by label and value
    labels: frozenset[Label]
    steps: frozenset[Label]  # of the engine, but for failures
    errnos: dict[tuple[str, int | None, int | None], list[str]]  # by failure, drive and cluster
    given: list[tuple[Label, int | None]]  # by the client or the guest
    refused: list[list[Label]]  # by drive: commands that are not allowed


class ModelSide:
    """The model of an instance, asked of each state once."""

    def __init__(self, options: Options) -> None:
        self.model: Compiled = compile_model(options)
        self._drives = range(options.drives)
        self._labels = [label._replace(request=None) for label in self.model.labels]
        self._commands = sorted({label.name for label in self.model.labels} & COMMANDS.keys())
        self.allowed = cache(self._allowed)
        self.read = cache(self.model.read)

    def _allowed(self, state: Values) -> Allowed:
        moves = self._moves(state)
        labels = frozenset(label for label, _ in moves)
        by_client = {label for label in labels if STEPS[label.name].by_client}
        failures = {label for label in labels - by_client if label.name.startswith("fail_")}
        errnos: dict[tuple[str, int | None, int | None], list[str]] = {}
        for label, _ in moves:
            if label in failures:
                errnos.setdefault(label[:3], []).append(label.errno or "EIO")
        commands = [[Label(name, drive) for name in self._commands] for drive in self._drives]
        return Allowed(
            moves,
            labels,
            labels - by_client - failures,
            errnos,
            [move for move in moves if move[0] in by_client],
            [[label for label in of_drive if label not in labels] for of_drive in commands],
        )

    def _moves(self, state: Values) -> dict[tuple[Label, int | None], Move]:
        found: dict[tuple[Label, int | None], Move] = {}
        for number, after in self.model.successors(state):
            label, value = self._labels[number], self.model.arguments[number].get("v")
            what = f"{label}" if value is None else f"{label} v{value}"
            move = found.setdefault((label, value), Move(what, []))
            move.outcomes.append((number, after, self.model.broken_step(number, state)))
        return found


def parted_offers(told: Set[Label | None], allowed: Allowed, *, by_list: bool) -> str:
    """Where the steps that the engine offers are not those that the model allows, in words."""
    offered: Set[Label] = {label for label in told if label and not STEPS[label.name].by_client}
    wanted: Set[Label] = allowed.steps
    if None in told:  # what a step without label delays is offered after it
        wanted = wanted & offered
    if by_list:
        wanted, offered = _as_listed(wanted, offered, allowed.labels)
    only = [f"only the engine offers {label}" for label in sorted(offered - wanted)]
    only += [f"only the model allows {label}" for label in sorted(wanted - offered)]
    return "; ".join(only)


def _as_listed(
    wanted: Set[Label], offered: Set[Label], allowed: Set[Label]
) -> tuple[Set[Label], Set[Label]]:
    """What remains to be compared where the transaction's list decides what comes next.

    To the model its actions may come in any order; that each of its steps is taken with some list
    is seen in the end. A step of a bitmap action that the model does not allow is to be refused,
    and so is an `abort`.
    """
    refused = {
        label
        for label in offered - wanted
        if (label.name.startswith("prepare_") and Label("fail_bitmap", label.drive) in allowed)
        or (label.name == "fail_other" and label in allowed)
    }
    by_list = {label for label in wanted if label.name.startswith(BY_LIST)}
    if by_list & offered or refused:
        wanted = wanted - (by_list - offered)
    return wanted, offered - refused
