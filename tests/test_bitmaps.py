"""Dirty bitmaps by their commands and actions: the same replies as QEMU 7.2 gives."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cleancut_reference.block.dirty_bitmap import DirtyBitmap
from tests.pair import Pair, needs_qemu, pair, request

QEMU = [pytest.mark.qemu, needs_qemu]
CD = ("-drive", "if=none,id=cd,media=cdrom")


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("p")  # short: a socket's path has 107 bytes at most


def bitmap(verb: str, name: str = "b", node: str = "d0", **more: Any) -> str:
    """The line of a bitmap command."""
    key = "target" if verb == "merge" else "name"
    return f"block-dirty-bitmap-{verb} {json.dumps({'node': node, key: name, **more})}"


def action(verb: str, name: str = "b", **more: Any) -> dict[str, Any]:
    """A bitmap command as an action."""
    kind, _, data = bitmap(verb, name, **more).partition(" ")
    return {"type": kind, "data": json.loads(data)}


def transaction(*actions: dict[str, Any], **properties: str) -> str:
    mode = {name.replace("_", "-"): value for name, value in properties.items()}
    return f"transaction {json.dumps({'actions': actions, 'properties': mode})}"


ABORT = {"type": "abort", "data": {}}
SHA = 'x-debug-block-dirty-bitmap-sha256 {"node": "d0", "name": "b"}'
WRITE = 'hmp qemu-io d0 "write -P 1 100 200"'
WRITES = (WRITE, 'hmp qemu-io d0 "write -P 2 128k 64k"', 'hmp qemu-io d0 "write -z 700k 1k"')


def refused() -> list[str]:
    """Commands that are refused, and some beside them that are not."""
    sizes = (0, 1, 511, 1000, 1 << 32, -1, (1 << 32) - 1)
    return [
        bitmap("add", node="nope"),
        bitmap("add", node="cd"),
        bitmap("add", ""),
        bitmap("add", "x" * 1023),
        bitmap("add", "y" * 1024),
        *(bitmap("add", "g", granularity=size) for size in sizes),
        bitmap("add"),
        bitmap("add"),
        bitmap("add", "p", persistent=True),
        *(bitmap(verb, "nope") for verb in ("remove", "clear", "enable", "disable")),
        *(bitmap(verb, node="nope") for verb in ("remove", "clear", "enable", "disable")),
        bitmap("clear", node="cd"),
        bitmap("merge", "nope", bitmaps=["b"]),
        bitmap("merge", bitmaps=["nope"]),
        bitmap("merge", bitmaps=[{"node": "nope", "name": "b"}]),
        bitmap("merge", bitmaps=[{"node": "d1", "name": "b"}]),
        bitmap("merge", node="nope", bitmaps=["b"]),
        'x-debug-block-dirty-bitmap-sha256 {"node": "d0", "name": "nope"}',
        transaction(action("add", "g", granularity=1 << 32)),
        *(
            transaction(action(verb), completion_mode="grouped")
            for verb in ("add", "remove", "clear")
        ),
    ]


def compare(both: Pair, *lines: str) -> None:
    """Each line's replies are the same; of `query-block` only the bitmaps are looked at."""
    for line in lines:
        if line != "query-block":
            both.compare(line)
            continue
        found = [client.send(request(line))["return"] for client in (both.qemu, both.ours)]
        theirs, ours = ([d["inserted"].get("dirty-bitmaps") for d in drives] for drives in found)
        assert ours == theirs


class TestWithQemu:
    pytestmark = QEMU

    def test_what_is_refused(self, folder: Path) -> None:
        with pair(folder, *CD) as both:
            compare(both, *refused())

    def test_writes_are_recorded(self, folder: Path) -> None:
        with pair(folder) as both:
            compare(
                both,
                bitmap("add"),
                bitmap("add", "fine", granularity=512),
                bitmap("add", "coarse", granularity=1 << 20),
                bitmap("add", "huge", granularity=1 << 30),
                bitmap("add", "off", disabled=True),
                SHA,
                *WRITES,
                "query-block",
                SHA,
                bitmap("disable"),
                bitmap("enable", "off"),
                'hmp qemu-io d0 "write -P 2 3M 64k"',
                "query-block",
                bitmap("merge", "off", bitmaps=["b", "fine"]),
                bitmap("merge", "fine", bitmaps=["coarse", {"node": "d0", "name": "b"}]),
                "query-block",
                bitmap("clear"),
                SHA,
                bitmap("remove", "coarse"),
                bitmap("remove", "off"),
                "query-block",
                'block_resize {"device": "d0", "size": 5242880}',
                "query-block",
                SHA,
            )

    def test_actions_are_undone(self, folder: Path) -> None:
        with pair(folder) as both:
            compare(
                both,
                bitmap("add"),
                bitmap("add", "c", disabled=True),
                *WRITES,
                transaction(action("clear"), ABORT),
                transaction(action("disable"), action("enable", "c"), ABORT),
                transaction(action("add", "x"), action("disable", "x"), action("add", "x")),
                transaction(action("remove"), action("add")),
                transaction(action("remove"), action("clear")),
                transaction(action("remove"), action("remove")),
                transaction(action("merge", "c", bitmaps=["b"]), action("clear"), ABORT),
                "query-block",
                transaction(action("merge", "c", bitmaps=["b"]), action("clear")),
                "query-block",
                transaction(action("add", "t"), action("remove", "c"), action("disable")),
                "query-block",
                transaction(action("enable"), action("clear"), action("clear", "nope")),
                "query-block",
            )


