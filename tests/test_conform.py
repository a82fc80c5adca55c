"""The suite as its users run it: exit codes, clear lines, reports, endings."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from junitparser import JUnitXml

from cleancut_conformance.case import CaseError, load_suite, parse_case, parse_size, select
from cleancut_conformance.cli import main
from cleancut_conformance.console import Console, Request
from cleancut_conformance.expect import matches
from cleancut_conformance.needs import lacking
from cleancut_conformance.report.junit import render
from cleancut_conformance.runner import run
from cleancut_conformance.steps import VERBS
from cleancut_conformance.suite import shard, shuffled
from cleancut_conformance.targets.reference import Reference
from cleancut_conformance.verdict import Result, Verdict
from cleancut_conformance.wire import Decoder
from cleancut_spec.qmp import schema
from tests.test_lexer import pieces

CLEANCUT = [sys.executable, "-m", "cleancut_conformance"]
QEMU = shutil.which("qemu-system-x86_64")
needs_qemu = [pytest.mark.qemu, pytest.mark.skipif(QEMU is None, reason="no qemu-system-x86_64")]


def cleancut(*arguments: str, cwd: Path, timeout: float = 60) -> subprocess.CompletedProcess[str]:
    command = [*CLEANCUT, *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=timeout)


def results_in(output: str) -> list[dict[str, Any]]:
    """The results among JSON lines, which begin with a header and end with a footer."""
    lines = [json.loads(line) for line in output.splitlines()]
    assert lines[0]["kind"] == "header" and lines[-1]["kind"] == "footer"
    return [line for line in lines if line["kind"] == "result"]


def some_cases() -> list[str]:
    """Every case that was written, and of the tables every twelfth: `make run` runs them all."""
    made = [case.id for case in load_suite() if case.table]
    return [case.id for case in load_suite() if not case.table] + made[::12]


def is_newer(case: str) -> bool:
    """Whether a case needs an argument that 7.2 has not, as `on-cbw-error`."""
    return any(each.id == case and lacking(each, schema()) for each in load_suite())


@pytest.mark.slow
def test_the_reference_passes_its_suite(tmp_path: Path) -> None:
    cases = some_cases()
    done = cleancut("conform", *cases, "--junit", "out.xml", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    results, newer = results_in(done.stdout), {case for case in cases if is_newer(case)}
    assert len(results) == len(cases)
    assert {r["case"] for r in results if r["verdict"] == "skip"} == newer
    assert {r["verdict"] for r in results} <= {"pass", "skip"}
    written = tmp_path / "cleancut-traces" / "reference" / "results.jsonl"
    assert written.read_text() == done.stdout
    suites = JUnitXml.fromfile(str(tmp_path / "out.xml"))
    assert sum(suite.tests for suite in suites) == len(results)
    assert sum(suite.failures + suite.errors for suite in suites) == 0
    assert sum(suite.skipped for suite in suites) == len(newer)
    traces = list((tmp_path / "cleancut-traces" / "reference").glob("*/**/*.jsonl"))
    assert len(traces) == len(results) - len(newer)
    again = cleancut("judge", *map(str, traces), cwd=tmp_path)
    assert again.returncode == 0, again.stdout


@pytest.mark.qemu
@pytest.mark.skipif(QEMU is None, reason="no qemu-system-x86_64 here")
def test_qemu_does_as_its_baseline_says(tmp_path: Path) -> None:
    words = ("--target", f"qemu:{QEMU}", "--json")
    done = cleancut("conform", *some_cases(), *words, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    results = [result for result in results_in(done.stdout) if not is_newer(result["case"])]
    verdicts = [result["verdict"] for result in results]
    assert verdicts.count("pass") > 50 and set(verdicts) <= {"pass", "known"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("more", "code", "text"),
    [("", 1, "remove ARG-DEVICE-1 from the baseline"), ("  sometimes: true\n", 0, "1 pass"),
     ("  sometimes: maybe\n", 2, "sometimes is true or false, not 'maybe'")],
)  # fmt: skip
def test_a_listed_deviation_that_does_not_occur(
    more: str, code: int, text: str, tmp_path: Path
) -> None:
    entry = "- case: arguments/unknown-device\n  clause: ARG-DEVICE-1\n  reason: seen once\n"
    entry += "  date: 2026-11-25\n"
    (tmp_path / "known.yaml").write_text(entry + more)
    done = cleancut("conform", "--baseline", "known.yaml", "arguments/unknown-device", cwd=tmp_path)
    assert done.returncode == code, done.stdout + done.stderr
    assert text in done.stdout + done.stderr


@pytest.mark.slow
def test_a_deviation_is_shown_with_its_clause_and_the_line_that_runs_it_again(
    tmp_path: Path,
) -> None:
    (tmp_path / "mine.yaml").write_text(
        "id: my/wrong\ntitle: a device that does not exist is accepted\n"
        "clauses: [ARG-DEVICE-1]\nsteps:\n"
        "  - send: {execute: drive-backup, arguments: {device: no, target: $t, sync: full}}\n"
    )
    done = cleancut("conform", "./mine.yaml", cwd=tmp_path)
    assert done.returncode == 1
    for text in ("ARG-DEVICE-1", "It says: A backup of a device that does not exist SHALL",
                 '-> {"execute": "drive-backup"', "Again: cleancut conform", "1 fail"):  # fmt: skip
        assert text in done.stdout, text


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["conform", "no-such-case"], 4, "no case is called 'no-such-case'"),
        (["conform", "jobs", "no-such-case"], 2, "no case is called 'no-such-case'"),
        (["conform", "protocol/ids", "--shard", "2/2"], 4, "nothing ran"),
        (["conform", "--shard", "3/2"], 2, "no part such as 1/3"),
        (["conform", "--target", "qemu:no-such-program"], 2, "no program 'no-such-program'"),
        (["conform", "--target", "qemu:/bin/false"], 2, "/bin/false ended at once, exit status 1"),
        (
            ["conform", "--target", "unix:none.sock", "protocol/ids"],
            2,
            "nobody listens on none.sock",
        ),
        (["conform", "--target", "nothing"], 2, "no target 'nothing'; it is one of reference"),
        (["conform", "--frobnicate"], 2, "--frobnicate"),
        (["conform", "none.yaml"], 2, "none.yaml"),
        (["conform", "--baseline", "none.yaml", "protocol"], 2, "none.yaml"),
        (["conform", "--junit", "no/such/dir/x", "protocol/ids"], 2, "cannot write no/such/dir/x"),
        (["conform", "--traces", "/dev/null/x", "protocol/ids"], 2, "cannot write /dev/null/x"),
        (["explain", "TX-ATOMIC-9"], 2, "no clause 'TX-ATOMIC-9'; alike: TX-ATOMIC-1"),
        (["frobnicate"], 2, "no command 'frobnicate'"),
        (["explain", "pit-all-1"], 0, "cleancut conform point-in-time/burst-of-two-drives"),
        (["--help"], 0, "conform   run the conformance suite"),
        (["conform", "--list", "jobs"], 0, "jobs/cancel"),
    ],
)
def test_wrong_use_is_named_in_a_line(
    arguments: list[str],
    code: int,
    text: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    found = main(arguments)
    told = capfd.readouterr()
    assert found == code, told
    assert text in told.out + told.err
    assert "Traceback" not in told.err


def test_wrong_use_ends_the_process_with_its_code(tmp_path: Path) -> None:
    for arguments, code, text in (
        (["conform", "no-such-case"], 4, "no case is called 'no-such-case'"),
        (["conform", "--frobnicate"], 2, "--frobnicate"),
    ):
        done = cleancut(*arguments, cwd=tmp_path)
        assert done.returncode == code and text in done.stdout + done.stderr
        assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("id: [", "mine: while parsing"),
        ("- a", "mine: the case: .* is not of type 'object'"),
        ("id: a/b\ntitle: something long\nclauses: [X-1]\nsteps: [{mark: x}]", "no clause 'X-1'"),
        ("id: a/b\ntitle: it should work\nclauses: [PIT-ONE-1]\nsteps: [{mark: x}]", "title"),
        ("id: a/b\ntitle: something long\nclauses: [PIT-ONE-1]\nsteps: [{jump: 1}]", "steps/0"),
        ("id: a/b\ntitle: something long\nclauses: [PIT-ONE-1]\nsteps: [{mark: x}]\n"
         "given: {drives: {d0: 4Q}}", "'4Q' is no size"),
    ],
)  # fmt: skip
def test_a_malformed_case_is_named(text: str, error: str) -> None:
    with pytest.raises(CaseError, match=error):
        parse_case(text, "mine")


def waiting_case(folder: Path) -> None:
    (folder / "wait.yaml").write_text(
        "id: my/wait\ntitle: an event that never comes\nclauses: [JOB-END-1]\n"
        "steps:\n  - expect: {event: NEVER}\n"
    )


def children(pid: int) -> list[int]:
    found = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True)
    return [int(word) for word in found.stdout.split()]


def start_waiting(folder: Path, *arguments: str) -> tuple[subprocess.Popen[str], int]:
    waiting_case(folder)
    process = subprocess.Popen(
        [*CLEANCUT, "conform", "./wait.yaml", "--timeout", "30", *arguments],
        cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    trace = folder / "cleancut-traces"
    for _ in range(400):
        time.sleep(0.05)
        files = list(trace.glob("*/my/wait.jsonl"))
        if files and '"return"' in files[0].read_text():
            child = children(process.pid)[0]
            return process, (children(child) or [child])[0]  # a fork, or the program itself
    raise AssertionError("the case does not begin")


@pytest.mark.parametrize("target", ["reference", pytest.param(f"qemu:{QEMU}", marks=needs_qemu)])
def test_a_target_that_is_killed_is_unknown(target: str, tmp_path: Path) -> None:
    process, child = start_waiting(tmp_path, "--target", target)
    os.kill(child, signal.SIGKILL)
    output, errors = process.communicate(timeout=20)
    assert process.returncode == 3, output + errors
    assert "the target has gone, killed by SIGKILL" in output and errors == ""


def test_a_target_that_crashes_breaks_a_clause(tmp_path: Path) -> None:
    process, child = start_waiting(tmp_path)
    os.kill(child, signal.SIGABRT)
    output, errors = process.communicate(timeout=20)
    assert process.returncode == 1, output + errors
    assert "QMP-ALIVE-1 the server ended by SIGABRT" in output


def test_a_checker_that_crashes_is_unknown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(*_: object) -> None:
        raise KeyError("oops")

    monkeypatch.setitem(VERBS, "send", crash)
    case = next(case for case in load_suite() if case.id == "protocol/greeting")
    result = run(case, Reference(), tmp_path, timeout_s=5)
    assert result.verdict is Verdict.UNKNOWN
    assert result.reason == "the suite itself has failed: KeyError: 'oops'"


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_ctrl_c_leaves_nothing_running(number: signal.Signals, code: int, tmp_path: Path) -> None:
    process, child = start_waiting(tmp_path, "--junit", "out.xml")
    process.send_signal(number)
    output, errors = process.communicate(timeout=10)
    assert process.returncode == code, output + errors
    assert "Traceback" not in errors
    with pytest.raises(ProcessLookupError):
        os.kill(child, 0)
    assert not (tmp_path / "out.xml").exists()


@pytest.mark.slow
def test_what_never_comes_is_a_deviation_in_time(tmp_path: Path) -> None:
    waiting_case(tmp_path)
    done = cleancut("conform", "./wait.yaml", "--timeout", "0.5", cwd=tmp_path)
    assert done.returncode == 1
    assert 'the event {"event": "NEVER"} does not come within 0.5 s' in done.stdout


@pytest.mark.slow
def test_a_running_server_is_judged_as_far_as_it_can_be(tmp_path: Path) -> None:
    server = subprocess.Popen(
        [sys.executable, "-m", "cleancut_reference", "--qmp", "unix:s"],
        cwd=tmp_path, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert server.stderr is not None and "listening" in server.stderr.readline()
        done = cleancut("conform", "--target", "unix:s", "--json", cwd=tmp_path)
        verdicts = {r["case"]: (r["verdict"], r["reason"]) for r in results_in(done.stdout)}
        assert done.returncode == 0, done.stderr
        assert verdicts["protocol/stream"][0] == "pass"
        assert verdicts["jobs/cancel"] == ("skip", "the target has no files")
    finally:
        server.kill()
        server.communicate()


@pytest.mark.slow
def test_a_server_that_says_yes_to_everything_passes_nothing(tmp_path: Path) -> None:
    stub = (
        "import json, socket\n"
        "s = socket.socket(socket.AF_UNIX); s.bind('s'); s.listen()\n"
        "v = {'qemu': {'major': 7, 'minor': 2, 'micro': 0}, 'package': ''}\n"
        "while True:\n"
        "    c = s.accept()[0]; f = c.makefile('rw')\n"
        "    def say(m): f.write(json.dumps(m) + '\\n'); f.flush()\n"
        "    say({'QMP': {'version': v, 'capabilities': []}})\n"
        "    for line in f: say({'return': {}})\n"
    )
    server = subprocess.Popen([sys.executable, "-c", stub], cwd=tmp_path)
    try:
        for _ in range(100):
            time.sleep(0.05)
            if (tmp_path / "s").exists():
                break
        done = cleancut("conform", "--target", "unix:s", "--timeout", "1", "--json", cwd=tmp_path)
        verdicts = [result["verdict"] for result in results_in(done.stdout)]
        assert done.returncode == 1
        assert "pass" not in verdicts, done.stdout
    finally:
        server.kill()
        server.wait()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount a small file system")
@pytest.mark.slow
def test_a_full_disk_is_named(tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(small)], capture_output=True
    )
    if mounted.returncode:
        pytest.skip("mount is not allowed here")
    try:
        done = cleancut("conform", "protocol", "jobs", "--traces", "small", cwd=tmp_path)
        assert done.returncode == 2
        assert "cannot write" in done.stderr and "No space left" in done.stderr
        assert "Traceback" not in done.stderr
    finally:
        subprocess.run(["umount", str(small)], check=True)


# ---- the parts


def test_junit_has_a_word_for_each_verdict() -> None:
    cases = load_suite()[:5]
    results = [
        Result(case, verdict, "because \x00 <&>")
        for case, verdict in zip(cases, Verdict, strict=True)
    ]
    suite = next(iter(JUnitXml.fromstring(render(results, "x"))))
    assert (suite.tests, suite.failures, suite.errors, suite.skipped) == (5, 1, 1, 2)


@given(
    st.lists(st.dictionaries(st.text(max_size=4), st.integers() | st.text(max_size=8)), max_size=5),
    st.lists(st.integers(0, 500), max_size=6),
    st.sampled_from(["\n", "\r\n"]),
)
def test_replies_are_read_however_they_are_cut(
    messages: list[dict[str, Any]], cuts: list[int], end: str
) -> None:
    data = "".join(json.dumps(message) + end for message in messages).encode()
    decoder = Decoder()
    found = [value for piece in pieces(data, cuts) for value in decoder.feed(piece)]
    assert found == messages


def test_rubbish_comes_out_as_bytes() -> None:
    assert list(Decoder().feed(b'{"a": 1}\nrubbish\n{"b": 2}\n')) == [
        {"a": 1}, b"rubbish\n", {"b": 2},
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("pattern", "value", "expected"),
    [
        ({"a": 1}, {"a": 1, "b": 2}, True),
        ({"a": 1}, {"a": True}, False),
        ({"a": "$any"}, {}, False),
        ({"a": {"$absent": True}}, {}, True),
        ({"a": {"$absent": True}}, {"a": None}, False),
        ([{"a": 1}], [{"a": 1}, {"a": 1}], False),
        ({"$contains": "x"}, "axb", True),
        ({"$le": 3}, 3, True),
        ({"$ge": 4}, 3, False),
        ([], [], True),
    ],
)
def test_matching(pattern: Any, value: Any, expected: bool) -> None:
    assert matches(pattern, value) is expected


def test_console_lines_find_their_requests() -> None:
    console = Console()
    first = Request("d0", "aio_write -P 1 0 64k")
    second = Request("d1", "write -P 2 0 64k")
    third = Request("d1", "read -P 2 0 64k")
    console.open += [first, second, third]
    assert console.line("read failed: Input/output error") is third
    assert console.line("64 KiB, 1 ops; 00.00 sec") is None
    assert console.line("wrote 65536/65536 bytes at offset 0") is first
    assert console.line("write failed: No space left on device") is second
    assert [r.result for r in (first, second, third)] == ["ok", "ENOSPC", "EIO"]
    early, late = (Request("d0", f"aio_write -P 1 {at} 64k") for at in ("1M", "3M"))
    console.open += [early, late]
    assert console.line("wrote 65536/65536 bytes at offset 3145728") is late
    assert console.line("blkdebug: Suspended request 'a'") is None and console.held == {"a"}
    assert console.open == [early]


def test_globs_and_sizes() -> None:
    suite = load_suite()
    assert {c.chapter for c in select(suite, ("jobs",))} == {"jobs"}
    assert not {c.id for c in select(suite, ("*/cancel*",))} - {c.id for c in suite}
    assert len(select(suite, ("**",))) == len(select(suite, ())) == len(suite)
    with pytest.raises(CaseError):
        select(suite, ("*",))
    assert parse_size("1M+512") == 1049088 and parse_size(7) == 7


# ---- parts, order, repetition, baselines


def test_shards_are_disjoint_and_all_and_a_seed_is_an_order() -> None:
    suite = load_suite()
    parts = [shard(suite, number, 7) for number in range(1, 8)]
    assert sorted(case.id for part in parts for case in part) == sorted(c.id for c in suite)
    assert max(map(len, parts)) - min(map(len, parts)) <= 1
    assert shuffled(suite, None) == suite
    assert shuffled(suite, 3) == shuffled(suite, 3) != shuffled(suite, 4)
    assert sorted(c.id for c in shuffled(suite, 3)) == sorted(c.id for c in suite)


@pytest.mark.slow
def test_cases_are_repeated_and_each_run_has_its_trace(tmp_path: Path) -> None:
    words = ("protocol/ids", "protocol/order", "--repeat", "2", "--seed", "1", "--json")
    done = cleancut("conform", *words, cwd=tmp_path)
    found = [(r["case"], r["run"], r["trace"]) for r in results_in(done.stdout)]
    assert sorted(found) == [
        (f"protocol/{name}", run, f"protocol/{name}{'' if run == 1 else '.2'}.jsonl")
        for name in ("ids", "order")
        for run in (1, 2)
    ]
    assert all((tmp_path / "cleancut-traces/reference" / trace).exists() for *_, trace in found)


@pytest.mark.slow
def test_a_baseline_is_written_with_reason_and_date_and_keeps_comments(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(
        "id: my/wrong\ntitle: a device that does not exist is accepted\n"
        "clauses: [ARG-DEVICE-1]\nsteps:\n"
        "  - send: {execute: drive-backup, arguments: {device: no, target: $t, sync: full}}\n"
    )
    old = tmp_path / "known.yaml"
    old.write_text(
        "# Ours.\n- case: protocol/ids # goes\n  clause: QMP-ID-1\n  date: 2026-01-02\n"
        "  reason: once\n- case: protocol/order # stays\n  clause: QMP-ORDER-1\n"
        "  date: 2026-01-02\n  sometimes: true\n  reason: at times\n"
    )
    words = ("conform", "./mine.yaml", "protocol", "--baseline", "known.yaml")
    assert cleancut(*words, cwd=tmp_path).returncode == 1
    done = cleancut(*words, "--update-baseline", cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    assert "known.yaml: 1 entries added, 1 removed" in done.stdout
    text = old.read_text()
    assert "# Ours." in text and "# stays" in text and "protocol/ids" not in text
    assert "reason: >-\n    to be explained: expected" in text and "date: 2" in text
    assert cleancut(*words, cwd=tmp_path).returncode == 0
    done = cleancut("conform", "--update-baseline", cwd=tmp_path)
    assert done.returncode == 2 and "needs --baseline FILE" in done.stderr
