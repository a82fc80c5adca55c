"""`cleancut selfcheck`: does the suite, on this machine, catch engines known to be wrong?"""

import json
import os
import tempfile
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import click
from rich.console import Console
from rich.markup import escape

from cleancut_conformance.agreement.wrong import WRONG, Wrong
from cleancut_conformance.agreement.wrong.server import CASE_S, server
from cleancut_conformance.case import Case, CaseError, load_suite
from cleancut_conformance.runner import run
from cleancut_conformance.suite import end_all
from cleancut_conformance.targets.base import TargetError
from cleancut_conformance.verdict import Result, Verdict
from cleancut_model.commands.shared import progress_bar

RIGHT_S: Final = 10.0  # the right engine sends what it has to

EXAMPLES: Final = """
Each wrong engine is the reference server with one small patch, and is named with the case and the
clause that must catch it. The right engine has to pass the same cases, or their catch proves
nothing. With --all the whole suite is run against each, and every case that catches one is named.

\b
Examples:
  cleancut selfcheck                          each against the case that must catch it
  cleancut selfcheck forgets_the_drain        one of them
  cleancut selfcheck --all --json             the matrix of engines and cases
  cleancut selfcheck --list

\b
Exit codes: 0 each is caught, 1 one passes uncaught or the right engine fails,
2 wrong use or no server can be started, 130 Ctrl-C.
"""


@dataclass(slots=True)
class Catch:
    """What became of one wrong engine: the cases that caught it, by the clauses they named."""

    name: str
    wrong: Wrong
    cases: dict[str, list[str]] = field(default_factory=dict)
    seconds: float = 0.0
    instead: str = ""  # how the case that must catch it came out, if it did not

    @property
    def caught(self) -> bool:
        """Whether the named case failed by the named clause."""
        return self.wrong.clause in self.cases.get(self.wrong.case, [])

    def add(self, result: Result) -> None:
        """Count the result of one case."""
        self.seconds += result.seconds
        if result.verdict is Verdict.FAIL:
            self.cases[result.case.id] = sorted({found.clause for found in result.findings})
        if result.case.id == self.wrong.case and not self.caught:
            clauses = self.cases.get(self.wrong.case)
            words = f"fails by {', '.join(clauses)} instead" if clauses else result.reason
            self.instead = f"{result.verdict}: {words}" if words else str(result.verdict)

    def to_json(self) -> dict[str, Any]:
        """The row of `--json`."""
        return {
            "engine": self.name,
            "does": self.wrong.words,
            "case": self.wrong.case,
            "clause": self.wrong.clause,
            "caught": self.caught,
            "instead": self.instead,
            "by": self.cases,
            "seconds": round(self.seconds, 3),
        }


@click.command("selfcheck", epilog=EXAMPLES)
@click.argument("names", nargs=-1, metavar="[ENGINE]...")
@click.option("--all", "whole", is_flag=True, help="Run the whole suite against each engine.")
@click.option("--list", "only_list", is_flag=True, help="Show the engines, run nothing.")
@click.option("--jobs", type=click.IntRange(1, 64), default=os.cpu_count() or 1,
              show_default="one for each core", help="Servers that run at once.")  # fmt: skip
@click.option("--timeout", "timeout_s", type=click.FloatRange(0.1, 600), default=CASE_S,
              show_default=True, metavar="S", help="Wait so long for what a wrong engine "
              "does not send.")  # fmt: skip
@click.option("--traces", type=click.Path(path_type=Path, file_okay=False), metavar="DIR",
              help="Keep the traces here.  [default: they are thrown away]")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print what was found as JSON.")
def selfcheck(
    names: tuple[str, ...], whole: bool, only_list: bool, jobs: int, timeout_s: float,
    traces: Path | None, as_json: bool,
) -> int:  # fmt: skip
    """Run the suite against wrong engines, and tell which case catches which."""
    for name in names:
        if name not in WRONG:
            raise click.UsageError(f"no wrong engine {name!r}; `cleancut selfcheck --list`")
        if not WRONG[name].case:
            raise click.UsageError(f"{name}: {WRONG[name].why_no_case}")
    chosen = {name: WRONG[name] for name in names or WRONG if WRONG[name].case}
    if only_list:
        for name, wrong in chosen.items():
            print(f"{name:<32} {wrong.words}")
        return 0
    try:
        with tempfile.TemporaryDirectory(prefix="cleancut-") as folder:
            check = _SelfCheck(chosen, whole, timeout_s, traces or Path(folder))
            return check.report(check.run(jobs), as_json)
    except (CaseError, TargetError) as error:
        raise click.ClickException(str(error)) from None
    except OSError as error:
        raise click.ClickException(f"cannot write traces: {error.strerror}") from None


