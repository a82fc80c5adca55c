"""The recipes in docs/test-double.md do what the page says."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

PAGE = Path(__file__).parent.parent / "docs" / "test-double.md"
_FENCE = re.compile(r"^```(\w+)(?: (\S+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def sections() -> dict[str, str]:
    _, *parts = re.split(r"^## (.+)$", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return dict(zip(parts[::2], parts[1::2], strict=True))


@pytest.mark.parametrize("title", sections())
def test_a_recipe_does_what_it_says(title: str, tmp_path: Path) -> None:
    (tmp_path / "docs").symlink_to(PAGE.parent)
    said, compared = "", 0
    for kind, name, text in _FENCE.findall(sections()[title]):
        match kind:
            case "python":
                (tmp_path / name).write_text(text)
            case "sh":
                said = run(text, tmp_path)
            case "text":
                assert said == text
                compared += 1
    assert compared, "a recipe shows what comes of it"


def run(script: str, folder: Path) -> str:
    """What a script says; it fails where any command does, and its servers end with it."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        [
            "bash",
            "-euo",
            "pipefail",
            "-c",
            f"trap 'kill $(jobs -p) 2>/dev/null || :' EXIT\n{script}",
        ],
        cwd=folder,
        env=os.environ | {"PATH": path},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done
    return done.stdout
