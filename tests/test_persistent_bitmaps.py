"""Persistent bitmaps: QEMU 7.2 and the server do the same, and each reads what the other wrote."""

import json
import signal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cleancut_reference.bitmap import packed, unpacked
from cleancut_reference.image.image import Bitmap
from cleancut_reference.image.qcow2.opening import CreateOptions, create_qcow2, open_qcow2
from cleancut_reference.image.store import MemoryStore
from tests.engine_harness import Harness
from tests.image_harness import needs_qemu_img, qemu_check, qemu_info
from tests.pair import needs_qemu, pair

#: How large a file is depends on how its image is laid out.
HIDE = frozenset({"actual-size", "virtual-size"})
NODES = ("query-block", 'query-named-block-nodes {"flat": true}')

Q = "if=none,id=q,driver=qcow2,node-name=qn,file.driver=file,file.filename=q.qcow2"
RO = "driver=qcow2,node-name=ro,read-only=on,file.driver=file,file.filename=ro.qcow2"
BIG = "driver=qcow2,node-name=big,file.driver=file,file.filename=big.qcow2"
SMALL = "driver=qcow2,node-name=small,file.driver=file,file.filename=small.qcow2"
THROTTLED = "driver=throttle,node-name=t,throttle-group=g,file=small"
PREPARE = """
qemu-img create -q -f qcow2 -o cluster_size=2M big.qcow2 4M
qemu-img create -q -f qcow2 -o cluster_size=512 small.qcow2 4M
qemu-img create -q -f qcow2 ro.qcow2 4M
qemu-img bitmap --add ro.qcow2 good
qemu-img bitmap --add --disable -g 512 ro.qcow2 off
"""

ADD_X = {"type": "block-dirty-bitmap-add", "data": {"node": "big", "name": "x", "persistent": True}}
ADDED_IN_VAIN = f"transaction {json.dumps({'actions': [ADD_X, {'type': 'abort', 'data': {}}]})}"
LIFE = f"""
block-dirty-bitmap-add {{"node":"q","name":"b0","persistent":true}}
block-dirty-bitmap-add {{"node":"q","name":"b1","persistent":true,"disabled":true}}
block-dirty-bitmap-add {{"node":"q","name":"t0"}}
block-dirty-bitmap-add {{"node":"q","name":"gone","persistent":true,"granularity":524288}}
block-dirty-bitmap-add {{"node":"d0","name":"b0","persistent":true}}
block-dirty-bitmap-add {{"node":"t","name":"b0","persistent":true}}
block-dirty-bitmap-add {{"node":"big","name":"of a cluster"}}
block-dirty-bitmap-add {{"node":"small","name":"of a cluster"}}
block-dirty-bitmap-add {{"node":"t","name":"of a cluster"}}
block-dirty-bitmap-remove {{"node":"q","name":"gone"}}
hmp qemu-io q "write -q -P 3 64k 128k"
hmp qemu-io t "write -q -P 3 4k 1"
block-dirty-bitmap-add {{"node":"big","name":"kept","persistent":true}}
hmp qemu-io big "write -q -P 4 3M 1k"
blockdev-del {{"node-name":"big"}}
blockdev-add {{"driver":"file","node-name":"bf","filename":"big.qcow2"}}
blockdev-add {{"driver":"qcow2","node-name":"big","file":"bf"}}
x-debug-block-dirty-bitmap-sha256 {{"node":"big","name":"kept"}}
{ADDED_IN_VAIN}
block_resize {{"node-name":"big","size":8388608}}
hmp qemu-io big "write -q -P 4 7M 1k"
blockdev-snapshot-sync {{"device":"q","snapshot-file":"over.qcow2","snapshot-node-name":"over"}}
block-dirty-bitmap-clear {{"node":"qn","name":"b0"}}
block-dirty-bitmap-remove {{"node":"qn","name":"b0"}}
block-dirty-bitmap-disable {{"node":"qn","name":"b0"}}
block-dirty-bitmap-add {{"node":"over","name":"of the overlay","persistent":true}}
""".strip().splitlines()

