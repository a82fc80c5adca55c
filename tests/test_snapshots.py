"""Snapshots, alone and in transactions: QEMU 7.2's replies, and the data at the cut."""

import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cleancut_reference.state import Options
from tests.engine_harness import Harness, backup_action
from tests.pair import needs_qemu, pair, request

OPTIONS = ["-blockdev", "driver=file,node-name=of,filename=t.img"]
OPTIONS += [
    "-drive",
    "if=none,id=cd,media=cdrom",
    "-drive",
    "if=none,id=q,file=q.qcow2,format=qcow2",
]

DIALOGUE = """
blockdev-snapshot-sync {"device":"d0","snapshot-file":"s0.qcow2"}
query-named-block-nodes {"flat":true}
blockdev-snapshot-sync {"snapshot-file":"s1.qcow2"}
blockdev-snapshot-sync {"device":"zz","snapshot-file":"s1.qcow2"}
blockdev-snapshot-sync {"device":"cd","snapshot-file":"s1.qcow2"}
blockdev-snapshot-sync {"node-name":"zz","snapshot-file":"s1.qcow2"}
blockdev-snapshot-sync {"device":"d1","snapshot-file":"no/s1.qcow2"}
blockdev-snapshot-sync {"device":"d1","snapshot-file":"s1.img","format":"raw"}
blockdev-snapshot-sync {"device":"d1","snapshot-file":"s1.img","format":"bogus"}
blockdev-snapshot-sync {"device":"d1","snapshot-file":"none.qcow2","mode":"existing"}
blockdev-snapshot-sync {"device":"d1","snapshot-file":"s1.qcow2","snapshot-node-name":"!"}
blockdev-snapshot-sync {"device":"d1","snapshot-file":"s1.qcow2","snapshot-node-name":"of"}
blockdev-snapshot-sync {"device":"d1","snapshot-file":"s1.qcow2","snapshot-node-name":"ovl"}
blockdev-snapshot-sync {"node-name":"ovl","snapshot-file":"s2.qcow2"}
blockdev-snapshot-sync {"node-name":"ovl","snapshot-file":"s2.qcow2","snapshot-node-name":"ovl2"}
query-block
blockdev-del {"node-name":"ovl"}
blockdev-snapshot-sync {"device":"q","snapshot-file":"e.qcow2","mode":"existing"}
blockdev-add {"driver":"file","node-name":"of2","filename":"ov2.qcow2"}
blockdev-add {"driver":"qcow2","node-name":"o2","file":"of2"}
blockdev-snapshot {"node":"d0","overlay":"o2"}
query-block
blockdev-snapshot {"node":"d0","overlay":"o2"}
blockdev-snapshot {"node":"d0","overlay":"zz"}
blockdev-snapshot {"node":"zz","overlay":"o2"}
blockdev-snapshot {"node":"d0","overlay":"d1"}
blockdev-snapshot {"node":"d0","overlay":"of"}
blockdev-snapshot-internal-sync {"device":"d0","name":"i1"}
blockdev-snapshot-internal-sync {"device":"d0","name":"i1"}
blockdev-snapshot-internal-sync {"device":"zz","name":"i1"}
blockdev-snapshot-internal-sync {"device":"cd","name":"i1"}
blockdev-snapshot-internal-sync {"device":"d0","name":""}
blockdev-snapshot-delete-internal-sync {"device":"d0","name":"i2"}
blockdev-snapshot-delete-internal-sync {"device":"d0"}
blockdev-snapshot-delete-internal-sync {"device":"d0","name":"i1","id":"7"}
blockdev-snapshot-delete-internal-sync {"device":"d0","name":"i1"}
blockdev-snapshot-delete-internal-sync {"device":"zz","name":"i1"}
blockdev-snapshot-delete-internal-sync {"device":"q","id":""}
query-block
""".strip().splitlines()

#: What depends on when and how an image was made.
HIDE = frozenset({"actual-size", "date-sec", "date-nsec", "vm-clock-sec", "vm-clock-nsec"})


