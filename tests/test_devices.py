"""The guest's devices and the statistics of drives: the replies of QEMU 7.2, side by side."""

import pytest

from tests.pair import PC, needs_qemu, pair

OPTIONS = [
    "-device", "virtio-blk-pci,drive=d0,id=v0",
    "-drive", "if=none,id=i,driver=null-co,size=1048576", "-device", "ide-hd,drive=i,id=i1",
    "-blockdev", "driver=null-co,node-name=nb,size=1048576", "-drive", "if=none,id=cd",
]  # fmt: skip

DIALOGUE = """
query-blockstats
hmp qemu-io d0 "write -q -P 3 64k 128k"
query-blockstats
query-blockstats {"query-nodes": true}
drive-backup {"device": "d0", "target": "t0.img", "sync": "full", "auto-finalize": false}
query-blockstats
block-job-cancel {"device": "d0"}
device_del {"id": "nope"}
device_del {"id": "v0"}
device_del {"id": "v0"}
query-block
device_add {"driver": "virtio-scsi-pci", "id": "sc"}
device_add {"driver": "scsi-hd", "id": "h0", "drive": "d1", "bus": "sc.0"}
query-block
device_del {"id": "h0"}
query-block
device_del {"id": "/machine/peripheral/h0"}
device_add {"driver": "scsi-hd", "id": "h1", "drive": "nb", "bus": "sc.0"}
query-block
query-blockstats
blockdev-del {"node-name": "nb"}
device_del {"id": "/machine/peripheral/h1"}
query-block
blockdev-del {"node-name": "nb"}
device_del {"id": "i1"}
device_del {}
""".strip().splitlines()

#: What each of these commands leads to, some time after its reply.
AWAITED = {
    'block-job-cancel {"device": "d0"}': "BLOCK_JOB_CANCELLED",
    'device_del {"id": "h0"}': "DEVICE_DELETED",
    'device_del {"id": "/machine/peripheral/h1"}': "DEVICE_DELETED",
}


@pytest.mark.qemu
@needs_qemu
def test_the_replies_are_those_of_qemu(tmp_path_factory: pytest.TempPathFactory) -> None:
    with pair(tmp_path_factory.mktemp("p"), *OPTIONS, machine=PC) as both:
        for line in DIALOGUE:
            both.compare(line)
            if line in AWAITED:
                seen = [side.wait(AWAITED[line])["data"] for side in (both.qemu, both.ours)]
                assert seen[0] == seen[1]
                both.qemu.events.clear()
                both.ours.events.clear()
        both.ours.send({"execute": "cont"})  # no guest runs in QEMU; ours lets the device go
        both.ours.wait("RESUME")
        assert both.ours.send({"execute": "query-block"})["return"][0]["device"] == "i"