class _SelfCheck:
    """The runs: of the right engine first, then of each wrong one."""

    def __init__(
        self, chosen: dict[str, Wrong], whole: bool, timeout_s: float, traces: Path
    ) -> None:
        self._cases = {case.id: case for case in load_suite()}
        self._catches = {name: Catch(name, wrong) for name, wrong in chosen.items()}
        self._whole, self._timeout_s, self._traces = whole, timeout_s, traces
        self._right_fails: list[Result] = []

    def _runs(self) -> Iterator[tuple[str, Case]]:
        """Engine and case; no name stands for the right engine."""
        named = {catch.wrong.case for catch in self._catches.values()}
        for case_id, case in self._cases.items():
            if self._whole or case_id in named:
                yield "", case
        for name, catch in self._catches.items():
            yield name, self._cases[catch.wrong.case]
            if self._whole:
                yield from (
                    (name, case) for case in self._cases.values() if case.id != catch.wrong.case
                )

    def run(self, jobs: int) -> bool:
        """Run everything; whether every engine is caught and the right one passes."""
        stop = threading.Event()
        pool = ThreadPoolExecutor(jobs)
        runs = list(self._runs())
        futures = {pool.submit(self._one, stop, *each): each for each in runs}
        try:
            with progress_bar() as progress:
                task = progress.add_task("", total=None)
                for count, future in enumerate(as_completed(futures), start=1):
                    name, case = futures[future]
                    self._enter(name, future.result())
                    text = f"{count} of {len(runs)} runs: {name or 'the right engine'}, {case.id}"
                    progress.update(task, description=text)
        finally:
            stop.set()
            end_all(list(futures), pool)
        return not self._right_fails and all(c.caught for c in self._catches.values())

    def _one(self, stop: threading.Event, name: str, case: Case) -> Result:
        if stop.is_set():
            return Result(case, Verdict.UNKNOWN, "the run is over")
        patience_s = self._timeout_s if name else max(RIGHT_S, self._timeout_s)
        return run(case, server(case, name), self._traces / (name or "right"), patience_s)

    def _enter(self, name: str, result: Result) -> None:
        if name:
            self._catches[name].add(result)
        elif result.verdict is not Verdict.PASS:
            self._right_fails.append(result)

    def report(self, well: bool, as_json: bool) -> int:
        """Print what was found; the exit code."""
        if as_json:
            fails = [{"case": r.case.id, "reason": r.reason} for r in self._right_fails]
            rows = [catch.to_json() for catch in self._catches.values()]
            print(json.dumps({"engines": rows, "right_engine_fails": fails}, indent=1))
            return 0 if well else 1
        console = Console(highlight=False, soft_wrap=True)
        for catch in self._catches.values():
            self._print(console, catch)
        for result in self._right_fails:
            words = f"{result.case.id}: {result.verdict}: {result.reason}"
            console.print(f"[bold red]the right engine fails[/] {escape(words)}")
        caught = sum(catch.caught for catch in self._catches.values())
        tail = "" if self._right_fails else "; the right engine passes the same cases"
        console.print(f"\n{caught} of {len(self._catches)} wrong engines are caught{tail}")
        return 0 if well else 1

    def _print(self, console: Console, catch: Catch) -> None:
        verdict = "[green]caught[/]  " if catch.caught else "[bold red]UNCAUGHT[/]"
        by = f"{catch.wrong.case} ({catch.wrong.clause})"
        console.print(f"{verdict} {catch.name:<30} {by}")
        if not catch.caught:
            console.print(
                f"         {escape(catch.wrong.words)} That case: {escape(catch.instead)}"
            )
        others = sorted(catch.cases.keys() - {catch.wrong.case})
        if others:
            console.print(f"         also {_some(others)}")


def _some(names: Iterable[str], at_most: int = 6) -> str:
    listed = list(names)
    more = f" and {len(listed) - at_most} more" if len(listed) > at_most else ""
    return ", ".join(listed[:at_most]) + more