@given(
    st.lists(st.tuples(st.integers(0, 5000), st.integers(0, 5000))), st.sampled_from((512, 4096))
)
def test_runs_are_what_was_marked(ranges: list[tuple[int, int]], granularity: int) -> None:
    found = DirtyBitmap("b", granularity, 10_000)
    for offset, length in ranges:
        found.mark(offset, length)
    wanted = {
        at // granularity for offset, length in ranges for at in range(offset, offset + length)
    }
    assert {at // granularity for a, b in found.runs() for at in range(a, b)} == wanted
    assert found.dirty_bytes == len(wanted) * granularity
    other = DirtyBitmap("c", 512, 10_000)
    other.merge(found)
    merged = {at // 512 for a, b in found.runs() for at in range(a, min(b, 10_000))}
    assert other.dirty_bytes == len(merged) * 512


def backup(target: str = "t2.img", **arguments: Any) -> str:
    named = {name.replace("_", "-"): value for name, value in arguments.items()}
    return f"drive-backup {json.dumps({'device': 'd0', 'target': target, 'job-id': 'j'} | named)}"


ODD = (
    {"sync": "incremental"},
    {"sync": "bitmap"},
    {"sync": "bitmap", "bitmap": "nope"},
    {"sync": "full", "bitmap": "nope"},
    {"sync": "full", "bitmap": "b"},
    {"sync": "bitmap", "bitmap": "b"},
    {"sync": "full", "bitmap_mode": "never"},
    {"sync": "full", "bitmap": "b", "bitmap_mode": "never"},
    {"sync": "top", "bitmap": "b", "bitmap_mode": "never"},
    {"sync": "none", "bitmap": "b", "bitmap_mode": "on-success"},
    {"sync": "none"},
    {"sync": "incremental", "bitmap": "b", "bitmap_mode": "never"},
    {"sync": "full", "compress": True},
    {"sync": "full", "x_perf": {"max-workers": 0}},
    {"sync": "full", "x_perf": {"max-workers": 1 << 40}},
    {"sync": "full", "x_perf": {"max-chunk": -1}},
    {"sync": "full", "x_perf": {"max-chunk": 512}},
    {"sync": "full", "filter_node_name": "!x"},
    {"sync": "full", "filter_node_name": "d0"},
)

MODES = (
    {"sync": "incremental"},
    {"sync": "incremental", "bitmap_mode": "on-success"},
    {"sync": "bitmap", "bitmap_mode": "on-success"},
    {"sync": "bitmap", "bitmap_mode": "never"},
    {"sync": "bitmap", "bitmap_mode": "always"},
    {"sync": "full", "bitmap_mode": "on-success"},
    {"sync": "full", "bitmap_mode": "always"},
    {"sync": "top", "bitmap_mode": "on-success"},
)


class TestJobsWithQemu:
    pytestmark = QEMU

    def test_odd_arguments(self, folder: Path) -> None:
        with pair(folder) as both:
            lines = [backup(f"x{at}", **arguments) for at, arguments in enumerate(ODD)]
            compare(both, bitmap("add"), WRITE, *lines, "query-block", "query-jobs")

    @pytest.mark.parametrize("mode", MODES, ids=lambda mode: "-".join(mode.values()))
    def test_the_bitmap_after_success_and_after_cancel(
        self, folder: Path, mode: dict[str, Any]
    ) -> None:
        with pair(folder) as both:
            more = mode | {"bitmap": "b", "auto_finalize": False, "auto_dismiss": False}
            compare(both, bitmap("add"), *WRITES)
            for end in ("job-cancel", "job-finalize"):
                compare(both, backup(f"{end}.img", **more))
                for client in (both.qemu, both.ours):
                    client.wait("BLOCK_JOB_PENDING")
                    client.events.clear()
                compare(
                    both,
                    'hmp qemu-io d0 "write -P 3 2M 64k"',
                    'hmp qemu-io d0 "write -P 3 128k 64k"',
                    "query-block-jobs",
                    f'{end} {{"id": "j"}}',
                    "query-jobs",
                    "query-block",
                    SHA,
                    'job-dismiss {"id": "j"}',
                )
                theirs, ours = ((place / f"{end}.img").read_bytes() for place in both.folders)
                assert ours == theirs