BY_BITMAP = 'drive-backup {"target":"z","format":"raw","job-id":"!",'
READ_ONLY = f"""
block-dirty-bitmap-add {{"node":"ro","name":"new"}}
block-dirty-bitmap-clear {{"node":"ro","name":"good"}}
block-dirty-bitmap-clear {{"node":"ro","name":"new"}}
block-dirty-bitmap-disable {{"node":"ro","name":"good"}}
block-dirty-bitmap-enable {{"node":"ro","name":"good"}}
block-dirty-bitmap-remove {{"node":"ro","name":"good"}}
block-dirty-bitmap-merge {{"node":"ro","target":"good","bitmaps":["new"]}}
block-dirty-bitmap-merge {{"node":"ro","target":"new","bitmaps":["good"]}}
{BY_BITMAP}"device":"ro","sync":"bitmap","bitmap":"good","bitmap-mode":"never"}}
{BY_BITMAP}"device":"ro","sync":"incremental","bitmap":"good"}}
nbd-server-start {{"addr":{{"type":"unix","data":{{"path":"n"}}}}}}
block-export-add {{"type":"nbd","id":"e","node-name":"ro","bitmaps":["good"]}}
""".strip().splitlines()

INCONSISTENT = f"""
query-block
block-dirty-bitmap-add {{"node":"q","name":"b0"}}
block-dirty-bitmap-clear {{"node":"q","name":"b0"}}
block-dirty-bitmap-enable {{"node":"q","name":"b0"}}
block-dirty-bitmap-disable {{"node":"q","name":"b0"}}
block-dirty-bitmap-merge {{"node":"q","target":"b0","bitmaps":["b1"]}}
block-dirty-bitmap-add {{"node":"q","name":"b2"}}
block-dirty-bitmap-merge {{"node":"q","target":"b2","bitmaps":["b0"]}}
x-debug-block-dirty-bitmap-sha256 {{"node":"q","name":"b0"}}
{BY_BITMAP}"device":"q","sync":"bitmap","bitmap":"b0","bitmap-mode":"never"}}
{BY_BITMAP}"device":"q","sync":"incremental","bitmap":"b0"}}
nbd-server-start {{"addr":{{"type":"unix","data":{{"path":"n"}}}}}}
nbd-server-add {{"device":"q","bitmap":"b0"}}
block_resize {{"device":"q","size":8388608}}
transaction {{"actions":[{{"type":"block-dirty-bitmap-clear","data":{{"node":"q","name":"b0"}}}}]}}
transaction {{"actions":[{{"type":"block-dirty-bitmap-remove","data":{{"node":"q","name":"b0"}}}}]}}
query-block
""".strip().splitlines()

REOPEN = 'blockdev-reopen {"options":[{"driver":"qcow2","node-name":"q","file":"qf"'
REOPENED = f"""
block-dirty-bitmap-add {{"node":"q","name":"b","persistent":true}}
block-dirty-bitmap-add {{"node":"q","name":"t"}}
hmp qemu-io q "write -q 64k 64k"
{REOPEN},"read-only":true}}]}}
query-named-block-nodes {{"flat": true}}
block-dirty-bitmap-clear {{"node":"q","name":"b"}}
block-dirty-bitmap-clear {{"node":"q","name":"t"}}
hmp qemu-io q "write -q 128k 64k"
{REOPEN}}}]}}
query-named-block-nodes {{"flat": true}}
hmp qemu-io q "write -q 128k 64k"
block-dirty-bitmap-clear {{"node":"q","name":"b"}}
hmp qemu-io q "write -q 256k 64k"
""".strip().splitlines()


def bitmaps_in(path: Path) -> Any:
    """What is stored in an image, by name."""
    found = qemu_info(path)["format-specific"]["data"].get("bitmaps", [])
    return {bitmap["name"]: (bitmap["granularity"], bitmap["flags"]) for bitmap in found}


