"""The block graph by its commands: the same replies as QEMU 7.2 gives."""

import json
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from tests.pair import PC, needs_qemu, pair, request

pytestmark = [pytest.mark.qemu, needs_qemu]

BLKDEBUG = (
    "if=none,id=bd,driver=raw,file.driver=blkdebug,file.image.driver=file,file.image.filename=t.img"
)


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("p")  # short: a socket's path has 107 bytes at most


def test_nodes_are_added_looked_at_and_deleted(folder: Path) -> None:
    with pair(folder, "-drive", "if=none,id=cd,media=cdrom") as both:
        both.compare(
            "query-block",
            "query-named-block-nodes",
            'blockdev-add {"driver": "file", "node-name": "f1", "filename": "t.img"}',
            'blockdev-add {"driver": "raw", "node-name": "r1", "file": "f1"}',
            'blockdev-add {"driver": "null-co", "node-name": "n"}',
            'blockdev-add {"driver": "null-co", "node-name": "n1", "size": 1000}',
            'blockdev-add {"driver": "throttle", "node-name": "t", "file": "n",'
            ' "throttle-group": "g"}',
            'object-add {"qom-type": "throttle-group", "id": "g", "limits": {"bps-write": 9999}}',
            'object-add {"qom-type": "throttle-group", "id": "g"}',
            'object-add {"qom-type": "iothread", "id": "io0"}',
            'object-add {"qom-type": "iothread", "id": "!"}',
            'blockdev-add {"driver": "throttle", "node-name": "t", "file": "n",'
            ' "throttle-group": "g"}',
            'blockdev-add {"driver": "blkdebug", "node-name": "bd", "image": "n1",'
            ' "inject-error": [{"event": "none", "iotype": "write", "errno": 28}]}',
            "query-named-block-nodes",
            'query-named-block-nodes {"flat": true}',
            'object-del {"id": "g"}',
            'object-del {"id": "zz"}',
            'blockdev-del {"node-name": "zz"}',
            'blockdev-del {"node-name": "n"}',
            'blockdev-del {"node-name": "f1"}',
            'blockdev-del {"node-name": "r1"}',
            'blockdev-del {"node-name": "f1"}',
            'blockdev-del {"node-name": "t"}',
            'object-del {"id": "g"}',
            "query-named-block-nodes",
        )


BAD_NODES = [
    '{"driver": "raw", "node-name": "d0", "file": "n"}',
    '{"driver": "raw", "node-name": "!x", "file": "n"}',
    '{"driver": "raw", "node-name": "n", "file": "n"}',
    '{"driver": "raw", "file": "n"}',
    '{"driver": "raw", "node-name": "r", "file": "zz"}',
    '{"driver": "raw", "node-name": "r"}',
    '{"driver": "bogus", "node-name": "r"}',
    '{"node-name": "r"}',
    '{"driver": "file", "node-name": "r"}',
    '{"driver": "file", "node-name": "r", "filename": "none.img"}',
    '{"driver": "file", "node-name": "r", "filename": "."}',
    '{"driver": "file", "node-name": "r", "filename": ""}',
    '{"driver": "file", "node-name": "r", "filename": "a.img", "foo": 1}',
    '{"driver": "file", "node-name": "r", "filename": 5}',
    '{"driver": "raw", "node-name": "r", "file": {"driver": "file"}}',
    '{"driver": "raw", "node-name": "r", "file": {"driver": "bogus"}}',
    '{"driver": "raw", "node-name": "r", "file": 5}',
    '{"driver": "raw", "node-name": "r", "file": {"driver": "null-co", "foo": 1}}',
    '{"driver": "raw", "node-name": "r", "file": {"driver": "null-co", "node-name": "r"}}',
    '{"driver": "null-co", "node-name": "r", "read-only": "x"}',
    '{"driver": "blkdebug", "node-name": "r", "image": "n", "inject-error": [{"event": "x"}]}',
    '{"driver": "blkdebug", "node-name": "r", "image": "n", "inject-error": [{}]}',
    '{"driver": "throttle", "node-name": "r", "file": "n", "throttle-group": "none"}',
    '{"driver": "throttle", "node-name": "r", "file": "n"}',
    '{"driver": "qcow2", "node-name": "r", "file": "n"}',
]


def test_bad_nodes_are_refused(folder: Path) -> None:
    with pair(folder, "-blockdev", "driver=null-co,node-name=n") as both:
        for arguments in BAD_NODES:
            both.compare(f"blockdev-add {arguments}")
        both.compare("query-named-block-nodes")


