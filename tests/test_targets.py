"""Targets: programs of others, programs that are wrong as a whole, the storage daemon."""

import json
import re
import shutil
import subprocess
import sys
from importlib import resources
from pathlib import Path
from typing import Any, Final

import pytest
from junitparser import JUnitXml

from cleancut_conformance import wire
from cleancut_conformance.abilities import Abilities, lacks, needed
from cleancut_conformance.baseline import BaselineError, parse_baseline
from cleancut_conformance.case import load_suite
from cleancut_conformance.judge import Finding
from cleancut_conformance.targets import TargetError, choose
from cleancut_conformance.targets.socket import Socket
from cleancut_conformance.verdict import Result, Verdict

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent
CLEANCUT = [sys.executable, "-m", "cleancut_conformance"]
DAEMON = shutil.which("qemu-storage-daemon")


def conform(folder: Path, *words: str) -> tuple[int, dict[str, dict[str, Any]], str]:
    """Exit code, results by case, and the report."""
    done = subprocess.run(
        [*CLEANCUT, "conform", "--json", *words],
        cwd=folder, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    results = {line["case"]: line for line in lines if line["kind"] == "result"}
    assert "Traceback" not in done.stderr
    return done.returncode, results, done.stderr


def little(folder: Path, name: str, more: str = "") -> str:
    """A target that starts one of the little servers."""
    words = [sys.executable, str(ROOT / "tests" / "little_servers.py"), name, "{socket}"]
    (folder / "t.toml").write_text(f"command = {json.dumps(words)}\n{more}")
    return "adapter:t.toml"


DRIVES = 'drive = []\nempty-drive = []\nfault = ["x"]\nguest-io = "monitor"\n'


def test_the_server_to_begin_with_is_told_what_to_implement_first(tmp_path: Path) -> None:
    target = f"adapter:{ROOT}/docs/adapters/first_server.toml"
    code, results, report = conform(tmp_path, "--target", target, "protocol", "arguments", "jobs")
    assert {c for c, r in results.items() if r["verdict"] == "fail"} == {"protocol/stream"}
    assert results["protocol/ids"]["verdict"] == "pass" and code == 1
    assert re.search(r"1\. command drive-backup +\d+ cases need it, and it opens \d+", report)
    assert "Skipped for want of: files (" in report


def test_a_server_that_says_yes_to_everything_passes_nothing(tmp_path: Path) -> None:
    """It claims to have drives, guests and faults, so that no case is skipped for want of them."""
    drives = DRIVES.replace("drive = []\nempty-drive = []", 'drive = ["x"]\nempty-drive = ["x"]')
    target = little(tmp_path, "YesToAll", drives)
    words = ("--shard", "1/16", "--timeout", "0.3", "--jobs", "4")
    code, results, _ = conform(tmp_path, "--target", target, *words)
    judged = [r["verdict"] for r in results.values() if r["reason"] != "the target has no hold"]
    assert code == 1 and set(judged) == {"fail"} and len(judged) > 30


def test_a_server_that_knows_no_command_is_told_where_to_begin(tmp_path: Path) -> None:
    words = ("protocol", "jobs/no-such-job", "--timeout", "2")
    code, results, report = conform(tmp_path, "--target", little(tmp_path, "NoToAll"), *words)
    assert code == 1 and results["protocol/ids"]["verdict"] == "fail"
    assert results["protocol/ids"]["findings"][0]["clause"] == "QMP-NEGOTIATE-1"
    assert "1. command qmp_capabilities" in report


@pytest.mark.parametrize(
    ("name", "reason", "ending"),
    [
        ("Crashes", "the target has gone, exit status 3: the status is lost",
         "The target: exit status 3, unasked. Its standard error:\nthe status is lost"),
        ("Hangs", "does not come within 1 s",
         "The target: still running, and was ended by us. Its standard error:\nthinking"),
    ],
)  # fmt: skip
def test_a_target_that_ends_or_hangs_costs_only_its_case(
    name: str, reason: str, ending: str, tmp_path: Path
) -> None:
    words = ("protocol/ids", "protocol/greeting", "protocol/unknown-command", "--timeout", "1")
    target = little(tmp_path, name)
    code, results, report = conform(tmp_path, "--target", target, *words, "--junit", "j.xml")
    verdicts = {case: result["verdict"] for case, result in results.items()}
    assert code == 1 and verdicts.pop("protocol/ids") == "fail"
    assert set(verdicts.values()) == {"pass"}
    failed = results["protocol/ids"]
    assert reason in failed["reason"] and failed["ending"] == ending
    assert ending.splitlines()[-1] in report and "query-status" in report  # the last messages
    trace = next(tmp_path.rglob("protocol/ids.jsonl")).read_text()
    assert "query-status" in trace and "stderr" in trace
    suites = list(JUnitXml.fromfile(str(tmp_path / "j.xml")))
    outputs = [case.system_err for suite in suites for case in suite if case.system_err]
    assert outputs == [ending]


TALKS_ON: Final = """
import json, socket, sys
s = socket.socket(socket.AF_UNIX); s.bind(sys.argv[1]); s.listen()
stamp = {'seconds': 1, 'microseconds': 1}
qemu = {'major': 7, 'minor': 2, 'micro': 0}
while True:
    c = s.accept()[0]; f = c.makefile('rw')
    def say(m): f.write(json.dumps(m) + '\\n'); f.flush()
    say({'QMP': {'version': {'qemu': qemu, 'package': ''}, 'capabilities': []}})
    try:
        for line in f:
            r = json.loads(line)
            say({'return': {}, **({'id': r['id']} if 'id' in r else {})})
            while r['execute'] == 'quit': say({'event': 'RTC_CHANGE', 'timestamp': stamp})
    except OSError:
        pass
"""


def test_a_server_that_talks_on_after_quit_is_ended(tmp_path: Path) -> None:
    (tmp_path / "t.toml").write_text(
        f"command = {json.dumps([sys.executable, '-c', TALKS_ON, '{socket}'])}\n"
    )
    (tmp_path / "mine.yaml").write_text(
        "id: my/end\ntitle: the server ends\nclauses: [JOB-QUIT-1]\nsteps:\n  - quit: true\n"
    )
    words = ("--target", "adapter:t.toml", "./mine.yaml", "--timeout", "0.5")
    code, results, _ = conform(tmp_path, *words)
    assert code == 1
    assert results["my/end"]["reason"] == "the server does not hang up after quit"


def test_what_is_too_long_for_a_reply_does_not_fill_the_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(wire, "MAX_VALUE_BYTES", 100)
    decoder = wire.Decoder()
    found = [value for _ in range(50) for value in decoder.feed(b'{"return": "' + b"x" * 20)]
    assert found and all(isinstance(value, bytes) for value in found)
    assert len(decoder.rest()) <= 132


def test_the_adapter_of_the_documentation_judges_as_the_built_in_target_does(
    tmp_path: Path,
) -> None:
    text = (ROOT / "docs" / "adapter.md").read_text()
    block = re.search(r"```toml\n# reference.toml\n(.*?)```", text, re.DOTALL)
    assert block is not None
    description = block[1].replace('"python3"', json.dumps(sys.executable))
    (tmp_path / "reference.toml").write_text(description)
    words = ("policy/report", "arguments/empty-drive", "point-in-time/burst-of-two-drives")
    code, results, _ = conform(tmp_path, "--target", "adapter:reference.toml", *words)
    assert code == 0 and {r["verdict"] for r in results.values()} == {"pass"}
    assert len(results) == len(words)


@pytest.mark.skipif(DAEMON is None, reason="no qemu-storage-daemon")
@pytest.mark.qemu
def test_the_storage_daemon_with_guests_by_nbd(tmp_path: Path) -> None:
    words = (
        "point-in-time/*-copy",
        "policy/*-error",
        "jobs/finalize",
        "*/empty-drive",
        "bitmaps/names",
    )
    code, results, report = conform(tmp_path, "--target", f"qsd:{DAEMON}", *words)
    verdicts = {case: result["verdict"] for case, result in results.items()}
    assert code == 0, report
    assert verdicts["point-in-time/write-after-copy"] == "pass"
    assert verdicts["policy/guest-write-meets-error"] == "pass"
    assert verdicts["jobs/finalize"] == "known"
    assert verdicts["arguments/empty-drive"] == verdicts["bitmaps/names"] == "skip"
    trace = (next(tmp_path.rglob("write-after-copy.jsonl"))).read_text()
    assert '"by": "nbd"' in trace and "human-monitor-command" not in trace


@pytest.mark.qemu
@pytest.mark.skipif(DAEMON is None, reason="no qemu-storage-daemon")
def test_what_guests_write_by_nbd_is_judged(tmp_path: Path) -> None:
    """The same run, with the target's content at the cut swapped for what was written later."""
    conform(tmp_path, "--target", f"qsd:{DAEMON}", "point-in-time/write-after-copy")
    trace = next(tmp_path.rglob("write-after-copy.jsonl"))
    lines = [json.loads(line) for line in trace.read_text().splitlines()]
    writes = [r["note"] for r in lines if r["dir"] == "io" and "result" not in r["note"]]
    byte, offset = re.match(r"write -P (\w+) (\w+)", writes[-1]["cmd"]).groups()  # type: ignore[union-attr]
    assert offset == "0"
    for record in lines:
        if record["dir"] == "observe" and record["note"]["image"].endswith("d0.target"):
            record["note"]["extents"].append([0, 512, int(byte, 0)])
    trace.write_text("".join(json.dumps(line) + "\n" for line in lines))
    done = subprocess.run([*CLEANCUT, "judge", str(trace)], capture_output=True, text=True)
    assert done.returncode == 1 and "PIT-AFTER-1" in done.stdout, done.stdout


def test_qemus_command_line_reaches_the_reference(tmp_path: Path) -> None:
    words = ("policy/ignore", "arguments/empty-drive", "jobs/quit")
    code, results, _ = conform(tmp_path, "--target", "cleancut-qemu", *words)
    assert code == 0 and {r["verdict"] for r in results.values()} == {"pass"}


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("command = [", "t.toml: "),
        ("drive = ['x']", "t.toml: command must be a list with the program and its arguments"),
        ("command = ['x']\nfrob = 1", "t.toml: no key 'frob'; there are command, drive,"),
        ("command = 'x'", "t.toml: command must be a list of texts"),
        ("command = ['x']\nquit = 1", "t.toml: quit must be true or false"),
        ("command = ['x']\nguest-io = 'smoke'", "guest-io must be one of monitor, nbd, none"),
        ("command = ['x']\nenvironment = ['y']", "environment must be a table of texts"),
    ],
)
def test_a_file_that_describes_no_target_is_named(text: str, error: str, tmp_path: Path) -> None:
    (tmp_path / "t.toml").write_text(text)
    with pytest.raises(TargetError, match=re.escape(error)):
        choose(f"adapter:{tmp_path}/t.toml")
    with pytest.raises(TargetError, match="No such file"):
        choose(f"adapter:{tmp_path}/none.toml")
    with pytest.raises(TargetError, match="no target 'mine:x'; it is one of reference"):
        choose("mine:x")


