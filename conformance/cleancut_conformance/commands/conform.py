"""`cleancut conform`: run the suite against a target."""

import json
import re
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import click
from rich.console import Console

from cleancut_conformance.abilities import advice, probe, unable
from cleancut_conformance.baseline import Baseline, BaselineError, load_baseline, update_baseline
from cleancut_conformance.case import (
    Case,
    CaseError,
    NothingSelected,
    as_file,
    load_file,
    load_suite,
    select,
)
from cleancut_conformance.report import junit
from cleancut_conformance.report.results import NAME, ResultWriter
from cleancut_conformance.report.results import load as load_results
from cleancut_conformance.report.text import (
    chapter_line,
    line,
    print_advice,
    print_report,
    summary,
)
from cleancut_conformance.suite import Plan, exit_code, run_all, shard, shuffled
from cleancut_conformance.targets import Target, TargetError, choose
from cleancut_conformance.targets.choose import FORMS
from cleancut_conformance.verdict import Result, Verdict

EXAMPLES: Final = """
\b
Examples:
  cleancut conform                                   the embedded reference server
  cleancut conform --target qemu:qemu-system-x86_64  a real QEMU
  cleancut conform --target qsd:qemu-storage-daemon  its storage daemon, guests by NBD
  cleancut conform --target unix:qmp.sock            a server that runs already
  cleancut conform --target adapter:mine.toml        your own program (docs/adapter.md)
  cleancut conform transaction 'jobs/pause-*'        a chapter, and cases by glob
  cleancut conform --clause PIT-ALL-1                the cases that cite a clause
  cleancut conform ./my-case.yaml                    a case of your own
  cleancut conform --show jobs/verb/paused-job-cancel   a row of a table as a case file
  cleancut conform --html out.html                   a page with every dialogue
  cleancut conform --junit out.xml --shard 1/3       for CI
  cleancut conform --repeat 20 --seed 7 jobs         is a verdict flaky?
  cleancut conform --baseline my.yaml --update-baseline

\b
Exit codes: 0 as expected, 1 a deviation (or a baseline entry that no longer holds),
2 wrong use or a target that cannot be started, 3 unknown, 4 nothing ran, 130 Ctrl-C.
"""


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line says."""

    globs: tuple[str, ...]
    target_text: str
    clause_ids: tuple[str, ...]
    skip_globs: tuple[str, ...]
    only_list: bool
    show_id: str | None
    baseline_text: str | None
    update: bool
    traces: Path | None
    junit_path: Path | None
    html_path: Path | None
    as_json: bool
    jobs: int
    timeout_s: float
    fail_fast: bool
    part: tuple[int, int] | None
    seed: int | None
    repeat: int

    @property
    def again(self) -> list[str]:
        """The words that, followed by a case's id, run it again."""
        words = ["cleancut", "conform", "--target", self.target_text]
        return words if self.baseline_text is None else [*words, "--baseline", self.baseline_text]


