"""The cases of the suite as pytest's items: `pytest --cleancut qemu:PATH`.

Without that option nothing is collected, imported or changed.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

if TYPE_CHECKING:
    from cleancut_conformance.abilities import Abilities
    from cleancut_conformance.baseline import Baseline, Known
    from cleancut_conformance.case import Case
    from cleancut_conformance.targets import Target
    from cleancut_conformance.verdict import Result

ROOT: Final = "cleancut"  # the head of each item's name


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options; all is off without the first."""
    group = parser.getgroup("cleancut", "conformance of a QMP server")
    group.addoption("--cleancut", metavar="TARGET", default=None,
                    help="run the conformance suite against TARGET, as `cleancut conform` names "
                    "it: reference, qemu:PATH, adapter:FILE.toml, …")  # fmt: skip
    group.addoption("--cleancut-only", action="store_true",
                    help="collect no other tests than the suite's cases")  # fmt: skip
    group.addoption("--cleancut-cases", metavar="GLOB", action="append", default=[],
                    help="only cases of this name or chapter (may be repeated)")  # fmt: skip
    group.addoption("--cleancut-baseline", metavar="FILE|none", default=None,
                    help="known deviations [default: those of the target's version]")  # fmt: skip
    group.addoption("--cleancut-timeout", metavar="S", type=float, default=10.0,
                    help="wait so long for what must come [default: 10]")  # fmt: skip
    group.addoption("--cleancut-traces", metavar="DIR", default="cleancut-traces/pytest",
                    help="where traces go [default: %(default)s]")  # fmt: skip


def pytest_configure(config: pytest.Config) -> None:
    """Switch on what runs cases, if it is asked for; raises UsageError for a target that is not."""
    text = config.getoption("--cleancut")
    if text is None:
        if config.getoption("--cleancut-only") or config.getoption("--cleancut-cases"):
            raise pytest.UsageError("--cleancut-… needs --cleancut TARGET")
        return
    from cleancut_conformance.baseline import BaselineError
    from cleancut_conformance.case import CaseError
    from cleancut_conformance.targets import TargetError

    try:
        config.pluginmanager.register(_Plugin(config, text), "cleancut-cases")
    except (BaselineError, CaseError, TargetError) as error:
        raise pytest.UsageError(f"--cleancut: {error}") from None


class _Plugin:
    """What runs cases: the target, its baseline, what it has."""

    def __init__(self, config: pytest.Config, text: str) -> None:
        from cleancut_conformance.baseline import Baseline, load_baseline
        from cleancut_conformance.case import load_suite, select
        from cleancut_conformance.targets import TargetError, choose

        self.text = text
        self.target: Target = choose(text)
        workers = config.getoption("numprocesses", None) or hasattr(config, "workerinput")
        if workers and not self.target.at_once:
            raise TargetError(f"{text} is one server for all: run without -n")
        self.cases = select(load_suite(), tuple(config.getoption("--cleancut-cases")))
        self.timeout_s: float = config.getoption("--cleancut-timeout")
        self.traces = Path(config.getoption("--cleancut-traces"))
        self._only: bool = config.getoption("--cleancut-only")
        self._abilities: Abilities | None = None
        self._baseline: Baseline | None = None
        named = config.getoption("--cleancut-baseline")
        if named is not None:
            known = named != "none"
            self._baseline = load_baseline(Path(named), load_suite()) if known else Baseline("none")

    def pytest_ignore_collect(self) -> bool | None:
        """With --cleancut-only no file is looked at."""
        return True if self._only else None

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(
        self, session: pytest.Session, items: list[pytest.Item]
    ) -> None:
        """The cases stand behind the other tests, before -k and its like choose."""
        suite = _Suite.from_parent(session, name=ROOT, nodeid=ROOT, plugin=self)
        items.extend(session.genitems(suite))

    def run(self, case: Case) -> tuple[Result, list[Known]]:
        """The result of a case, and the entries of the baseline that no longer hold."""
        from cleancut_conformance.abilities import probe
        from cleancut_conformance.baseline import shipped_baseline
        from cleancut_conformance.case import load_suite
        from cleancut_conformance.runner import run

        if self._abilities is None:
            self._abilities = probe(self.target, self.timeout_s)
        result = run(case, self.target, self.traces, self.timeout_s, abilities=self._abilities)
        if self._baseline is None and result.records:
            self._baseline = shipped_baseline(result.records, load_suite())
        if self._baseline is None:
            return result, []
        self._baseline.apply(result)
        return result, self._baseline.outlived([result])


class _Suite(pytest.Collector):
    """All cases that are asked for."""

    def __init__(self, *, plugin: _Plugin, **words: Any) -> None:
        super().__init__(**words)
        self._plugin = plugin

    def collect(self) -> Iterator[_Item]:
        """An item for each case, in the order of the suite."""
        for case in self._plugin.cases:
            yield _Item.from_parent(self, name=case.id, case=case, plugin=self._plugin)


class _Item(pytest.Item):
    """A case."""

    def __init__(self, *, case: Case, plugin: _Plugin, **words: Any) -> None:
        super().__init__(**words)
        self._case, self._plugin = case, plugin
        self.extra_keyword_matches.update({case.chapter, *case.clauses})
        self.user_properties += [("clause", clause) for clause in case.clauses]

    def runtest(self) -> None:
        """Skipped and known deviations are pytest's skip and xfail; unknown is never green."""
        from cleancut_conformance.targets import TargetError
        from cleancut_conformance.verdict import Verdict

        try:
            result, outlived = self._plugin.run(self._case)
        except TargetError as error:
            raise _Deviates(str(error)) from None
        match result.verdict:
            case Verdict.SKIP:
                pytest.skip(result.reason)
            case Verdict.KNOWN:
                pytest.xfail(result.reason)
            case Verdict.UNKNOWN:
                raise _Deviates(f"unknown: {result.reason}\n   Trace: {result.trace}")
            case Verdict.FAIL:
                raise _Deviates(self._picture(result))
        for entry in outlived:
            raise _Deviates(f"passes now: remove {entry.clause} from the baseline")

    def _picture(self, result: Result) -> str:
        from rich.text import Text

        from cleancut_conformance.report.text import picture

        if not result.findings:
            return result.reason
        again = ["cleancut", "conform", "--target", self._plugin.text, self._case.id]
        return Text.from_markup(picture(result, again)).plain

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """The deviation as `cleancut conform` shows it; a traceback only of a fault of ours."""
        if isinstance(excinfo.value, _Deviates):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, None, str]:
        """What stands above a failure."""
        return Path(ROOT), None, f"{self._case.id}: {self._case.title}"


class _Deviates(Exception):
    """The case did not come out as it must."""
