"""House rules that a test can keep."""

import ast
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PARTS = ("spec", "reference", "model", "conformance")
SOURCES = sorted(path for part in (*PARTS, "tests") for path in (ROOT / part).rglob("*.py"))


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_and_functions_are_short(path: Path) -> None:
    text = path.read_text()
    assert len(text.splitlines()) <= 500
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno
            assert lines <= 60, f"{node.name} has {lines} lines"


@pytest.mark.parametrize("part", PARTS)
def test_no_module_lies_in_a_root(part: str) -> None:
    assert not list((ROOT / part).glob("*.py"))
    assert (ROOT / part / "README.md").read_text().strip()


def test_the_command_line_names_no_machine() -> None:
    """No path of one machine in what is committed."""
    files = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True
    ).stdout.split("\0")
    for name in filter(None, files):
        path = ROOT / name
        if path.suffix in (".py", ".md", ".toml", ".yaml") and path.name != "test_tidy.py":
            text = path.read_text()
            for word in ("/work/", "/root/", "/home/"):
                assert word not in text, f"{name} names {word}"


def test_every_target_of_make_has_a_word_of_help() -> None:
    done = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True)
    for target in ("run", "test", "quick", "matrix", "clean"):
        assert target in done.stdout
