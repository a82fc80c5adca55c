"""One run of the model, followed through a dialogue: all states that it leaves possible."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from cleancut_conformance.modelled.instance import Run
from cleancut_conformance.modelled.telling import State, Told, told_by
from cleancut_model.compiled import Compiled, Values, compile_model
from cleancut_spec.schedule import STEPS, Label

#: By the client, but not by commands about jobs.
BEGINS: Final = "begin"
#: As what a job of the model may be listed; None: it is not.
LISTED: Final[dict[str, tuple[str | None, ...]]] = {
    "NONE": (None,),
    "CREATED": (None, "created"),
    "RUNNING": ("running", "paused"),
    "PAUSED": ("running", "paused"),
    "WAITING": ("waiting",),
    "PENDING": ("pending",),
    "ABORTING": ("running", "paused", "waiting", "pending", "aborting"),
    "CONCLUDED": ("concluded",),
    "GONE": (None,),
}
#: Steps of several drives that no clause gives an order: QEMU commits the last one first.
IN_ANY_ORDER: Final = ("commit",)
LONGEST_WAY: Final = 60  # steps to where a record would be possible

Owed = tuple[tuple[str, ...], ...]  # of each drive: what was done and is still to be told


@dataclass(frozen=True, slots=True)
class Possible:
    """A state that is possible, and whether the command under way has had its effect."""

    state: Values
    owed: Owed
    taken: bool = False


class Following:
    """The states that are possible after each record, closed under steps that nobody sees."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.model: Compiled = compile_model(run.options)
        self._read: dict[Values, State] = {}
        self._after: dict[Values, list[tuple[Label, Values, tuple[Told, ...]]]] = {}
        self._may: tuple[Label, ...] = (Label(BEGINS),)  # what the command under way may do
        self.unasked = False  # jobs may be cancelled by what the model does not have, as by `quit`
        nothing: Owed = ((),) * run.options.drives
        self.possible = self._closed({Possible(self.model.initial, nothing)})

    # ---- the model

    def read(self, state: Values) -> State:
        """The variables of a state by name."""
        found = self._read.get(state)
        if found is None:
            found = self._read[state] = self.model.read(state)
        return found

    def _steps(self, state: Values) -> list[tuple[Label, Values, tuple[Told, ...]]]:
        """The steps from a state, each with what it tells."""
        found = self._after.get(state)
        if found is None:
            found = self._after[state] = []
            for number, after in self.model.successors(state):
                label = self.model.labels[number]
                ways = told_by(self.run.options, label, self.read(state), self.read(after))
                found += [(label, after, told) for told in ways]
        return found

    def _may_take(self, each: Possible, label: Label) -> bool:
        """Whether the server, or the command under way, may take the step."""
        if not STEPS[label.name].by_client:
            return True
        if self.unasked and label.name == "force_cancel":
            return True
        return label in self._may and not each.taken

    def _next(self, each: Possible) -> Iterator[tuple[Label, Possible, tuple[Told, ...]]]:
        for label, after, told in self._steps(each.state):
            if self._may_take(each, label):
                taken = each.taken or label in self._may
                yield label, Possible(after, each.owed, taken), told

    def _closed(self, found: set[Possible]) -> set[Possible]:
        """With all that steps lead to which tell nothing."""
        todo = list(found)
        while todo:
            for _, after, told in self._next(todo.pop()):
                if not told and after not in found:
                    found.add(after)
                    todo.append(after)
        return found

    # ---- records

    def _keep(self, found: set[Possible]) -> bool:
        """These are what is possible now; if there is none, all stays as it was."""
        if not found:
            return False
        self.possible = self._closed(found)
        return True

    def command(self, may: tuple[Label, ...]) -> None:
        """A command is taken up that may have one of these steps as its effect."""
        self._may = may
        self.possible = self._closed({Possible(e.state, e.owed) for e in self.possible})

    def tell(self, told: Told, besides: tuple[str, ...] = ()) -> bool:
        """The client is told of a job; false if that is not possible.

        Of a job in one of the states `besides` it may be told this without any step.
        """
        assert told.drive is not None
        found = {each for each in self.possible if self._job(each, told.drive) in besides}
        for each in self.possible:
            owed = each.owed[told.drive]
            if owed and owed[0] == told.what:
                found.add(Possible(each.state, _without(each.owed, told.drive), each.taken))
                continue
            if owed:
                continue
            found |= set(self._tells(each, told))
        return self._keep(found)

    def _tells(self, each: Possible, told: Told) -> Iterator[Possible]:
        """What a step leads to that tells this first of the drive."""
        assert told.drive is not None
        for label, after, all_told in self._next(each):
            of_drive = [one.what for one in all_told if one.drive == told.drive]
            owing = Possible(after.state, _with(each.owed, all_told), after.taken)
            if of_drive and of_drive[0] == told.what:
                yield Possible(owing.state, _without(owing.owed, told.drive), owing.taken)
            elif label.name in IN_ANY_ORDER and not of_drive:
                for quiet in self._closed({owing}):
                    yield from self._tells(quiet, told)

    def answered(self, well: bool, *, begins: bool) -> bool:
        """The command under way is answered; false if it cannot be."""
        if begins:
            found = self._begin_answered(well)
        elif well:
            found = {each for each in self.possible if each.taken or self._stutters(each)}
        else:
            allowed = self._may
            found = {each for each in self.possible if not each.taken}
            sure = {e for e in found if not any(x[0] in allowed for x in self._steps(e.state))}
            found = sure or {each for each in found if self._stutters(each)}
        self._may = () if found else self._may
        return self._keep({Possible(each.state, each.owed) for each in found})

    def _begin_answered(self, well: bool) -> set[Possible]:
        name = "reply" if well else "refuse"
        found = {
            after
            for each in self.possible
            for label, after, _ in self._next(each)
            if label.name == name
        }
        if not well:  # or it was refused before anything was begun
            found |= {each for each in self.possible if self.read(each.state)["tx"] == "IDLE"}
        return found

    def _stutters(self, each: Possible) -> bool:
        """What is told to end may be told so again."""
        state = self.read(each.state)
        ending = ("ABORTING", "CONCLUDED", "GONE")
        return any(
            label.name.endswith("cancel") and state["js"][label.drive or 0] in ending
            for label in self._may
        )

    def _job(self, each: Possible, drive: int) -> str:
        return str(self.read(each.state)["js"][drive])

    def has_job(self, drive: int) -> bool:
        """Whether the drive's job may be there."""
        return any(self._job(each, drive) not in ("NONE", "GONE") for each in self.possible)

    def listed(self, drive: int, status: str | None) -> bool:
        """The job is listed with a status, or it is not listed; false if that is not possible."""
        return self._keep({
            each for each in self.possible
            if each.owed[drive] or status in LISTED[self._job(each, drive)]
        })  # fmt: skip

    # ---- what is possible

    def words(self) -> list[str]:
        """The possible states as a client may think of them: the transaction and the jobs."""
        return sorted({self._words(self.read(each.state)) for each in self.possible})

    def _words(self, state: State) -> str:
        jobs = (f"{job_id} {state['js'][drive]}" for drive, job_id in enumerate(self.run.job_ids))
        return f"transaction {state['tx']}, {', '.join(jobs)}"

    def next_told(self) -> list[str]:
        """What could be told next."""
        found: set[str] = set()
        for each in self.possible:
            for drive, owed in enumerate(each.owed):
                found |= {self.named(Told(owed[0], drive))} if owed else set()
            for _, _, told in self._next(each):
                found |= {self.named(told[0])} if told else set()
        return sorted(found)

    def named(self, told: Told) -> str:
        """With the job's id for the drive's number."""
        return told.what if told.drive is None else f"{self.run.job_ids[told.drive]} {told.what}"

    def way_to(self, told: Told) -> list[Label] | None:
        """The fewest steps after which the client could be told this; None if it never can."""
        todo: deque[tuple[Values, tuple[Label, ...]]] = deque()
        seen: set[Values] = set()
        for each in sorted(self.possible, key=lambda e: e.state):
            if each.state not in seen:
                seen.add(each.state)
                todo.append((each.state, ()))
        while todo:
            state, way = todo.popleft()
            for label, after, all_told in self._steps(state):
                if told in all_told:
                    return [*way, label]
                if after not in seen and len(way) < LONGEST_WAY:
                    seen.add(after)
                    todo.append((after, (*way, label)))
        return None

    def over(self) -> bool:
        """Whether nothing of the run is left, whichever state it is in."""
        return all(
            self.read(each.state)["tx"] in ("DONE", "FAILED")
            and all(job in ("NONE", "GONE") for job in self.read(each.state)["js"])
            and not any(each.owed)
            for each in self.possible
        )


def _with(owed: Owed, told: tuple[Told, ...]) -> Owed:
    added: list[Any] = [list(each) for each in owed]
    for one in told:
        if one.drive is not None:
            added[one.drive].append(one.what)
    return tuple(tuple(each) for each in added)


def _without(owed: Owed, drive: int) -> Owed:
    return (*owed[:drive], owed[drive][1:], *owed[drive + 1 :])
