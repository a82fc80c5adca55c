"""`cleancut conform`: run the suite against a target."""

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import click
from rich.console import Console

from cleancut_conformance.baseline import (
    Baseline,
    BaselineError,
    load_baseline,
    shipped_baseline,
)
from cleancut_conformance.case import (
    Case,
    CaseError,
    NothingSelected,
    load_file,
    load_suite,
    select,
)
from cleancut_conformance.report import junit
from cleancut_conformance.report.text import chapter_line, line, print_report, summary
from cleancut_conformance.runner import run
from cleancut_conformance.targets import Target, TargetError, choose
from cleancut_conformance.targets.base import close_all
from cleancut_conformance.verdict import Result, Verdict

EXAMPLES: Final = """
\b
Examples:
  cleancut conform                                   the embedded reference server
  cleancut conform --target qemu:qemu-system-x86_64  a real QEMU
  cleancut conform --target unix:qmp.sock            a server that runs already
  cleancut conform transaction 'jobs/pause-*'        a chapter, and cases by glob
  cleancut conform --clause PIT-ALL-1                the cases that cite a clause
  cleancut conform ./my-case.yaml                    a case of your own
  cleancut conform --junit out.xml --json            for CI

\b
Exit codes: 0 as expected, 1 a deviation (or a baseline entry that no longer holds),
2 wrong use or a target that cannot be started, 3 unknown, 4 nothing ran, 130 Ctrl-C.
"""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be run, and how."""

    cases: tuple[Case, ...]
    target: Target
    traces: Path
    timeout_s: float
    jobs: int
    fail_fast: bool
    baseline: Baseline | None  # None: the one shipped for whatever greets us


class _Stop(Exception):
    """The run is over: nothing new is started."""


@click.command("conform", epilog=EXAMPLES)
@click.argument("globs", nargs=-1, metavar="[GLOB|FILE.yaml]...")
@click.option("--target", "target_text", default="reference", show_default=True, metavar="TARGET",
              help="reference, qemu:PATH or unix:SOCKET.")  # fmt: skip
@click.option("--clause", "clause_ids", multiple=True, metavar="ID", help="Only cases citing it.")
@click.option("--skip", "skip_globs", multiple=True, metavar="GLOB", help="Leave these cases out.")
@click.option("--list", "only_list", is_flag=True, help="Show the cases, run nothing.")
@click.option("--baseline", "baseline_text", metavar="FILE|none",
              help="Known deviations.  [default: those of the target's version]")  # fmt: skip
@click.option("--traces", type=click.Path(path_type=Path, file_okay=False), metavar="DIR",
              help="Where each run's trace goes.  [default: cleancut-traces/TARGET]")  # fmt: skip
@click.option("--junit", "junit_path", type=click.Path(path_type=Path, dir_okay=False),
              metavar="FILE", help="Write JUnit XML.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print the results as JSON.")
@click.option("--jobs", type=click.IntRange(1, 64), default=2, show_default=True,
              help="Cases run at once.")  # fmt: skip
@click.option("--timeout", "timeout_s", type=click.FloatRange(0.1, 600), default=10.0,
              show_default=True, metavar="S", help="Wait so long for what must come.")  # fmt: skip
@click.option("--fail-fast", is_flag=True, help="Start no more cases after a deviation.")
def conform(
    globs: tuple[str, ...],
    target_text: str,
    clause_ids: tuple[str, ...],
    skip_globs: tuple[str, ...],
    only_list: bool,
    baseline_text: str | None,
    traces: Path | None,
    junit_path: Path | None,
    as_json: bool,
    jobs: int,
    timeout_s: float,
    fail_fast: bool,
) -> int:
    """Run the conformance suite against a QMP server and judge every message of it."""
    console = _console(as_json)
    try:
        cases = _select(globs, clause_ids, skip_globs)
        if only_list:
            return _list(cases, as_json)
        baseline = _own_baseline(baseline_text, cases)
        target = choose(target_text)
        folder = traces or Path("cleancut-traces") / _folder_name(target.name)
        plan = Plan(cases, target, folder, timeout_s, jobs, fail_fast, baseline)
        started = time.monotonic()
        results, baseline = _run_all(plan, console)
    except NothingSelected as error:
        console.print(str(error), markup=False)
        return 4
    except (CaseError, BaselineError, TargetError) as error:
        raise click.ClickException(str(error)) from None
    except OSError as error:
        where = f" {error.filename}" if error.filename else ""
        raise click.ClickException(f"cannot write{where}: {error.strerror}") from None
    outlived = baseline.outlived(results)
    print_report(console, results, outlived, _again(target_text, baseline_text))
    console.print(summary(results, outlived, time.monotonic() - started, target.name))
    if as_json:
        print(json.dumps([_to_json(result) for result in results], indent=1))
    if junit_path is not None:
        _write_junit(junit_path, results, target.name)
    return exit_code(results, bool(outlived))


def _select(
    globs: tuple[str, ...], clause_ids: tuple[str, ...], skip_globs: tuple[str, ...]
) -> tuple[Case, ...]:
    files = [glob for glob in globs if glob.endswith((".yaml", ".yml"))]
    names = tuple(glob for glob in globs if glob not in files)
    suite = load_suite()
    chosen = select(suite, names) if names or not files else []
    chosen += [load_file(Path(file)) for file in files]
    left_out = {case.id for case in select(suite, skip_globs)} if skip_globs else set()
    wanted = set(clause_ids)
    return tuple(
        case
        for case in chosen
        if case.id not in left_out and (not wanted or wanted & set(case.clauses))
    )


def _own_baseline(text: str | None, cases: tuple[Case, ...]) -> Baseline | None:
    if text is None:
        return None
    if text == "none":
        return Baseline("none")
    return load_baseline(Path(text), load_suite() + cases)


def _folder_name(target: str) -> str:
    kind, _, rest = target.partition(":")
    return f"{kind}-{Path(rest).name}" if rest else kind


def _run_all(plan: Plan, console: Console) -> tuple[list[Result], Baseline]:
    """Run the cases, several at once; the results come in the order of the suite."""
    baseline = plan.baseline
    stop = threading.Event()

    def one(case: Case) -> Result:
        if stop.is_set():
            raise _Stop
        return run(case, plan.target, plan.traces, plan.timeout_s)

    results: list[Result] = []
    pool = ThreadPoolExecutor(plan.jobs if plan.target.at_once else 1)
    futures = [pool.submit(one, case) for case in plan.cases]
    try:
        for future in futures:
            try:
                result = future.result()
            except _Stop:
                continue
            results.append(result)
            if baseline is None and result.records:
                baseline = shipped_baseline(result.records, load_suite())
            if baseline is not None:
                baseline.apply(result)
            _tell(console, results, plan.cases)
            if plan.fail_fast and result.verdict is Verdict.FAIL:
                stop.set()
    finally:  # whatever ends the run leaves no target running
        stop.set()
        pool.shutdown(wait=False, cancel_futures=True)
        while any(future.running() for future in futures):
            close_all()
            time.sleep(0.02)
    return results, baseline or Baseline("none")


def _tell(console: Console, results: list[Result], cases: tuple[Case, ...]) -> None:
    """A line for each case that did not pass, and one for each chapter that is through."""
    newest = results[-1]
    if newest.verdict is not Verdict.PASS:
        console.print(line(newest))
    done = len(results)
    if done == len(cases) or cases[done].chapter != newest.case.chapter:
        chapter = newest.case.chapter
        console.print(chapter_line([r for r in results if r.case.chapter == chapter]))
    elif console.is_terminal:
        console.print(f"{done} of {len(cases)} cases", end="\r")


def exit_code(results: list[Result], outlived: bool) -> int:
    """What CI is told."""
    verdicts = {result.verdict for result in results}
    if Verdict.FAIL in verdicts or outlived:
        return 1
    if Verdict.UNKNOWN in verdicts:
        return 3
    return 0 if verdicts & {Verdict.PASS, Verdict.KNOWN} else 4


def _console(as_json: bool) -> Console:
    """Where the report goes: beside JSON, not into it; as wide as it likes if nobody watches."""
    console = Console(stderr=as_json, highlight=False)
    if not console.is_terminal:
        console.width = 120
    return console


def _again(target_text: str, baseline_text: str | None) -> list[str]:
    words = ["cleancut", "conform", "--target", target_text]
    return words if baseline_text is None else [*words, "--baseline", baseline_text]


def _list(cases: tuple[Case, ...], as_json: bool) -> int:
    if as_json:
        found = [{"id": c.id, "title": c.title, "clauses": c.clauses} for c in cases]
        print(json.dumps(found, indent=1))
    else:
        for case in cases:
            print(f"{case.id:<44} {case.title}")
    return 0 if cases else 4


def _to_json(result: Result) -> dict[str, object]:
    return {
        "case": result.case.id,
        "clauses": result.case.clauses,
        "verdict": str(result.verdict),
        "reason": result.reason,
        "seconds": round(result.seconds, 3),
        "trace": str(result.trace) if result.trace else None,
        "findings": [
            {"record": f.index, "clause": f.clause, "message": f.message} for f in result.findings
        ],
    }


def _write_junit(path: Path, results: list[Result], target: str) -> None:
    try:
        junit.write(path, results, target)
    except OSError as error:
        raise click.ClickException(f"cannot write {path}: {error.strerror}") from None
