"""Stored results: their form, comparisons of several runs, and the page in a real browser."""

import base64
import json
import re
import shutil
import subprocess
import zlib
from html.parser import HTMLParser
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from cleancut_conformance.report import html, lanes
from cleancut_conformance.report.compare import differing_cases, names, rows, worst
from cleancut_conformance.report.results import ResultError, Sheet, load
from cleancut_conformance.verdict import Verdict
from tests.test_conform import cleancut
from tests.test_judge import TRACES
from tests.test_judge import load as load_trace

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
SCHEMA = Path(__file__).parent.parent / "spec/cleancut_spec/schema/result.schema.json"
WRONG = """\
id: my/wrong
title: a title with <b>markup</b> & "quotes" in it
clauses: [PIT-ONE-1]
needs: [files, guest-io]
given: {drives: {d0: 1M}}
steps:
  - pipeline:
      - guest: d0 write -P 0x11 0 64k
      - send: {execute: drive-backup, arguments: {device: d0, target: $d0.target, sync: full}}
      - guest: d0 write -P 0x12 0 64k
  - jobs-end: [d0]
  - expect: {event: BLOCK_JOB_ERROR}
"""


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs of the suite: one in which all passes, one with a deviation."""
    folder = tmp_path_factory.mktemp("stored")
    (folder / "wrong.yaml").write_text(WRONG)
    done = cleancut("conform", "protocol", "--traces", "good", cwd=folder)
    assert done.returncode == 0, done.stdout
    words = ("protocol", "./wrong.yaml", "--traces", "bad", "--timeout", "1", "--html", "bad.html")
    done = cleancut("conform", *words, cwd=folder)
    assert done.returncode == 1, done.stdout
    return folder


def sheets(folder: Path) -> list[Sheet]:
    return [load(folder / "good"), load(folder / "bad")]


def test_each_line_is_as_the_schema_says(stored: Path) -> None:
    schema = json.loads(SCHEMA.read_text())
    Draft202012Validator.check_schema(schema)
    lines = (stored / "bad" / "results.jsonl").read_text().splitlines()
    kinds = []
    for line in lines:
        Draft202012Validator(schema).validate(json.loads(line))
        kinds.append(json.loads(line)["kind"])
    assert kinds[:2] == ["header", "target"] and kinds[-1] == "footer"
    assert kinds.count("result") == json.loads(lines[0])["cases"]


def test_a_run_that_was_cut_off_says_so(stored: Path) -> None:
    lines = (stored / "good" / "results.jsonl").read_text().splitlines(keepends=True)
    cut = stored / "cut.jsonl"
    cut.write_text("".join(lines[:4]) + lines[4][:40])
    sheet = load(cut)
    assert not sheet.complete and len(sheet.outcomes) == 2
    done = cleancut("report", "cut.jsonl", "--html", "cut.html", cwd=stored)
    assert done.returncode == 3 and "cut off" in done.stdout
    assert "this run was cut off after 2 of" in (stored / "cut.html").read_text()


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", "there is no header in it"),
        ("{\n{}\n", "line 1: not JSON"),
        ('{"kind": "result"}\n', "line 1: 'case' is a required property"),
        ('{"kind": "other"}\n', "line 1: no line of a file of results"),
        ("[]\n[]\n", "line 1: no line of a file of results"),
        ('{"kind": "footer", "verdicts": {}, "outlived": [], "seconds": 0, "exit": 0}',
         "line 1: the header stands first"),
    ],
)  # fmt: skip
def test_a_file_that_is_none_is_named(text: str, error: str, tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_text(text)
    with pytest.raises(ResultError, match=re.escape(error)):
        load(tmp_path / "x.jsonl")
    done = cleancut("report", "x.jsonl", cwd=tmp_path)
    assert done.returncode == 2 and "Traceback" not in done.stderr


def test_targets_are_compared_by_clause(stored: Path) -> None:
    good, bad = sheets(stored)
    assert names([good, bad]) == ["cleancut (reference) #1", "cleancut (reference) #2"]
    table = {row.id: row for row in rows([good, bad])}
    assert table["PIT-ONE-1"].differs and not table["QMP-ORDER-1"].differs
    assert [worst(cell) for cell in table["PIT-ONE-1"].cells] == [None, Verdict.FAIL]
    assert list(differing_cases([good, bad])) == ["my/wrong"]
    done = cleancut("report", "--differences", "good", "bad", cwd=stored)
    assert done.returncode == 0
    assert "PIT-ONE-1" in done.stdout and "QMP-ORDER-1" not in done.stdout
    found = json.loads(cleancut("report", "--json", "good", "bad", cwd=stored).stdout)
    assert found["clauses"]["PIT-ONE-1"]["cleancut (reference) #2"] == {"fail": 1}
    assert list(found["differ"]) == ["my/wrong"]


class Page(HTMLParser):
    """Checks that tags are closed in order, and collects ids and links."""

    VOID = ("meta", "input", "line", "circle", "rect", "br")

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.seen: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)
        if tag not in self.VOID:
            self.open.append(tag)
        for name, value in attrs:
            assert (name != "src" and value is not None) or value is None
            self.ids += [str(value)] if name == "id" else []
            self.links += [str(value)] if name == "href" else []

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag


def opened(text: str) -> str:
    """The page with each dialogue in its place, as the browser puts it there."""
    packed = re.findall(r'<script type="text/plain" id="pack-\d+">(.*?)</script>', text)
    packs = [json.loads(zlib.decompress(base64.b64decode(pack))) for pack in packed]

    def fill(run: re.Match[str]) -> str:
        body, wholes = packs[int(run[3])][int(run[4])]
        assert all(json.loads(whole) for whole in wholes.values() if not whole.endswith("…"))
        return run[1] + body.replace(html.RUN_ID, run[2]) + "</details>"

    head = r'(<details class="run" id="(.*?)" data-pack="(\d+)" data-place="(\d+)".*?</summary>)\s*'
    return re.sub(head + "</details>", fill, text, flags=re.DOTALL)


def test_the_page_needs_no_network_and_escapes_what_it_shows(stored: Path) -> None:
    plain = (stored / "bad.html").read_text()
    text = opened(plain)
    assert len(plain) < len(text) and "qmp_capabilities&#34;" not in plain
    page = Page()
    page.feed(text)
    assert page.open == [] and len(page.ids) == len(set(page.ids))
    assert all(link.startswith("#") and link[1:] in page.ids for link in page.links)
    assert "svg" in page.seen and "b" not in page.seen and "link" not in page.seen
    assert "a title with &lt;b&gt;markup&lt;/b&gt; &amp; &#34;quotes&#34; in it" in text
    assert "http:" not in text and "https:" not in text
    for words in (
        "When a `sync=full` backup has completed",
        "reference wrong.yaml",
        "qmp_capabilities&#34;",
    ):
        assert words in text


def test_the_picture_shows_the_cut_between_the_writes_around_it(stored: Path) -> None:
    bad = load(stored / "bad")
    outcome = next(o for o in bad.outcomes if o.case == "my/wrong")
    picture = lanes.draw(bad.records(outcome), {f.index for f in outcome.findings})
    assert picture.lanes == ["commands", "events", "d0", "job d0"]
    before, after = (s for s in picture.shapes if s.is_io)
    (cut,) = picture.cuts
    assert before.end - lanes.POLL_PX <= cut.x < cut.end <= after.x
    assert [line.kind for line in picture.lines] == ["broken"]
    statuses = [s.text for s in picture.shapes if s.kind.startswith("status")]
    assert statuses[0] == "created" and statuses[-1] == "concluded"


@pytest.mark.parametrize("path", TRACES, ids=lambda p: f"{p.parent.name}/{p.stem}")
def test_every_recorded_dialogue_can_be_drawn(path: Path) -> None:
    picture = lanes.draw(load_trace(path), set())
    assert picture.shapes and picture.width > lanes.LEFT_PX
    assert all(0 < s.x <= s.end <= picture.width for s in picture.shapes)
    assert all(s.lane in picture.lanes for s in picture.shapes)


# ---- in a browser

PROBE = """
<script>
  const said = [];
  const shown = () => document.querySelectorAll("details.run:not([hidden])").length;
  const form = document.forms[0];
  const change = (act) => { act(); form.dispatchEvent(new Event("input")); said.push(shown()); };
  change(() => {});
  change(() => { form.querySelector("[value=pass]").checked = false; });
  change(() => { form.querySelector("[value=pass]").checked = true; form.elements.text.value = "wrong"; });
  change(() => { form.elements.text.value = ""; form.elements.chapter.value = "protocol"; });
  location.hash = "#PROBED-9";
  const look = () => {
    const run = document.querySelector("details.run[open]");
    const row = document.querySelector("tr:target");
    if (!run?.querySelector("svg") || !row) return setTimeout(look, 50);
    const long = run.querySelector("tr[data-whole]"), before = long.cells[2].textContent;
    long.click();
    document.title = JSON.stringify([said, run.contains(row), before.length < long.cells[2].textContent.length]);
  };
  addEventListener("hashchange", look);
</script></body>
"""  # noqa: E501


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no chromium here")
def test_the_page_works_in_a_browser(stored: Path) -> None:
    html.write(stored / "both.html", sheets(stored))
    text = (stored / "both.html").read_text()
    run = re.search(r'id="(run-1-\d+-\d+)"[^>]* data-verdicts="fail"', text)
    assert run is not None
    page = stored / "probe.html"
    page.write_text(text.replace("</body>", PROBE.replace("PROBED", run[1])))
    done = subprocess.run(
        [str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", "--window-size=1300,900",
         f"--user-data-dir={stored / 'profile'}", f"--screenshot={stored / 'page.png'}",
         "--virtual-time-budget=3000", "--dump-dom", page.as_uri()],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    title = re.search(r"<title>(.*?)</title>", done.stdout)
    assert title is not None, done.stderr
    runs = text.count('<details class="run"')
    failed, has_record, grows = json.loads(title[1])
    assert failed == [runs, 1, 1, runs - 1] and has_record and grows
