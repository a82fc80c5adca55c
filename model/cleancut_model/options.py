"""Which instance of the protocol: its sizes, and which parts of it are there."""

from dataclasses import dataclass, replace
from typing import Any, Final

POLICIES: Final = ("report", "ignore", "stop", "enospc", "auto")
SYNCS: Final = ("full", "top", "none", "incremental", "bitmap")
BITMAP_MODES: Final = ("on-success", "never", "always")


class OptionsError(ValueError):
    """Options that do not go together; the message says which."""


@dataclass(frozen=True, slots=True)
class Options:
    """An instance. Sizes count only for finite models; None means no limit."""

    drives: int = 2
    clusters: int = 2
    values: int = 2
    writes: int | None = 1  # guest writes in all
    errors: int | None = 0  # for each drive
    policy: str = "report"  # about an error of the background copy, on either side
    errnos: tuple[str, ...] = ("EIO",)
    control: bool = True  # the client pauses, resumes and cancels
    bug: str = ""
    requests: int = 1  # guest requests in flight, for each drive
    workers: int = 1  # background copies in flight, for each drive
    sync: str = "full"
    bitmap_mode: str = "on-success"
    grouped: bool = False  # completion-mode grouped
    manual: bool = False  # auto-finalize and auto-dismiss are false
    again: int | None = 0  # further transactions after the first
    busy: bool = False  # drives have jobs of other commands
    snapshot: bool = False  # blockdev-snapshot-sync of each drive in the same transaction
    clears: bool = False  # block-dirty-bitmap-clear of each drive's bitmap in the same transaction
    other: bool = False  # an action after the backups that may fail, as `abort` does
    breaks: bool = False  # on-cbw-error is break-snapshot
    speed: bool = False  # block-job-set-speed
    monitor: bool = False  # one monitor: what waits for a job keeps the next command waiting
    leaves: bool = False  # the client disconnects and comes back
    dies: bool = False  # the process ends at any step
    changes: bool = False  # block-dirty-bitmap-add, -clear, … in the same transaction
    tail: bool = False  # the last cluster of each drive reaches beyond the drive's end
    source_policy: str = ""  # on-source-error, where it is not `policy`
    target_policy: str = ""  # on-target-error, where it is not `policy`

    def __post_init__(self) -> None:
        for value, allowed, what in (
            (self.policy, POLICIES, "policy"),
            (self.on_source_error, POLICIES, "source policy"),
            (self.on_target_error, POLICIES, "target policy"),
            (self.sync, SYNCS, "sync"),
            (self.bitmap_mode, BITMAP_MODES, "bitmap mode"),
        ):
            if value not in allowed:
                raise OptionsError(f"no {what} {value!r}; there are {', '.join(allowed)}")
        if self.bitmap_mode != "on-success" and self.sync != "bitmap":
            raise OptionsError(f"bitmap mode {self.bitmap_mode} goes with sync bitmap only")
        if self.clears and self.partial:
            raise OptionsError(f"part clears goes with sync full or none, not {self.sync}")
        if self.changes and (self.partial or self.clears):
            other = "part clears" if self.clears else f"sync {self.sync}"
            raise OptionsError(f"part changes goes with sync full or none, not with {other}")
        if self.monitor and self.workers > 1 and {"stop", "enospc"} & {*self.policies}:
            raise OptionsError(
                "part monitor goes with several copies at once only if no policy stops the job: "
                "it does not tell who has paused it"
            )

    def sizes(self) -> dict[str, int]:
        """The sizes of the sorts."""
        return {
            "Drive": self.drives,
            "Cluster": self.clusters,
            "Value": self.values,
            "Request": self.requests,
            "Worker": self.workers,
            "Writes": self.writes or 0,
            "Errors": self.errors or 0,
            "Again": self.again or 0,
        }

    def has(self, *needs: str) -> bool:
        """Whether it has all these parts: options, or `option=value` (one of them)."""
        for need in needs:
            name, equals, value = need.partition("=")
            found = getattr(self, name)
            if equals and value not in (found if isinstance(found, tuple) else (str(found),)):
                return False
            if not equals and not found:
                return False
        return True

    def without_limits(self) -> "Options":
        """The same with any number of guest writes, errors and transactions."""
        return replace(self, writes=None, errors=None, again=None if self.again else 0)

    # ---- what the parts of the protocol ask

    @property
    def auto(self) -> bool:
        """A pending job completes by itself."""
        return not self.manual

    @property
    def alone(self) -> bool:
        """Each job completes for itself."""
        return not self.grouped

    @property
    def bitmaps(self) -> bool:
        """What is copied is what a dirty bitmap says."""
        return self.sync in ("incremental", "bitmap")

    @property
    def partial(self) -> bool:
        """The target holds only what differs from what lies below it."""
        return self.bitmaps or self.sync == "top"

    @property
    def records(self) -> bool:
        """There is a record of the clusters that guests have written."""
        return self.partial or self.clears or self.changes

    @property
    def ends(self) -> bool:
        """A job ends once it has copied all."""
        return self.sync != "none"

    @property
    def on_source_error(self) -> str:
        """The policy about reads of the drive."""
        return self.source_policy or self.policy

    @property
    def on_target_error(self) -> str:
        """The policy about writes to the target."""
        return self.target_policy or self.policy

    @property
    def policies(self) -> tuple[str, ...]:
        """Each policy that it has: `auto` is another name of `enospc`."""
        both = (self.on_source_error, self.on_target_error)
        return tuple("enospc" if policy == "auto" else policy for policy in both)

    @property
    def stops(self) -> bool:
        """Some error of the background copy pauses a job."""
        return bool({"stop", "enospc"} & set(self.policies))

    @property
    def fails(self) -> bool:
        """Some error of the background copy ends a job."""
        return bool({"report", "enospc"} & set(self.policies))

    @property
    def repeats(self) -> bool:
        """There is more than one transaction."""
        return self.again != 0

    def describe(self) -> str:
        """The instance in a line: sizes, limits and parts."""

        def limit(n: int | None, what: str) -> str:
            return f"{'any' if n is None else n} {what}"

        sizes = [f"{self.drives} drives", f"{self.clusters} clusters", f"{self.values} values"]
        sizes += [limit(self.writes, "guest writes"), limit(self.errors, "errors a drive")]
        sizes += [limit(self.again, "further transactions")] if self.repeats else []
        return ", ".join([*sizes, self.parts()])

    def parts(self) -> str:
        """The parts in a line."""
        both = (self.on_source_error, self.on_target_error)
        parts = [
            f"policy {both[0]}"
            if both[0] == both[1]
            else f"policy {both[0]} for the source and {both[1]} for the target"
        ]
        parts += ["pause, resume, cancel"] if self.control else []
        parts += [f"{self.requests} guest requests at once"] if self.requests > 1 else []
        parts += [f"{self.workers} copies at once"] if self.workers > 1 else []
        parts += [f"sync {self.sync}"] if self.sync != "full" else []
        parts += [f"bitmap mode {self.bitmap_mode}"] if self.sync == "bitmap" else []
        parts += [words for name, words in PARTS.items() if getattr(self, name)]
        parts += [f"bug {self.bug}"] if self.bug else []
        return ", ".join(parts)