@pytest.mark.qemu
@needs_qemu
@needs_qemu_img
def test_bitmaps_outlive_the_server_as_qemus_do(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("p")
    options = ["-drive", Q, "-object", "throttle-group,id=g"]
    options += [word for node in (RO, BIG, SMALL, THROTTLED) for word in ("-blockdev", node)]
    with pair(folder / "first", *options, prepare=PREPARE) as first:
        for line in (*LIFE, *READ_ONLY, *NODES):
            first.compare(line, hide=HIDE)
        first.quit()
    for name in ("q.qcow2", "over.qcow2", "big.qcow2", "small.qcow2", "ro.qcow2"):
        theirs, ours = (place / name for place in first.folders)
        assert qemu_check(ours) == (0, 0), name
        assert bitmaps_in(ours) == bitmaps_in(theirs), name
    # now each with the images that the other has left
    exchange = "case $PWD in */qemu) d=ours;; *) d=qemu;; esac; cp ../../first/$d/*.qcow2 ."
    with pair(folder / "second", "-drive", Q, "-blockdev", BIG, prepare=exchange) as second:
        for line in NODES:
            second.compare(line, hide=HIDE)
        for name in ("b0", "b1"):
            second.compare(f'x-debug-block-dirty-bitmap-sha256 {{"node": "q", "name": "{name}"}}')
        second.compare('x-debug-block-dirty-bitmap-sha256 {"node": "big", "name": "kept"}')
        second.compare('hmp qemu-io q "write -q 1M 1k"')
        second.stop(signal.SIGKILL)
    # what was open when its server was killed is not to be trusted by the other
    again = exchange.replace("first", "second")
    with pair(folder / "third", "-drive", Q, prepare=again) as third:
        third.compare(*INCONSISTENT, hide=HIDE)
        third.quit()
    theirs, ours = (place / "q.qcow2" for place in third.folders)
    assert qemu_check(ours) == (0, 0) and bitmaps_in(ours) == bitmaps_in(theirs) != {}


@pytest.mark.qemu
@needs_qemu
@needs_qemu_img
def test_an_image_that_is_read_only_for_a_while(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Its bitmaps are stored before, and in use again afterwards."""
    options = ("driver=file,node-name=qf,filename=q.qcow2", "driver=qcow2,node-name=q,file=qf")
    words = [word for option in options for word in ("-blockdev", option)]
    with pair(tmp_path_factory.mktemp("p") / "x", *words) as both:
        flags = []
        for line in REOPENED:
            both.compare(line, hide=HIDE)
            if line.startswith("blockdev-reopen"):
                flags.append([bitmaps_in(folder / "q.qcow2")["b"][1] for folder in both.folders])
        assert flags == [[["auto"]] * 2, [["in-use", "auto"]] * 2]
        both.compare('blockdev-del {"node-name": "q"}')
        for folder in both.folders:
            assert qemu_check(folder / "q.qcow2") == (0, 0)
            assert bitmaps_in(folder / "q.qcow2") == {"b": (65536, ["auto"])}


@pytest.mark.parametrize("speed", [0, -1])
def test_an_existing_target_keeps_its_bitmaps(speed: int) -> None:
    """Refused or done, the backup leaves no bitmap in use behind."""
    harness, store = Harness([4 * 65536]), MemoryStore()
    image = create_qcow2(store, "t", CreateOptions(4 * 65536))
    image.store_bitmaps((Bitmap("b", 65536, b"\5"), Bitmap("off", 65536, b"\1", recording=False)))
    image.flush()
    harness.files["t"] = store
    arguments = {"device": "d0", "target": "t", "sync": "full", "mode": "existing"}
    harness.execute("drive-backup", **arguments, format="qcow2", speed=speed)
    harness.run()
    assert [list(reply) for reply in harness.replies()] == [["error" if speed else "return"]]
    found = [(b.name, b.bits, b.recording, b.in_use) for b in open_qcow2(store, "t").bitmaps()]
    written = b"\5" if speed else b"\x0f"
    assert found == [("b", written, True, False), ("off", b"\1", False, False)]


@given(st.binary(max_size=40).map(lambda data: bytes(byte & 1 for byte in data)))
def test_packing_and_unpacking(bits: bytes) -> None:
    data = packed(bits)
    assert all(data[at // 8] >> at % 8 & 1 == bit for at, bit in enumerate(bits))
    assert unpacked(data, len(bits)) == bits
