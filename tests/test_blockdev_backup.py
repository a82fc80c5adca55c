"""Backups between nodes: the replies of QEMU 7.2, and the data whatever the order of steps."""

from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cleancut_reference.state import Options
from tests.engine_harness import Harness
from tests.image_harness import needs_qemu_img
from tests.pair import PC, needs_qemu, pair

NODES = [
    "driver=file,node-name=pf,filename=t.img",
    "driver=raw,node-name=p,file=pf",
    "driver=null-co,node-name=nt,size=4194304",
    "driver=null-co,node-name=nt2,size=4194304",
    "driver=null-co,node-name=nr,size=4194304,read-only=on",
    "driver=null-co,node-name=small,size=65536",
]

DIALOGUE = """
blockdev-backup {"device": "d0", "target": "nt", "sync": "full", "speed": 1}
blockdev-backup {"device": "d1", "target": "nt", "sync": "full"}
blockdev-backup {"device": "d0", "target": "nt2", "sync": "full", "job-id": "x"}
blockdev-backup {"device": "p", "target": "nt2", "sync": "full"}
blockdev-backup {"device": "p", "target": "p", "sync": "full", "job-id": "x"}
blockdev-backup {"device": "d1", "target": "d1", "sync": "full", "job-id": "x"}
blockdev-backup {"device": "d0", "target": "d0", "sync": "full", "job-id": "x"}
blockdev-backup {"device": "d1", "target": "zz", "sync": "full", "job-id": "x"}
blockdev-backup {"device": "zz", "target": "d1", "sync": "full", "job-id": "x"}
blockdev-backup {"device": "d1", "target": "d0", "sync": "full", "job-id": "x"}
blockdev-backup {"device": "nt", "target": "nt2", "sync": "full", "job-id": "x"}
blockdev-backup {"device": "d1", "target": "small", "sync": "full", "job-id": "x"}
blockdev-backup {"device": "d1", "target": "nr", "sync": "full", "job-id": "x"}
blockdev-backup {"device": "d1", "target": "nt2", "sync": "full", "job-id": "!"}
blockdev-backup {"device": "d1", "target": "nt2", "sync": "full", "job-id": "d0"}
blockdev-backup {"device": "d1", "target": "nt2", "sync": "full", "speed": -1}
blockdev-backup {"device": "d1", "target": "nt2"}
blockdev-backup {"device": "p", "target": "pf", "sync": "full", "job-id": "x"}
blockdev-backup {"device": "pf", "target": "p", "sync": "full", "job-id": "x"}
blockdev-backup {"device": "p", "target": "nt2", "sync": "full", "job-id": "p1", "speed": 1}
blockdev-backup {"device": "small", "target": "p", "sync": "full", "job-id": "x"}
blockdev-backup {"device": "nr", "target": "p", "sync": "full", "job-id": "x"}
blockdev-backup {"device": "p", "target": "d1", "sync": "full", "job-id": "p2", "speed": 1}
hmp qemu-io p "write -q 0 64k"
hmp qemu-io pf "write -q 0 64k"
hmp qemu-io d1 "write -q 0 64k"
blockdev-del {"node-name": "p"}
blockdev-del {"node-name": "nt2"}
block_resize {"node-name": "p", "size": 65536}
block_resize {"node-name": "nt2", "size": 65536}
block_resize {"device": "d1", "size": 65536}
eject {"device": "d1"}
eject {"device": "d0"}
hmp drive_del d0
block-job-cancel {"device": "p1"}
block-job-cancel {"device": "p2"}
blockdev-del {"node-name": "p"}
blockdev-del {"node-name": "pf"}
blockdev-del {"node-name": "nt2"}
transaction {"actions": [{"type": "blockdev-backup", "data": {"device": "d1", "sync": "full"}}]}
""".strip().splitlines()

#: Formats, a guest's devices, an export stand on the nodes in question.
IN_USE = [
    "-blockdev", "driver=file,node-name=pf,filename=t.img",
    "-blockdev", "driver=raw,node-name=p,file=pf",
    "-blockdev", "driver=null-co,node-name=nt,size=4194304",
    "-blockdev", "driver=null-co,node-name=nt2,size=4194304",
    "-blockdev", "driver=null-co,node-name=dr2,size=4194304",
    "-blockdev", "driver=file,node-name=df,filename=dd.img",
    "-blockdev", "driver=raw,node-name=dr,file=df",
    "-device", "virtio-blk-pci,drive=dr,id=vdr", "-device", "virtio-blk-pci,drive=d1",
    "-device", "virtio-blk-pci,drive=dr2",
    "-blockdev", "driver=file,node-name=qf,filename=q2.qcow2",
    "-blockdev", "driver=qcow2,node-name=qq,file=qf",
    "-blockdev", "driver=null-co,node-name=nq,size=196624",
]  # fmt: skip
PREPARE = "truncate -s 4M dd.img; qemu-img create -q -f qcow2 q2.qcow2 4M"