def _part(_: click.Context, __: click.Parameter, text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    match = re.fullmatch(r"(\d+)/(\d+)", text)
    if match is None or not 1 <= int(match[1]) <= int(match[2]):
        raise click.BadParameter(f"{text!r} is no part such as 1/3")
    return int(match[1]), int(match[2])


_FILE: Final = click.Path(path_type=Path, dir_okay=False)


@click.command("conform", epilog=EXAMPLES)
@click.argument("globs", nargs=-1, metavar="[GLOB|FILE.yaml]...")
@click.option("--target", "target_text", default="reference", show_default=True, metavar="TARGET",
              help=f"One of {FORMS}.")  # fmt: skip
@click.option("--clause", "clause_ids", multiple=True, metavar="ID", help="Only cases citing it.")
@click.option("--skip", "skip_globs", multiple=True, metavar="GLOB", help="Leave these cases out.")
@click.option("--list", "only_list", is_flag=True, help="Show the cases, run nothing.")
@click.option("--show", "show_id", metavar="ID", help="Print a case as a case file, run nothing.")
@click.option("--baseline", "baseline_text", metavar="FILE|none",
              help="Known deviations.  [default: those of the target's version]")  # fmt: skip
@click.option("--update-baseline", "update", is_flag=True,
              help="Write what deviates now into the baseline FILE.")  # fmt: skip
@click.option("--traces", type=click.Path(path_type=Path, file_okay=False), metavar="DIR",
              help="Where traces and results go.  [default: cleancut-traces/TARGET]")  # fmt: skip
@click.option("--junit", "junit_path", type=_FILE, metavar="FILE", help="Write JUnit XML.")
@click.option("--html", "html_path", type=_FILE, metavar="FILE", help="Write one HTML page.")
@click.option("--json", "as_json", is_flag=True, help="Print the results as JSON lines.")
@click.option("--jobs", type=click.IntRange(1, 64), default=2, show_default=True,
              help="Cases run at once.")  # fmt: skip
@click.option("--timeout", "timeout_s", type=click.FloatRange(0.1, 600), default=10.0,
              show_default=True, metavar="S", help="Wait so long for what must come.")  # fmt: skip
@click.option("--fail-fast", is_flag=True, help="Start no more cases after a deviation.")
@click.option("--shard", "part", callback=_part, metavar="I/N",
              help="Only the I-th of N parts of the cases.")  # fmt: skip
@click.option("--seed", type=int, metavar="N", help="Run the cases in the order of this seed.")
@click.option("--repeat", type=click.IntRange(1, 10000), default=1, show_default=True,
              metavar="N", help="Run everything so often.")  # fmt: skip
def conform(**words: Any) -> int:
    """Run the conformance suite against a QMP server and judge every message of it."""
    options = Options(**words)
    if options.update and options.baseline_text in (None, "none"):
        raise click.UsageError("--update-baseline needs --baseline FILE, the file to write")
    console = _console(options.as_json)
    try:
        if options.show_id is not None:
            return _show(options.show_id)
        cases = _select(options)
        if options.only_list:
            return _list(cases, options.as_json)
        return _Conform(options, console, cases).run()
    except NothingSelected as error:
        console.print(str(error), markup=False)
        return 4
    except (CaseError, BaselineError, TargetError) as error:
        raise click.ClickException(str(error)) from None
    except OSError as error:
        where = f" {error.filename}" if error.filename else ""
        raise click.ClickException(f"cannot write{where}: {error.strerror}") from None


class _Conform:
    """One run of the command: what it writes, and where."""

    def __init__(self, options: Options, console: Console, cases: tuple[Case, ...]) -> None:
        self._options, self._console = options, console
        self._target: Target = choose(options.target_text)
        folder = options.traces or Path("cleancut-traces") / _folder_name(self._target.name)
        self._plan = Plan(
            cases, self._target, folder, options.timeout_s, options.jobs, options.fail_fast,
            _own_baseline(options, cases), options.repeat, probe(self._target, options.timeout_s),
        )  # fmt: skip

    def run(self) -> int:
        """Run the cases; each result is on disk before the next is known."""
        options, plan = self._options, self._plan
        started = time.monotonic()
        plan.traces.mkdir(parents=True, exist_ok=True)
        with (plan.traces / NAME).open("w", encoding="utf-8") as file:

            def write(text: str) -> None:
                file.write(text)
                file.flush()
                if options.as_json:
                    sys.stdout.write(text)
                    sys.stdout.flush()

            writer = ResultWriter(write, plan.traces)
            writer.header(
                self._target.name, options.again, len(plan.runs), seed=options.seed,
                shard="/".join(map(str, options.part)) if options.part else None,
                repeat=options.repeat,
            )  # fmt: skip

            def tell(result: Result, results: list[Result]) -> None:
                writer.result(result)
                _tell(self._console, results, plan)

            results, baseline = run_all(plan, tell)
            if options.update:
                baseline = self._update(results)
            outlived = baseline.outlived(results)
            code = exit_code(results, bool(outlived))
            seconds = time.monotonic() - started
            writer.footer(results, outlived, seconds, code)
        print_report(self._console, results, outlived, options.again)
        found = advice(results, plan.abilities, plan.target)
        print_advice(self._console, found, unable(results, plan.target))
        self._console.print(summary(results, outlived, seconds, self._target.name))
        self._write_reports(results)
        return code

    def _update(self, results: list[Result]) -> Baseline:
        path = Path(str(self._options.baseline_text))
        added, removed = update_baseline(path, results)
        self._console.print(f"{path}: {added} entries added, {removed} removed", markup=False)
        baseline = load_baseline(path, load_suite() + self._plan.cases)
        for result in results:
            baseline.apply(result)
        return baseline

    def _write_reports(self, results: list[Result]) -> None:
        options = self._options
        if options.junit_path is not None:
            with _writing(options.junit_path):
                junit.write(options.junit_path, results, self._target.name)
        if options.html_path is not None:
            from cleancut_conformance.report import html  # the one report that needs Jinja2

            with _writing(options.html_path):
                html.write(options.html_path, [load_results(self._plan.traces)])


class _writing:
    """Names the report that cannot be written."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        return

    def __exit__(self, kind: object, error: BaseException | None, _: object) -> None:
        if isinstance(error, OSError):
            raise click.ClickException(f"cannot write {self._path}: {error.strerror}") from None


def _select(options: Options) -> tuple[Case, ...]:
    """The cases that are asked for, in the order in which they are to run."""
    files = [glob for glob in options.globs if glob.endswith((".yaml", ".yml"))]
    names = tuple(glob for glob in options.globs if glob not in files)
    suite = load_suite()
    chosen = select(suite, names) if names or not files else []
    chosen += [load_file(Path(file)) for file in files]
    skipped = select(suite, options.skip_globs) if options.skip_globs else []
    left_out = {case.id for case in skipped}
    wanted = set(options.clause_ids)
    cases = tuple(
        case
        for case in chosen
        if case.id not in left_out and (not wanted or wanted & set(case.clauses))
    )
    return shuffled(shard(cases, *(options.part or (1, 1))), options.seed)


def _own_baseline(options: Options, cases: tuple[Case, ...]) -> Baseline | None:
    text = options.baseline_text
    if text is None:
        return None
    if text == "none" or (options.update and not Path(text).exists()):
        return Baseline(text)
    return load_baseline(Path(text), load_suite() + cases)


def _folder_name(target: str) -> str:
    kind, _, rest = target.partition(":")
    return f"{kind}-{Path(rest).name}" if rest else kind


def _tell(console: Console, results: list[Result], plan: Plan) -> None:
    """A line for each case that did not pass, and one for each chapter that is through."""
    newest = results[-1]
    if newest.verdict is not Verdict.PASS:
        console.print(line(newest))
    chapter = newest.case.chapter
    of_chapter = [result for result in results if result.case.chapter == chapter]
    planned = sum(case.chapter == chapter for case in plan.cases) * plan.repeat
    if len(of_chapter) == planned:
        console.print(chapter_line(of_chapter))
    elif console.is_terminal:
        console.print(f"{len(results)} of {len(plan.runs)} runs", end="\r")


def _console(as_json: bool) -> Console:
    """Where the report goes: beside JSON, not into it; as wide as it likes if nobody watches."""
    console = Console(stderr=as_json, highlight=False)
    if not console.is_terminal:
        console.width = 120
    return console


def _show(case_id: str) -> int:
    found = next((case for case in load_suite() if case.id == case_id), None)
    if found is None:
        words = f"no case is called {case_id!r}; `cleancut conform --list` shows them"
        raise click.UsageError(words)
    print(as_file(found), end="")
    return 0


def _list(cases: tuple[Case, ...], as_json: bool) -> int:
    if as_json:
        found = [{"id": c.id, "title": c.title, "clauses": c.clauses} for c in cases]
        print(json.dumps(found, indent=1))
    else:
        for case in cases:
            print(f"{case.id:<44} {case.title}")
    return 0 if cases else 4