@pytest.mark.qemu
@needs_qemu
def test_the_replies_are_those_of_qemu(tmp_path_factory: pytest.TempPathFactory) -> None:
    with pair(tmp_path_factory.mktemp("p"), *OPTIONS) as both:
        for place in both.folders:
            for name, size in (("e.qcow2", "4M"), ("ov2.qcow2", "8M")):
                create = ["qemu-img", "create", "-q", "-f", "qcow2", name, size]
                subprocess.run(create, cwd=place, check=True)
        for line in DIALOGUE:
            # the size of a new image's file is a matter of layout, its node's with it
            hide = HIDE | {"virtual-size"} if "nodes" in line else HIDE
            both.compare(line, hide=hide)
        both.compare('hmp qemu-io d1 "write -q -P 9 1M 64k"', 'hmp qemu-io d1 "read -P 9 1M 64k"')
        both.quit()
    for place in both.folders:
        for name in ("s0.qcow2", "s1.qcow2", "s2.qcow2", "q.qcow2"):
            subprocess.run(["qemu-img", "check", "-q", name], cwd=place, check=True)
        assert (place / "b.img").read_bytes() == bytes(4 << 20)


def snapshot_action(device: str) -> dict[str, object]:
    data = {"device": device, "snapshot-file": f"{device}.overlay"}
    return {"type": "blockdev-snapshot-sync", "data": data}


SIZE = 12
SMALL = Options(cluster_bytes=4, max_chunk_bytes=4)


def run_with_writes(harness: Harness, data: st.DataObject) -> list[bytes]:
    """Run in any order with guest writes; what the drives hold when the first is let go."""
    written: dict[int, tuple[int, bytes]] = {}
    content = [bytes(SIZE), bytes(SIZE)]
    cut: list[bytes] = []
    while (steps := harness.steps()) or not harness.replies():
        if len(written) < 4 and data.draw(st.integers(0, 3)) == 0:
            drive, payload = data.draw(st.integers(0, 1)), bytes([len(written) + 1]) * SIZE
            written[harness.write(drive, 0, payload)] = (drive, payload)
        harness.take(data.draw(st.sampled_from(steps)) if steps else harness.steps()[0])
        for number in harness.guest_results():
            drive, payload = written.get(number, (0, b""))
            if payload:
                content[drive] = payload
                written[number] = (drive, b"")
        if not cut and any(label.name == "undrain" for label in harness.labels):
            cut = list(content)
    return cut


@settings(max_examples=100)
@given(st.data(), st.permutations(["s0", "b0", "b1"]), st.booleans())
def test_a_snapshot_and_the_backups_beside_it_share_one_cut(
    data: st.DataObject, order: list[str], abort: bool
) -> None:
    """A backup after the snapshot of the same drive reads the overlay, as in QEMU."""
    if order.index("b0") < order.index("s0"):
        order.remove("b0")  # a drive with a job takes no snapshot
    harness = Harness([SIZE, SIZE], SMALL)
    before = dict(harness.files)
    actions = [
        snapshot_action("d0") if name == "s0" else backup_action(f"d{name[1]}") for name in order
    ]
    harness.execute("transaction", actions=actions + [{"type": "abort", "data": {}}] * abort)
    cut = run_with_writes(harness, data)
    harness.run()
    assert not harness.leaked()
    if abort:
        assert "error" in harness.replies()[0] and harness.files == before
        assert harness.state.graph.drives[0].root.driver == "memory"  # type: ignore[union-attr]
        return
    assert harness.replies() == [{"return": {}}]
    for name in order:
        if name.startswith("b"):
            assert harness.content(f"d{name[1]}.target") == cut[int(name[1])]
    assert harness.images["d0"].read(0, SIZE) == cut[0]  # the base holds the cut


@pytest.mark.qemu
@needs_qemu
def test_an_overlay_that_failed_leaves_the_old_file(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """QEMU empties it; here it is as it was."""
    with pair(tmp_path_factory.mktemp("p")) as both:
        precious: Path = both.folders[1] / "o.qcow2"
        precious.write_bytes(b"precious")
        snapshot = (
            '{"type": "blockdev-snapshot-sync", "data": {"device": "d0", "snapshot-file": "%s"}}'
        )
        for name in ("o.qcow2", "new.qcow2"):
            abort = '{"type": "abort", "data": {}}'
            both.compare(f'transaction {{"actions": [{snapshot % name}, {abort}]}}', "query-block")
        assert precious.read_bytes() == b"precious"
        names = {path.name for path in both.folders[1].iterdir()}
        assert "new.qcow2" not in names and not any(name.endswith(".new") for name in names)
        both.compare(f'transaction {{"actions": [{snapshot % "o.qcow2"}]}}')
        assert both.ours.send(request('hmp qemu-io d0 "write -q 0 1M"')) == {"return": ""}
        both.quit()
    subprocess.run(["qemu-img", "check", "-q", "o.qcow2"], cwd=both.folders[1], check=True)
