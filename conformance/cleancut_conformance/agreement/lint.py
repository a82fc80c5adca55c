"""`cleancut lint`: does each case earn its place?

A case, or a row of a table, stays if a wrong engine fails it, if versions of QEMU differ in it,
or if it says `why`. What was found is kept in `evidence.json`, so that the check itself takes no
time.
"""

import json
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from importlib import resources
from pathlib import Path
from typing import Any, Final

import click

from cleancut_conformance.agreement.wrong import WRONG, Wrong
from cleancut_conformance.agreement.wrong.server import CASE_S, server
from cleancut_conformance.case import Case, load_suite
from cleancut_conformance.files import write_whole
from cleancut_conformance.report.compare import names
from cleancut_conformance.report.results import ResultError, Sheet, load
from cleancut_conformance.runner import run
from cleancut_conformance.tables import TABLES
from cleancut_conformance.tables.words import Table
from cleancut_conformance.verdict import Verdict
from cleancut_model.commands.shared import progress_bar

NAME: Final = "evidence.json"

EXAMPLES: Final = """
\b
Examples:
  cleancut lint                                  against the evidence that is kept
  cleancut lint --try --update                   run the wrong engines on what has none, keep it
  cleancut lint cleancut-traces/qemu-* --update  versions that differ are evidence, too

\b
Exit codes: 0 each case earns its place, 1 some do not, 2 wrong use.
"""


@dataclass(slots=True)
class Evidence:
    """For each case the wrong engines that fail it, and the versions that differ in it."""

    engines: dict[str, list[str]] = field(default_factory=dict)
    versions: dict[str, dict[str, str]] = field(default_factory=dict)

    def speaks_for(self, case_id: str) -> bool:
        """Whether the case would be missed."""
        return bool(self.engines.get(case_id) or self.versions.get(case_id))

    def add_catch(self, case_id: str, engine: str) -> None:
        """A wrong engine that fails the case."""
        found = self.engines.setdefault(case_id, [])
        if engine not in found:
            found.append(engine)

    def add_runs(self, sheets: list[Sheet]) -> None:
        """What several runs of the suite say of a case, where they differ."""
        outcomes: dict[str, dict[str, str]] = defaultdict(dict)
        for name, sheet in zip(names(sheets), sheets, strict=True):
            for outcome in sheet.outcomes:
                outcomes[outcome.case][name] = str(outcome.verdict)
        for case_id, verdicts in outcomes.items():
            if len(set(verdicts.values()) - {"skip"}) > 1:
                self.versions[case_id] = verdicts

    def trim(self, cases: tuple[Case, ...]) -> None:
        """Forget cases and engines that are no more."""
        known = {case.id for case in cases}
        named = {
            case_id: [engine for engine in found if engine in WRONG]
            for case_id, found in self.engines.items()
            if case_id in known
        }
        self.engines = {case_id: sorted(found) for case_id, found in sorted(named.items()) if found}
        self.versions = {c: v for c, v in sorted(self.versions.items()) if c in known}

    def text(self) -> str:
        """As it is kept: a line for each case."""
        return f'{{"engines": {_lines(self.engines)}, "versions": {_lines(self.versions)}}}\n'


def _lines(found: Mapping[str, Any]) -> str:
    inner = ",\n".join(f" {json.dumps(name)}: {json.dumps(one)}" for name, one in found.items())
    return f"{{\n{inner}\n}}"


def kept() -> Evidence:
    """The evidence that comes with the suite."""
    file = resources.files("cleancut_conformance") / NAME
    data = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    return Evidence(data.get("engines", {}), data.get("versions", {}))


def complaints(cases: tuple[Case, ...], evidence: Evidence) -> list[str]:
    """Each case that nothing speaks for, in a line."""
    found = []
    for case in cases:
        if not case.why and not evidence.speaks_for(case.id):
            words = "no wrong engine fails it, no versions differ in it, and it says no why"
            found.append(f"{case.id}: {words}")
    return found


def idle_reasons(tables: Iterable[Table], evidence: Evidence) -> list[str]:
    """Each reason of a table that no row of it needs, in a line."""
    found = []
    for table in tables:
        names = [row["id"].removeprefix(f"{table.id}/") for row in table.cases]
        bare = [n for n in names if not evidence.speaks_for(f"{table.id}/{n}")]
        found += [
            f"{table.id}: no row needs the reason for {glob!r}"
            for glob in table.reasons
            if not any(fnmatchcase(name, glob) for name in bare)
        ]
    return found


@click.command("lint", epilog=EXAMPLES)
@click.argument("results", nargs=-1, metavar="[RESULTS]...",
                type=click.Path(path_type=Path, exists=True))  # fmt: skip
@click.option("--try", "tries", is_flag=True,
              help="Run the wrong engines on each case that has no evidence yet.")  # fmt: skip
@click.option("--update", is_flag=True, help="Keep what was found.")
def lint(results: tuple[Path, ...], tries: bool, update: bool) -> int:
    """Name each case that lets nothing through if it is taken away."""
    cases, evidence = load_suite(), kept()
    for name, wrong in WRONG.items():
        evidence.add_catch(wrong.case, name)
    try:
        evidence.add_runs([load(path) for path in results])
    except ResultError as error:
        raise click.ClickException(str(error)) from None
    if tries:
        _try(cases, evidence)
    if update:
        evidence.trim(cases)
        path = Path(str(resources.files("cleancut_conformance") / NAME))
        write_whole(path, evidence.text().encode())
    found = complaints(cases, evidence) + idle_reasons(TABLES, evidence)
    for line in found:
        print(line)
    written = sum(not case.table for case in cases)
    tables = len({case.table for case in cases if case.table})
    tail = f"{written} cases, {tables} tables with {len(cases) - written} rows: {len(found)}"
    print(f"{tail} without a reason to stay")
    return 1 if found else 0


def _near(wrong: Wrong, row: Case) -> bool:
    """Whether a row may see an engine: all of them on all rows would take hours."""
    return wrong.clause in row.clauses or wrong.case.split("/")[0] == row.chapter


def _try(cases: tuple[Case, ...], evidence: Evidence) -> None:
    """Give each wrong engine the cases that no other has failed yet; of the rows of tables those
    that are near.
    """
    with tempfile.TemporaryDirectory(prefix="cleancut-") as folder, progress_bar() as progress:
        task = progress.add_task("", total=len(WRONG))
        for name, wrong in WRONG.items():
            open_cases = [
                case
                for case in cases
                if not (case.why or evidence.speaks_for(case.id))
                and (not case.table or _near(wrong, case))
            ]
            progress.update(task, description=f"{name} on {len(open_cases)} cases")
            with ThreadPoolExecutor(2) as pool:
                runs = [pool.submit(run, case, server(case, name), Path(folder), CASE_S)
                        for case in open_cases]  # fmt: skip
            for case, future in zip(open_cases, runs, strict=True):
                if future.result().verdict is Verdict.FAIL:
                    evidence.add_catch(case.id, name)
            progress.advance(task)
