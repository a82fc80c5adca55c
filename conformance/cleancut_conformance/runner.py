"""Runs a case on a target; every message goes to the trace and to the judge."""

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

from cleancut_conformance import small_disks
from cleancut_conformance.abilities import UNTOLD, Abilities, lacks, unpromised
from cleancut_conformance.case import Case
from cleancut_conformance.dialogue import Deviation, Dialogue, Lost, Silence, Stuck
from cleancut_conformance.judge.judge import CRASHES
from cleancut_conformance.recorder import Recorder
from cleancut_conformance.steps import demand, take
from cleancut_conformance.targets.base import (
    Session,
    Setup,
    Target,
    describe_exit,
    prepare,
    session_folder,
)
from cleancut_conformance.verdict import Result, Verdict
from cleancut_spec.trace import TraceError

#: Exit statuses of a process that somebody else has ended.
KILLED = (-9, -15, -2, -1)


def run(
    case: Case, target: Target, traces: Path, timeout_s: float, number: int = 1,
    abilities: Abilities = UNTOLD,
) -> Result:  # fmt: skip
    """Run one case; raises TargetError if the target does not start, OSError on a full disk."""
    if words := lacks(case, target, abilities):
        return Result(case, Verdict.SKIP, words, run=number)
    started = time.monotonic()
    with session_folder() as folder, contextlib.ExitStack() as stack:
        stack.enter_context(small_disks.mounted(folder, case.given.disks))
        setup = prepare(case, folder)
        again = f".{number}" if number > 1 else ""
        path = traces / f"{case.id}{again}.jsonl"
        with _session(target, setup, timeout_s) as session, Recorder(path) as recorder:
            result = _Run(case, session, recorder, timeout_s).result()
    result.trace, result.run = path, number
    result.seconds = time.monotonic() - started
    return result


@contextlib.contextmanager
def _session(target: Target, setup: Setup, timeout_s: float) -> Iterator[Session]:
    session = Session(target, setup, timeout_s)
    try:
        yield session
    finally:
        session.close()


class _Run:
    """A case on a session that has just been opened."""

    def __init__(self, case: Case, session: Session, recorder: Recorder, timeout_s: float) -> None:
        self._case = case
        self._session = session
        self._recorder = recorder
        self._dialogue = Dialogue(session, recorder, case.clauses[0], timeout_s)

    def result(self) -> Result:
        """Take the steps, look at the images, and say what came out."""
        self._recorder.header(self._session, self._case.id)
        verdict, reason, silent = Verdict.PASS, "", False
        try:
            self._talk()
        except Deviation as deviation:
            clause_id = deviation.clause or self._case.clauses[0]
            if words := unpromised(clause_id, self._session.target):
                verdict, reason = Verdict.SKIP, words
            else:
                self._recorder.find(clause_id, str(deviation))
                silent = isinstance(deviation, Silence)
        except Stuck as stuck:
            verdict, reason = Verdict.UNKNOWN, str(stuck)
        except Lost:
            verdict, reason = self._lost()
        except (TraceError, KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
            reason = f"the suite itself has failed: {type(error).__name__}: {error}"
            verdict = Verdict.UNKNOWN  # a checker that crashed has checked nothing
        ending = self._footer(verdict, silent)
        if self._recorder.findings:
            verdict, reason = Verdict.FAIL, self._recorder.findings[0].message
        findings, records = self._recorder.findings, self._recorder.records
        return Result(self._case, verdict, reason, findings, records, ending=ending)

    def _talk(self) -> None:
        self._dialogue.open()
        self._recorder.observe_all(self._session.setup)
        for step in self._case.steps:
            take(step, self._dialogue)
            if self._recorder.findings:
                return
        if self._session.command and not (self._dialogue.has_quit or self._dialogue.killed):
            self._dialogue.quit()
        for wanted in self._case.then:
            demand(wanted, self._dialogue)
        self._recorder.observe_all(self._session.setup)

    def _lost(self) -> tuple[Verdict, str]:
        """The connection has ended: was it the target's own fault?"""
        if not self._session.command:
            return Verdict.UNKNOWN, "the server has closed the connection"
        status = self._session.wait()
        if not self._dialogue.greeted and status not in KILLED:
            raise self._session.no_start(status)
        words = f"the target has gone, {describe_exit(status)}"
        if status in KILLED:
            return Verdict.UNKNOWN, words
        if status not in CRASHES:  # of a crash the judge speaks
            self._recorder.find("QMP-ALIVE-1", f"{words}: {self._session.last_error()}")
        return Verdict.FAIL, words

    def _footer(self, verdict: Verdict, silent: bool) -> str:
        """Write it, and tell how a target ended that was not asked to, or that was silent."""
        ends = self._dialogue.has_quit and not silent  # one that is silent has had its time
        status = self._session.wait(10 if ends else 0)
        if ends and status is None and self._session.command:
            self._recorder.find("JOB-QUIT-1", "the process does not end after quit")
        verdict = Verdict.FAIL if self._recorder.findings else verdict
        errors = self._session.errors()
        self._recorder.footer(status, str(verdict), errors)
        if not self._session.command or (
            not silent and (status is None or self._dialogue.has_quit)
        ):
            return ""
        words = "and was ended by us" if status is None else "unasked"
        said = f"Its standard error:\n{errors}" if errors else "It wrote nothing to standard error."
        return f"The target: {describe_exit(status)}, {words}. {said}"