OF_AND_TO_NODES_IN_USE = """
blockdev-backup {"device": "pf", "target": "nt", "sync": "none", "job-id": "a"}
hmp qemu-io p "write -q 0 64k"
blockdev-backup {"device": "p", "target": "nt2", "sync": "none", "job-id": "b"}
job-cancel {"id": "b"}
job-cancel {"id": "a"}
blockdev-backup {"device": "d0", "target": "pf", "sync": "none", "job-id": "a"}
hmp qemu-io p "write -q 0 64k"
hmp qemu-io p "read -q 0 64k"
blockdev-backup {"device": "p", "target": "nt2", "sync": "none", "job-id": "b"}
job-cancel {"id": "b"}
job-cancel {"id": "a"}
blockdev-backup {"device": "qf", "target": "nq", "sync": "none", "job-id": "a"}
job-cancel {"id": "a"}
blockdev-backup {"device": "nq", "target": "qf", "sync": "none", "job-id": "a"}
job-cancel {"id": "a"}
nbd-server-start {"addr": {"type": "unix", "data": {"path": "n"}}}
block-export-add {"type": "nbd", "id": "e", "node-name": "p"}
blockdev-backup {"device": "pf", "target": "nt", "sync": "none", "job-id": "a"}
job-cancel {"id": "a"}
blockdev-backup {"device": "d0", "target": "pf", "sync": "none", "job-id": "a"}
job-cancel {"id": "a"}
block-export-add {"type": "nbd", "id": "w", "node-name": "p", "writable": true}
blockdev-backup {"device": "pf", "target": "nt", "sync": "none", "job-id": "a"}
job-cancel {"id": "a"}
blockdev-backup {"device": "d0", "target": "pf", "sync": "none", "job-id": "a"}
job-cancel {"id": "a"}
blockdev-backup {"device": "d0", "target": "p", "sync": "none", "job-id": "a"}
job-cancel {"id": "a"}
blockdev-backup {"device": "p", "target": "nt", "sync": "none", "job-id": "a"}
blockdev-backup {"device": "pf", "target": "nt2", "sync": "none", "job-id": "b"}
job-cancel {"id": "b"}
blockdev-backup {"device": "d0", "target": "pf", "sync": "none", "job-id": "c"}
job-cancel {"id": "c"}
job-cancel {"id": "a"}
blockdev-backup {"device": "df", "target": "nt", "sync": "none", "job-id": "a"}
job-cancel {"id": "a"}
blockdev-backup {"device": "d0", "target": "df", "sync": "none", "job-id": "a"}
job-cancel {"id": "a"}
drive-backup {"device":"df","target":"new.img","format":"raw","sync":"full","job-id":"a","speed":1}
job-cancel {"id": "a"}
blockdev-backup {"device": "d0", "target": "dr", "sync": "none", "job-id": "a"}
blockdev-backup {"device": "d0", "target": "d1", "sync": "none", "job-id": "a"}
blockdev-backup {"device": "dr2", "target": "d1", "sync": "none", "job-id": "a"}
hmp qemu-io dr "write -q 0 1k"
hmp qemu-io dr2 "write -q 0 1k"
hmp qemu-io df "write -q 0 1k"
block-export-add {"type": "nbd", "id": "w2", "node-name": "dr", "name": "w2", "writable": true}
block-export-add {"type": "nbd", "id": "w3", "node-name": "df", "name": "w3", "writable": true}
block_resize {"node-name": "dr", "size": 1048576}
block_resize {"node-name": "df", "size": 1048576}
""".strip().splitlines()


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("p")


@pytest.mark.qemu
@needs_qemu
def test_the_replies_are_those_of_qemu(folder: Path) -> None:
    with pair(folder, *(word for node in NODES for word in ("-blockdev", node))) as both:
        both.compare(*DIALOGUE)


@pytest.mark.qemu
@needs_qemu
@needs_qemu_img
def test_nodes_in_use_are_refused_as_in_qemu(folder: Path) -> None:
    with pair(folder, *IN_USE, machine=PC, prepare=PREPARE) as both:
        both.compare(*OF_AND_TO_NODES_IN_USE)


