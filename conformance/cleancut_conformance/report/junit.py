"""JUnit XML: one suite a chapter; unknown is an error, skipped and known cases are skipped."""

import re
from itertools import groupby
from pathlib import Path
from typing import Final
from xml.etree import ElementTree

from cleancut_conformance.files import write_whole
from cleancut_conformance.verdict import Result, Verdict

_ELEMENT: Final = {
    Verdict.FAIL: "failure",
    Verdict.UNKNOWN: "error",
    Verdict.SKIP: "skipped",
    Verdict.KNOWN: "skipped",
}
_NOT_XML: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def render(results: list[Result], target: str) -> bytes:
    """The document."""
    root = ElementTree.Element("testsuites", name=f"cleancut {target}")
    for chapter, group in groupby(results, key=lambda result: result.case.chapter):
        members = list(group)
        counts = {name: 0 for name in ("failure", "error", "skipped")}
        suite = ElementTree.SubElement(root, "testsuite", name=chapter)
        for result in members:
            _add(suite, result)
            if result.verdict in _ELEMENT:
                counts[_ELEMENT[result.verdict]] += 1
        suite.set("tests", str(len(members)))
        suite.set("failures", str(counts["failure"]))
        suite.set("errors", str(counts["error"]))
        suite.set("skipped", str(counts["skipped"]))
        suite.set("time", f"{sum(result.seconds for result in members):.3f}")
    ElementTree.indent(root)
    document: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return document


def _add(suite: ElementTree.Element, result: Result) -> None:
    case = ElementTree.SubElement(
        suite,
        "testcase",
        classname=result.case.chapter,
        name=result.case.id,
        time=f"{result.seconds:.3f}",
    )
    properties = ElementTree.SubElement(case, "properties")
    for clause_id in result.case.clauses:
        ElementTree.SubElement(properties, "property", name="clause", value=clause_id)
    if result.verdict in _ELEMENT:
        prefix = "known: " if result.verdict is Verdict.KNOWN else ""
        text = _NOT_XML.sub("?", prefix + result.reason)
        element = ElementTree.SubElement(case, _ELEMENT[result.verdict], message=text)
        element.text = "\n".join(
            _NOT_XML.sub("?", f"{f.clause} at record {f.index}: {f.message}")
            for f in result.findings
        )
    if result.ending:
        ElementTree.SubElement(case, "system-err").text = _NOT_XML.sub("?", result.ending)


def write(path: Path, results: list[Result], target: str) -> None:
    """Write the document, whole or not at all."""
    write_whole(path, render(results, target))
