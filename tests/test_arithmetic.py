"""The pure arithmetic: its contracts are confirmed by CrossHair, its properties by Hypothesis."""

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cleancut_reference import arithmetic, bitmap

SIZES = st.integers(1, 1 << 45)
CLUSTERS = st.integers(1, 1 << 22)


def crosshair(target: str, seconds: int = 20) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "crosshair", "check", target]
    options = ["--analysis_kind=PEP316", f"--per_condition_timeout={seconds}", "--report_all"]
    return subprocess.run([*command, *options], capture_output=True, text=True, timeout=280)


def test_crosshair_confirms_every_contract() -> None:
    done = crosshair("cleancut_reference.arithmetic")
    contracts = Path(arithmetic.__file__).read_text().count("post: ")
    assert done.returncode == 0, done.stdout
    assert done.stdout.count("Confirmed over all paths") == contracts > 10


@pytest.mark.slow
def test_crosshair_finds_no_counterexample_for_bitmaps() -> None:
    """Bitmaps have no bound, so not every path can be walked; none that was breaks a contract."""
    done = crosshair("cleancut_reference.bitmap", seconds=1)
    assert "error" not in done.stdout and done.returncode == 0, done.stdout
    assert done.stdout.count("info:") == Path(bitmap.__file__).read_text().count("post: ")


@given(st.binary(min_size=1, max_size=40).map(lambda b: bytes(x & 1 for x in b)), st.data())
def test_runs_of_a_bitmap(bits: bytes, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(bits)))
    at = bitmap.first_clear(bits, start, len(bits))
    assert 0 not in bits[start:at]
    if at < len(bits):
        end = bitmap.clear_run(bits, at, len(bits))
        assert not any(bits[at:end]) and (end == len(bits) or bits[end])


def test_crosshair_refutes_a_wrong_contract(tmp_path: Path) -> None:
    right = Path(arithmetic.__file__).read_text()
    wrong = right.replace("(size_bytes + cluster_bytes - 1)", "(size_bytes + cluster_bytes)")
    assert wrong != right
    (tmp_path / "wrong.py").write_text(wrong)
    done = crosshair(str(tmp_path / "wrong.py"))
    assert done.returncode == 1 and "false when calling cluster_count" in done.stdout


@given(SIZES, CLUSTERS, st.data())
def test_the_clusters_of_an_image_are_its_bytes(
    size_bytes: int, cluster_bytes: int, data: st.DataObject
) -> None:
    count = arithmetic.cluster_count(size_bytes, cluster_bytes)
    first = data.draw(st.integers(0, count - 1))
    end = data.draw(st.integers(first + 1, count))
    offset, length = arithmetic.byte_span(first, end, cluster_bytes, size_bytes)
    assert arithmetic.cluster_span(offset, length, cluster_bytes) == (first, end)
    assert (offset + length == size_bytes) == (end == count)


@given(st.lists(st.integers(0, 1 << 24), max_size=20), st.integers(1, 1 << 34))
def test_the_rate_limit_keeps_to_the_speed(chunks: list[int], speed: int) -> None:
    elapsed_ns = sum(arithmetic.delay_ns(chunk, speed) for chunk in chunks)
    assert elapsed_ns * speed >= sum(chunks) * arithmetic.NS_PER_S
    assert elapsed_ns * speed <= sum(chunks) * arithmetic.NS_PER_S + len(chunks) * speed
