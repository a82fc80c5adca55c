"""Builds the search for one model with the C compiler, and runs it."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

Progress = Callable[[int, int], None]  # states, depth

FLAGS: Final = ("-march=native", "-w", "-std=gnu11", "-pthread", "-fno-sanitize=undefined")
PLAIN: Final = "-O0"
OPTIMIZE: Final = {0: "-O1", 1: "-Og"}  # by rows it takes less time than to compile it
FEW: Final = 100_000  # states: to search so many as they are takes less time than to optimize


class NoCompiler(Exception):
    """There is no C compiler; the message tells how to get one."""


class SearchError(Exception):
    """The search has failed, and the message tells why."""


def compiler() -> list[str]:
    """The command of a C compiler: $CC, `cc`, or the one in the package ziglang."""
    for name in (os.environ.get("CC", ""), "cc", "gcc", "clang"):
        if name and (path := shutil.which(name)):
            return [path]
    if importlib.util.find_spec("ziglang") is not None:
        return [sys.executable, "-m", "ziglang", "cc"]
    raise NoCompiler(
        "there is no C compiler: install one (apt install gcc), or `pip install ziglang`, "
        "or explore in plain Python with --engine python"
    )


def attempts(states: int) -> Iterator[tuple[int, bool]]:
    """At most how many states to search, 0 for all, and whether by an optimized program.

    The second attempt is for what the first one leaves.
    """
    few = min(FEW, states or FEW)
    yield few, False
    if few != states:
        yield states, True


@contextmanager
def built(model: str, options: Mapping[str, int], optimize: bool = True) -> Iterator[Path]:
    """The program that explores a model, given as generated source. Raises NoCompiler."""
    with tempfile.TemporaryDirectory(prefix="cleancut-explore-") as folder:
        source = Path(folder) / "model.h"
        source.write_text(model, encoding="ascii")
        program = Path(folder) / "explore"
        kernel = files("cleancut_model.explore").joinpath("kernel.c")
        command = [
            *compiler(),
            OPTIMIZE[options["ROWS"]] if optimize else PLAIN,
            *FLAGS,
            f'-DMODEL="{source}"',
            *[f"-D{name}={value}" for name, value in options.items()],
            str(kernel),
            "-o",
            str(program),
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SearchError(f"{command[0]} fails on the generated source: {done.stderr[:2000]}")
        yield program


def run(program: Path, arguments: list[str], progress: Progress | None) -> dict[str, Any]:
    """Run the search to its end; nothing is left running, whatever happens. Raises SearchError."""
    with subprocess.Popen([program, *arguments], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            for line in process.stdout:
                told = json.loads(line)
                if "error" in told:
                    raise SearchError(f"the search ends early: {told['error']}")
                if "progress" not in told:
                    return dict(told)
                if progress is not None:
                    progress(told["progress"], told["depth"])
        finally:
            process.kill()
    raise SearchError(f"the search ends early, with status {process.returncode}")