@pytest.mark.qemu
@needs_qemu
def test_the_targets_hold_the_same(folder: Path) -> None:
    with pair(folder, "-blockdev", NODES[0], "-blockdev", NODES[1]) as both:
        write = 'hmp qemu-io d0 "write -q -P 0x11 1M 1M"'
        backup = (
            '{"type": "blockdev-backup", "data": {"device": "d0", "target": "p", "sync": "full"}}'
        )
        both.compare(write, f'transaction {{"actions": [{backup}]}}')
        both.compare('hmp qemu-io d0 "write -q -P 0x22 1M 1M"')
        for side in (both.qemu, both.ours):
            side.wait("BLOCK_JOB_COMPLETED")
        both.compare('hmp qemu-io p "read -P 0x11 1M 1M"', 'hmp qemu-io p "read -P 0 0 1M"')
        both.compare("query-block-jobs", "query-named-block-nodes")
        theirs, ours = both.printed()
        assert ours == theirs and "failed" not in ours
    assert (folder / "ours/t.img").read_bytes() == (folder / "qemu/t.img").read_bytes()


SIZE = 16
SMALL = Options(cluster_bytes=4, max_chunk_bytes=4)


@settings(max_examples=150)
@given(st.integers(0, 2**64), st.integers(1, 3))
def test_several_backups_of_one_node_each_hold_its_own_instant(seed: int, count: int) -> None:
    """By the node's name a second backup may start while the first runs (as in QEMU 7.2)."""
    chance = Random(seed)
    harness = Harness([SIZE] + [SIZE] * count, SMALL)
    source = harness.state.graph.drives[0].root
    assert source is not None
    content = bytearray(SIZE)
    cuts: list[bytes] = []
    pending: dict[int, tuple[int, bytes]] = {}
    while len(cuts) < count or harness.steps():
        steps = harness.steps()
        choice = chance.randrange(10)
        if choice == 0 and len(pending) < 20:
            offset = chance.randrange(SIZE)
            payload = chance.randbytes(chance.randint(1, SIZE - offset))
            pending[harness.write(0, offset, payload)] = (offset, payload)
        elif (choice == 1 or not steps) and len(cuts) < count and harness.engine.current is None:
            job, target = f"j{len(cuts)}", f"d{len(cuts) + 1}"
            harness.execute(
                "blockdev-backup", device=source.name, target=target, sync="full", job_id=job
            )
            while not harness.labels or harness.labels[-1].name != "commit":
                follow(harness, harness.steps()[0], pending, content)
            harness.labels.clear()
            cuts.append(bytes(content))
        elif steps:
            follow(harness, chance.choice(steps), pending, content)
    assert [reply for reply in harness.replies() if "error" in reply] == []
    assert len(harness.events("BLOCK_JOB_COMPLETED")) == count
    for index, cut in enumerate(cuts):
        assert harness.images[f"d{index + 1}"].read(0, SIZE) == cut
    assert harness.images["d0"].read(0, SIZE) == content and not harness.leaked()


def follow(
    harness: Harness, step: object, pending: dict[int, tuple[int, bytes]], content: bytearray
) -> None:
    """Take a step; a guest write that ended with it is in the content."""
    harness.take(step)  # type: ignore[arg-type]
    for request, errno in harness.guest_results().items():
        if request in pending:
            assert errno == ""
            offset, payload = pending.pop(request)
            content[offset : offset + len(payload)] = payload


def test_a_write_is_copied_for_every_backup_first() -> None:
    harness = Harness([4, 4, 4], SMALL)
    source = harness.state.graph.drives[0].root
    assert source is not None
    for index in (1, 2):
        arguments = {"device": source.name, "target": f"d{index}", "job-id": f"j{index}"}
        request = {"execute": "blockdev-backup", "arguments": arguments | {"sync": "full"}}
        harness.engine.receive(request)
        while len(harness.replies()) < index:
            harness.take(harness.steps()[0])
    assert [node.driver for node in harness.state.graph.nodes.values()].count("memory") == 3
    harness.write(0, 0, b"new!")
    while not harness.guest_results():
        guest = [s for s in harness.steps() if s.label and s.label.name[:3] in ("cbw", "gue")]
        harness.take(guest[0])
    assert [label.name for label in harness.labels].count("cbw_write") == 2
    assert [job.remaining for job in harness.state.jobs] == [0, 0]
    harness.run()
    assert harness.images["d1"].read(0, 4) == harness.images["d2"].read(0, 4) == bytes(4)
    assert harness.images["d0"].read(0, 4) == b"new!"