def test_sizes_and_media_change(folder: Path) -> None:
    empty = ["-drive", "if=none,id=cd,media=cdrom", "-blockdev", "driver=null-co,node-name=n"]
    with pair(folder, *empty) as both:
        both.compare(
            'block_resize {"device": "d0", "size": 8388608}',
            'block_resize {"node-name": "n", "size": 8388608}',
            'block_resize {"device": "d0", "size": -1}',
            'block_resize {"device": "d0", "size": 1000}',
            "query-block",
            'block_resize {"size": 1000}',
            'block_resize {"device": "zz", "size": 1000}',
            'block_resize {"node-name": "zz", "size": 1000}',
            'block_resize {"device": "cd", "size": 1000}',
            'eject {"device": "d0"}',
            'eject {"device": "zz"}',
            'eject {"device": "cd"}',
            "eject {}",
            "query-block",
            "hmp drive_add 0 if=none,id=d5,file=t.img,format=raw",
            "hmp drive_add 0 if=none,id=d5,file=a.img,format=raw",
            "query-block",
            "hmp drive_del d5",
            "hmp drive_del d5",
            "hmp drive_del n",
            "hmp drive_add 0 if=none,id=d6,file=none.img,format=raw",
            "hmp drive_add 0 if=none,id=d6",
            "hmp drive_add 0 if=bogus,id=d7",
            "hmp drive_add 0",
            "hmp drive_del",
            "hmp bogus",
            "hmp ",
            "query-block",
            "query-named-block-nodes",
        )


def test_the_guest_stops_and_goes_on(folder: Path) -> None:
    with pair(folder) as both:
        both.compare("query-status", "stop", "query-status", "stop", "cont", "cont", "query-status")
        names = [[event["event"] for event in side.events] for side in (both.qemu, both.ours)]
        assert names[0] == names[1] == ["STOP", "RESUME"]


def test_a_device_of_the_guest_has_a_drive(folder: Path) -> None:
    with pair(folder, "-device", "virtio-blk-pci,drive=d0,id=vd0", machine=PC) as both:
        both.compare(
            "query-block",
            "query-status",
            'device_add {"driver": "virtio-blk-pci", "id": "vd1", "drive": "zz"}',
            'device_add {"driver": "virtio-blk-pci", "id": "vd1", "drive": "d0"}',
            'device_add {"driver": "virtio-blk-pci", "id": "vd1"}',
            'device_add {"driver": "virtio-blk-pci", "id": "vd0", "drive": "d1"}',
            'device_add {"driver": "bogus", "id": "vd1", "drive": "d1"}',
            "device_add {}",
            'device_add {"driver": "virtio-blk-pci", "drive": "d1"}',
            "query-block",
            'eject {"device": "d0"}',
            "hmp drive_del d0",
            'blockdev-add {"driver": "null-co", "node-name": "n"}',
            'device_add {"driver": "virtio-blk-pci", "id": "vn", "drive": "n"}',
            "query-block",
            'blockdev-del {"node-name": "n"}',
            'hmp qemu-io n "read -q 0 512"',
            'hmp qemu-io vn "read 0 512"',
            "cont",
            "query-status",
        )


def test_nodes_are_reopened(folder: Path) -> None:
    nodes = ["driver=file,node-name=pf,filename=t.img", "driver=raw,node-name=p,file=pf"]
    nodes += ["driver=null-co,node-name=n,size=65536"]
    nodes += ["driver=throttle,node-name=t,file=n,throttle-group=g"]
    options = [word for node in nodes for word in ("-blockdev", node)]
    objects = ["-object", "throttle-group,id=g,x-bps-write=1000000", "-object"]
    with pair(folder, *objects, "throttle-group,id=h", *options) as both:

        def reopen(**said: object) -> str:
            renamed = {key.replace("_", "-"): value for key, value in said.items()}
            return "blockdev-reopen " + json.dumps({"options": [renamed]})

        both.compare(
            reopen(driver="raw", node_name="p", file="pf", read_only=True),
            'hmp qemu-io p "write -q 0 512"',
            "query-named-block-nodes",
            reopen(driver="raw", node_name="p", file="pf", detect_zeroes="on"),
            "query-named-block-nodes",
            'hmp qemu-io p "write -q 0 512"',
            'hmp qemu-io pf "write -q 0 512"',
            reopen(driver="raw", node_name="zz", file="pf"),
            reopen(driver="raw", file="pf"),
            reopen(driver="qcow2", node_name="p", file="pf"),
            reopen(driver="raw", node_name="p", file="p"),
            reopen(driver="raw", node_name="p", file="zz"),
            reopen(driver="file", node_name="pf", filename="x.img"),
            reopen(driver="null-co", node_name="n", size=5),
            reopen(driver="throttle", node_name="t", file="n", throttle_group="h"),
            'object-del {"id": "g"}',
            'object-del {"id": "h"}',
            reopen(driver="throttle", node_name="t", file="n", throttle_group="zz"),
        )


QCOW2 = """
blockdev-add {"driver":"qcow2","node-name":"q","file":{"driver":"file","filename":"q.qcow2"}}
query-named-block-nodes
hmp qemu-io q "write -P 5 1M 64k"
hmp qemu-io q "read -P 5 1M 64k"
hmp qemu-io q "write -z 1M 64k"
hmp qemu-io q "read -P 0 1M 64k"
hmp qemu-io q "discard 1M 64k"
block_resize {"node-name": "q", "size": 8388608}
query-named-block-nodes
blockdev-del {"node-name": "q"}
hmp drive_add 0 if=none,id=t,file=top.qcow2,format=qcow2
hmp drive_add 0 if=none,id=s,file=sub/s2.qcow2
query-block
query-named-block-nodes
query-named-block-nodes {"flat": true}
hmp drive_add 0 if=none,id=bad,file=bad.qcow2,format=qcow2
hmp drive_del s
blockdev-add {"driver":"file","node-name":"bf","filename":"bad.qcow2"}
blockdev-add {"driver":"qcow2","node-name":"q","file":"bf","backing":null}
blockdev-add {"driver":"file","node-name":"qf","filename":"q.qcow2"}
blockdev-add {"driver":"qcow2","node-name":"q2","file":"qf","backing":"q"}
blockdev-del {"node-name": "q"}
block_resize {"node-name": "q", "size": 8388608}
hmp qemu-io t "read -P 0 0 64k"
hmp qemu-io d1 "write -q -P 3 0 64k"
""".strip().splitlines()