#: The parts that are switched on or off, and what they are.
PARTS: Final[dict[str, str]] = {
    "grouped": "grouped completion",
    "manual": "manual finalize and dismiss",
    "busy": "drives busy with other jobs",
    "snapshot": "snapshots beside the backups",
    "clears": "bitmaps cleared beside the backups",
    "other": "a further action that may fail",
    "breaks": "copy-before-write errors break the backup",
    "speed": "set-speed",
    "monitor": "no command before the last one is answered",
    "leaves": "the client may disconnect",
    "dies": "the process may end at any step",
    "tail": "a partial last cluster",
    "changes": "bitmap actions beside the backups",
}

_ALL_PARTS: Final[dict[str, Any]] = {
    name: name not in ("clears", "tail", "changes", "monitor") for name in PARTS
}

#: Small instances that together have every part of the protocol.
PRESETS: Final[dict[str, Options]] = {
    "core": Options(2, 1, 2, 1, 1),
    "stop": Options(2, 1, 2, 1, 1, "stop"),
    "enospc": Options(2, 1, 2, 1, 1, "enospc", ("EIO", "ENOSPC")),
    "policies": Options(2, 1, 2, 1, 1, source_policy="ignore", target_policy="stop"),
    "requests": Options(1, 2, 2, 2, 1, requests=2, workers=2),
    "grouped": Options(2, 1, 2, 1, 1, grouped=True),
    "manual": Options(2, 1, 2, 1, 1, manual=True),
    "grouped-manual": Options(2, 1, 2, 1, 1, grouped=True, manual=True),
    "incremental": Options(1, 2, 2, 2, 1, sync="incremental", again=2),
    "bitmap-never": Options(1, 2, 2, 2, 1, sync="bitmap", bitmap_mode="never", again=1),
    "bitmap-always": Options(1, 2, 2, 2, 1, sync="bitmap", bitmap_mode="always", again=1),
    "grouped-bitmaps": Options(2, 1, 2, 2, 1, sync="incremental", grouped=True, again=1),
    "tail": Options(1, 2, 2, 2, 1, tail=True, sync="incremental", again=1),
    "top": Options(1, 2, 2, 2, 1, sync="top", again=1),
    "none": Options(2, 1, 2, 2, 1, sync="none"),
    "again": Options(2, 1, 2, 1, 1, again=1),
    "busy": Options(2, 1, 2, 1, 0, busy=True),
    "snapshot": Options(2, 1, 2, 1, 0, snapshot=True, other=True),
    "clear": Options(2, 1, 2, 2, 1, clears=True, other=True, again=1),
    "bitmap-actions": Options(2, 1, 2, 1, 0, control=False, changes=True, again=1),
    "break-snapshot": Options(2, 1, 2, 1, 1, breaks=True),
    "monitor": Options(2, 1, 2, 1, 1, "stop", monitor=True, grouped=True, manual=True),
    "client": Options(2, 1, 2, 1, 0, speed=True, leaves=True, manual=True),
    "everything": replace(
        Options(2, 1, 2, 2, 1, "enospc", ("EIO", "ENOSPC"), requests=2, workers=2, again=1),
        sync="incremental",
        **_ALL_PARTS,
    ),
    "death": Options(1, 2, 2, 2, 1, dies=True, again=1, sync="incremental"),
}