def test_what_is_listed_decides_and_what_is_not_said_does_not() -> None:
    cases = {case.id: case for case in load_suite()}
    case, running = cases["transaction/abort-last"], Socket("s")
    assert "transaction:abort" in needed(case) and "human-monitor-command" not in needed(case)
    assert "quit" not in needed(case, by_monitor=False)
    plain = next(c for c in cases.values() if not c.needs and "query-status" in needed(c))
    assert lacks(plain, running, Abilities()) == ""
    some = Abilities(frozenset({"qmp_capabilities"}))
    assert "command query-status" in lacks(plain, running, some)
    no_abort = Abilities(needed(case), frozenset({"drive-backup"}))
    assert no_abort.missing(needed(case)) == ["transaction:abort"]
    unknown = next(c for name, c in cases.items() if name.endswith("type-unknown"))
    assert {name.partition(":")[2] for name in needed(unknown)} == {""}


def test_an_adapter_is_given_no_fault_that_its_file_cannot_say(tmp_path: Path) -> None:
    words = 'command = ["x"]\ndrive = ["y"]\nfault = ["{offset}"]\nguest-io = "monitor"\n'
    (tmp_path / "t.toml").write_text(words)
    target = choose(f"adapter:{tmp_path}/t.toml")
    of_nth = [case for case in load_suite() if any(fault.nth for fault in case.given.faults)]
    reasons = {lacks(case, target, Abilities()) for case in of_nth}
    assert of_nth and reasons == {"the target has no fault of the n-th request"}


def test_every_baseline_that_ships_can_be_read() -> None:
    folder = resources.files("cleancut_conformance") / "baselines"
    names = [file.name for file in folder.iterdir() if file.name.endswith(".yaml")]
    assert {"qemu-7.2.yaml", "qsd-7.2.yaml"} <= set(names)
    for name in names:
        parse_baseline((folder / name).read_text(), name, load_suite())


def test_a_table_in_a_baseline_stands_for_rows_that_deviate_now_and_then() -> None:
    entry = "- {case: transaction/pair, clause: GUEST-LIVE-1, date: 2026-11-27, reason: at times"
    with pytest.raises(BaselineError, match="'transaction/pair' is a table"):
        parse_baseline(entry + "}", "b", load_suite())
    known = parse_baseline(entry + ", sometimes: true}", "b", load_suite())
    row = next(case for case in load_suite() if case.table == "transaction/pair")
    for clause_id, verdict in (("GUEST-LIVE-1", Verdict.KNOWN), ("TX-FAIL-1", Verdict.FAIL)):
        result = Result(row, Verdict.FAIL, findings=[Finding(1, clause_id, "hangs")])
        known.apply(result)
        assert result.verdict is verdict
    assert known.outlived([Result(row, Verdict.PASS)]) == []