@pytest.mark.skipif(shutil.which("qemu-img") is None, reason="no qemu-img here")
def test_qcow2_images_and_what_is_below_them(folder: Path) -> None:
    def make(place: Path) -> None:
        (place / "sub").mkdir()
        for name, backing, format in (
            ("top.qcow2", "b.img", "raw"),
            ("sub/s.qcow2", "../b.img", "raw"),
            ("sub/s2.qcow2", "s.qcow2", "qcow2"),
            ("bad.qcow2", "none.img", "raw"),
        ):
            create = ["qemu-img", "create", "-q", "-u", "-f", "qcow2", "-b", backing, "-F", format]
            subprocess.run([*create, name, "4M"], cwd=place, check=True)

    with pair(folder) as both:
        for place in both.folders:
            make(place)
        both.compare(*QCOW2)
        theirs, ours = both.printed()
        assert ours == theirs


@pytest.mark.skipif(shutil.which("qemu-img") is None, reason="no qemu-img here")
def test_qcow2_targets_are_sound(folder: Path) -> None:
    with pair(folder, "-drive", "if=none,id=q,file=q.qcow2,format=qcow2") as both:
        both.compare(
            'hmp qemu-io d0 "write -q -P 7 1M 1M"',
            'hmp qemu-io q "write -q -P 8 2M 100k"',
            'drive-backup {"device": "d0", "target": "d0.out", "sync": "full", "format": "qcow2"}',
            'drive-backup {"device": "q", "target": "q.out", "sync": "full"}',
        )
        for side in (both.qemu, both.ours):
            side.wait("BLOCK_JOB_COMPLETED")
            while side.send(request("query-block-jobs"))["return"]:
                time.sleep(0.05)
        both.compare("query-block-jobs")
        both.quit()
    for name, source in (("d0.out", "a.img"), ("q.out", "q.qcow2")):
        for command in (["check", "-q", name], ["compare", "-q", "-U", name, source]):
            subprocess.run(["qemu-img", *command], cwd=both.folders[1], check=True)


IO = [
    "write -z 0 64k", "write -z -u 0 64k", "discard 0 64k", "flush", "aio_flush",
    "read -P 0 0 64k", "read -P 1 0 64k", "write -P 0x41 0 20", "read -v 0 40", "write -q 0 64k",
    "aio_write -z 0 64k", "aio_flush", "aio_read 0 64k", "aio_flush", "length", "write 1 1",
    "write 4M 512", "read 4M 512", "discard 4M 512", "write -z 4M 512", "bogus", "write",
    "write 0", "write -P 256 0 512", "write -P x 0 512", "write x 512", "write 0 y",
    "write 0x10000 1.5k", "write 0 4G", "read -P 0xcd -q 0 64k", "", "write -P 0x10 3M 1M",
]  # fmt: skip


def test_qemu_io_prints_the_same(folder: Path) -> None:
    with pair(folder, "-drive", BLKDEBUG, "-drive", "if=none,id=cd,media=cdrom") as both:
        both.compare(*(f'hmp qemu-io bd "{line}"' for line in IO))
        both.compare(*(f'hmp qemu-io cd "{line}"' for line in ("read 0 1", "write 0 1", "flush")))
        both.compare('hmp qemu-io nope "flush"', "hmp qemu-io bd", "hmp qemu-io")
        theirs, ours = both.printed()
        assert ours == theirs


def test_a_breakpoint_holds_a_request(folder: Path) -> None:
    with pair(folder, "-drive", BLKDEBUG) as both:
        both.compare(
            'hmp qemu-io bd "break write_aio A"',
            'hmp qemu-io bd "aio_write -P 1 0 64k"',
            'hmp qemu-io bd "wait_break A"',
            "query-status",
            'hmp qemu-io bd "resume A"',
            'hmp qemu-io bd "aio_flush"',
            'hmp qemu-io bd "read -P 1 0 64k"',
            'hmp qemu-io bd "resume A"',
            'hmp qemu-io bd "break bogus A"',
            'hmp qemu-io bd "break write_aio"',
            'hmp qemu-io d0 "break write_aio A"',
            'hmp qemu-io bd "remove_break A"',
            'hmp qemu-io bd "break write_aio B"',
            'hmp qemu-io bd "remove_break B"',
            'hmp qemu-io bd "write 0 512"',
        )
        theirs, ours = both.printed()
        assert ours == theirs
