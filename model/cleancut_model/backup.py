"""The protocol of the transactional backup, written once.

A transaction prepares its drives one after the other, each under its own drain, commits them one
after the other, and lets their guests go on only then. A job copies its drive in the background
while guest writes copy before they write. Any request may fail.

Each action states its guards (`s.when`) and what changes; all else stays. Its name is the label of
the step in a schedule; `d` is a drive, `r` a guest request, `w` a background copy, `c` a cluster,
`v` a value, `e` an errno. The chapters are `protocol/transaction.py`, `guest.py`, `copying.py`,
`jobs.py`, `bitmaps.py` and `surroundings.py`; here is the state that they speak of.
"""

from collections.abc import Callable
from typing import Any

from cleancut_model.language import Action, Language, Mutation, MutationError, Sort, State, Term
from cleancut_model.options import Options
from cleancut_model.protocol.bitmaps import Bitmaps
from cleancut_model.protocol.copying import Copying
from cleancut_model.protocol.jobs import Jobs
from cleancut_model.protocol.surroundings import Surroundings
from cleancut_model.protocol.words import JOBS, PARAMETERS, RULES, Rule
from cleancut_model.terms import Not

__all__ = ["Backup", "Options"]


class Backup(Surroundings, Copying, Jobs, Bitmaps):
    """The protocol, elaborated in a language: its variables, words and actions."""

    def __init__(self, m: Language, options: Options, mutations: tuple[Mutation, ...] = ()) -> None:
        self.m, self.options = m, options
        self._said = {}
        self.drive, self.cluster = m.index("Drive"), m.index("Cluster")
        self.value = m.index("Value")
        self.request, self.worker = m.index("Request"), m.index("Worker")
        self.errno = m.enum("Errno", " ".join(options.errnos))
        dead = " DEAD" if options.dies else ""
        self.tx = m.enum("Tx", "IDLE PREPARE ROLLBACK COMMIT DONE FAILED" + dead)
        self.job = m.enum("Job", " ".join(_jobs(options)))
        self.event = m.enum("Event", "NO_EVENT COMPLETED FAILED CANCELLED TWICE")
        self.guest = m.enum("Guest", "G_IDLE ARRIVED CBW_READ CBW_WRITE WRITING")
        self.copy = m.enum("Copy", "B_IDLE READ WRITE")
        self.extent = m.enum("Extent", "NOTHING TO_END WHOLE")
        self.change = m.enum("Change", "UNCHANGED ADD CLEAR ENABLE DISABLE MERGE")
        self._declare()
        self._declare_bitmaps()
        self._declare_parts()
        for rule in RULES:
            if rule.belongs_to(options):
                m.actions.append(self._action(rule, mutations))
        there = {each.name for each in m.actions}
        if missing := {bug.action for bug in mutations} - there:
            raise MutationError(f"there is no {', '.join(sorted(missing))} here")

    def _declare(self) -> None:
        m, drive, cluster, value = self.m, self.drive, self.cluster, self.value
        m.variable("tx", self.tx)
        m.variable("js", self.job, drive)  # the job
        m.variable("drained", m.boolean, drive, init=False)
        m.variable("final", self.event, drive)  # its final event
        m.variable("error", m.boolean, drive, init=False)  # it ends because of an error
        m.variable("g", self.guest, drive, self.request)  # a guest's request: its phase,
        m.variable("gc", cluster, drive, self.request)  # its cluster,
        m.variable("gv", value, drive, self.request)  # what it writes,
        m.variable("gbuf", value, drive, self.request)  # the old content that it carries over
        m.variable("b", self.copy, drive, self.worker)  # a background copy, in the same way
        m.variable("bc", cluster, drive, self.worker)
        m.variable("bbuf", value, drive, self.worker)
        m.variable("src", value, drive, cluster, init=None)  # the drive
        m.variable("old", value, drive, cluster, init=None)  # ghost: the target at first
        m.variable("tgt", value, drive, cluster, init="old")  # the target
        m.variable("copied", m.boolean, drive, cluster, init=False)
        m.variable("cut", value, drive, cluster)  # ghost: all drives at the first commit
        if self.options.writes is not None:
            m.variable("writes_left", m.budget("Writes"), init=self.options.writes)
        if self.options.errors is not None:
            m.variable("errors_left", m.budget("Errors"), drive, init=self.options.errors)

    def _declare_parts(self) -> None:
        """The variables that only some instances have."""
        m, drive, cluster, options = self.m, self.drive, self.cluster, self.options
        if options.tail:
            m.variable("tail", m.boolean, drive, cluster, init=lambda _, c: self.is_last(c))
            m.variable("glen", self.extent, drive, self.request)  # how far a copy under way goes
            m.variable("blen", self.extent, drive, self.worker)
            m.variable("reach", self.extent, drive, cluster)  # how far the target was written
        if options.snapshot:
            m.variable("snapped", m.boolean, drive, init=False)
            m.variable("snap", self.value, drive, cluster)  # what its snapshot holds
        if options.busy:
            m.variable("busy", m.boolean, drive, init=False)  # it has a job of another command
        if options.breaks:
            m.variable("broken", m.boolean, drive, init=False)  # copy-before-write gave it up
        self._declare_client()

    def _declare_client(self) -> None:
        """What is known of the client, in some instances."""
        m, options = self.m, self.options
        if options.monitor:
            m.variable("cancelling", m.boolean, self.drive, init=False)  # the client waits for it
        if options.leaves:
            m.variable("connected", m.boolean, init=True)
        if options.repeats and options.again is not None:
            m.variable("again_left", m.budget("Again"), init=options.again)

    def _declare_bitmaps(self) -> None:
        """What tells which clusters are to be copied."""
        m, drive, cluster, options = self.m, self.drive, self.cluster, self.options
        if options.records:
            # What guests have written: the bits of a bitmap, or the top layer's own clusters.
            m.variable("dirty", m.boolean, drive, cluster, init=False)
        if options.clears:
            m.variable("cleared", m.boolean, drive, init=False)
        if options.partial:
            # Ghost: what the target's clusters lie upon, earlier backups or the backing file.
            m.variable("base", self.value, drive, cluster, init="src")
            m.variable("todo", m.boolean, drive, cluster, init=False)  # frozen for the job
        if options.changes:
            self._declare_changes()

    def _declare_changes(self) -> None:
        """The bitmap of each drive: the first drive in the list has none yet.

        There is another, which is disabled: that of the first drive is full, the others' is empty.
        """
        m, drive, cluster = self.m, self.drive, self.cluster
        m.variable("there", m.boolean, drive, init=lambda d: Not(self.is_first(d)))
        m.variable("on", m.boolean, drive, init=lambda d: Not(self.is_first(d)))  # it records
        m.variable("more", m.boolean, drive, cluster, init=lambda d, _: self.is_first(d))
        m.variable("change", self.change, drive)  # what the transaction does to it
        m.variable("backup", m.boolean, drive, cluster, init=False)  # its bits before that
        # Ghosts: the bitmap as it would be without this transaction; what is written since the cut.
        m.variable("was_there", m.boolean, drive, init=lambda d: Not(self.is_first(d)))
        m.variable("was_on", m.boolean, drive, init=lambda d: Not(self.is_first(d)))
        m.variable("was", m.boolean, drive, cluster, init=False)
        m.variable("since", m.boolean, drive, cluster, init=False)

    def _action(self, rule: Rule, mutations: tuple[Mutation, ...]) -> Action:
        sorts: dict[str, Sort] = {x: getattr(self, PARAMETERS[x]) for x in rule.parameters}

        def body(s: State, **arguments: Term) -> None:
            rule.method(self, s, **arguments)

        mutated: Callable[..., Any] = body
        for bug in mutations:
            if bug.action == rule.name:
                mutated = bug.apply(mutated, self)
        return Action(rule.name, sorts, mutated)


def _jobs(options: Options) -> list[str]:
    """The states of a job that an instance can reach."""
    without = set()
    if not options.grouped:
        without.add("WAITING")
    if not options.manual:
        without.add("CONCLUDED")
    return [name for name in JOBS.split() if name not in without]
