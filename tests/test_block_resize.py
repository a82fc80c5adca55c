"""`block_resize` at its edges: the replies of QEMU 7.2, side by side."""

import pytest

from tests.image_harness import needs_qemu_img, qemu_check
from tests.pair import needs_qemu, pair

OPTIONS = [
    "-drive", "if=none,id=cd", "-drive", "if=none,id=qd,file=qd.qcow2,format=qcow2",
    "-blockdev", "driver=file,node-name=pf,filename=t.img",
    "-blockdev", "driver=raw,node-name=p,file=pf",
    "-blockdev", "driver=null-co,node-name=nt,size=4194304",
    "-blockdev", "driver=null-co,node-name=nt4,size=4194304",
    "-blockdev", "driver=raw,node-name=ro,read-only=on,file.driver=file,file.filename=x.img",
    "-blockdev", "driver=file,node-name=qf,filename=q.qcow2",
    "-blockdev", "driver=qcow2,node-name=q,file=qf", "-object", "throttle-group,id=g",
    "-blockdev",
    "driver=throttle,node-name=t,throttle-group=g,file.driver=file,file.filename=y.img",
    "-blockdev", "driver=blkdebug,node-name=bd,image.driver=null-co,image.size=4194304",
    "-blockdev", "driver=qcow2,node-name=ba,file.driver=file,file.filename=bb.qcow2",
    "-blockdev", "driver=qcow2,node-name=ov,backing=ba,file.driver=file,file.filename=ov.qcow2",
]  # fmt: skip
PREPARE = """
qemu-img create -q -f qcow2 qd.qcow2 4M
qemu-img create -q -f qcow2 bb.qcow2 4M
qemu-img create -q -f qcow2 -b bb.qcow2 -F qcow2 ov.qcow2
truncate -s 4M x.img y.img
"""
#: What depends on the file system, and on the clock.
HIDE = frozenset({"actual-size", "date-sec", "date-nsec", "vm-clock-sec", "vm-clock-nsec"})

DIALOGUE = """
block_resize {"device": "d0"}
block_resize {"size": 1024}
block_resize {"device": "d0", "node-name": "p", "size": 1024}
block_resize {"device": "nope", "size": 1024}
block_resize {"node-name": "nope", "size": 1024}
block_resize {"device": "", "size": 1024}
block_resize {"device": "p", "size": 1024}
block_resize {"node-name": "d0", "size": 1024}
block_resize {"device": "cd", "size": 1024}
block_resize {"device": "d0", "size": -1}
block_resize {"device": "d0", "size": 1000}
query-block
block_resize {"device": "d0", "size": 0}
query-block
block_resize {"device": "d0", "size": 4194304}
block_resize {"device": "d0", "size": 9223372036854775807}
block_resize {"device": "d0", "size": 9223372036854774784}
block_resize {"device": "d0", "size": 1152921504606846976}
query-block
block_resize {"device": "d0", "size": 4194304}
block_resize {"node-name": "p", "size": 2097152}
block_resize {"node-name": "pf", "size": 1048576}
query-named-block-nodes {"flat": true}
block_resize {"node-name": "nt", "size": 1048576}
block_resize {"node-name": "ro", "size": 1048576}
block_resize {"node-name": "q", "size": 8388608}
block_resize {"node-name": "q", "size": 1000}
block_resize {"node-name": "q", "size": 1024}
block_resize {"node-name": "q", "size": 4194304}
block_resize {"node-name": "qf", "size": 4194304}
block_resize {"node-name": "q", "size": 1152921504606846976}
block_resize {"node-name": "t", "size": 1048576}
block_resize {"node-name": "bd", "size": 1048576}
block_resize {"node-name": "ba", "size": 1048576}
block_resize {"node-name": "ov", "size": 8388608}
block_resize {"node-name": "ov", "size": 1048576}
blockdev-snapshot-internal-sync {"device": "qd", "name": "s"}
block_resize {"device": "qd", "size": 8388608}
block_resize {"device": "qd", "size": 1048576}
blockdev-backup {"device": "d1", "target": "nt4", "sync": "none"}
block_resize {"device": "d1", "size": 1048576}
block_resize {"node-name": "nt4", "size": 1048576}
block-job-cancel {"device": "d1"}
block_resize {"device": "d1", "size": 1048576}
nbd-server-start {"addr": {"type": "unix", "data": {"path": "n"}}}
block-export-add {"type": "nbd", "id": "e", "node-name": "p"}
block_resize {"node-name": "p", "size": 4194304}
block_resize {"node-name": "pf", "size": 4194304}
block-dirty-bitmap-add {"node": "d0", "name": "b", "granularity": 65536}
hmp qemu-io d0 "write -q 3M 1M"
block_resize {"device": "d0", "size": 3211264}
query-block
block_resize {"device": "d0", "size": 5242880}
query-block
x-debug-block-dirty-bitmap-sha256 {"node": "d0", "name": "b"}
""".strip().splitlines()


@pytest.mark.qemu
@needs_qemu
@needs_qemu_img
def test_the_replies_are_those_of_qemu(tmp_path_factory: pytest.TempPathFactory) -> None:
    with pair(tmp_path_factory.mktemp("p"), *OPTIONS, prepare=PREPARE) as both:
        both.compare(*DIALOGUE, hide=HIDE)
        both.quit()
    for folder in both.folders:
        for name in ("q.qcow2", "qd.qcow2", "ov.qcow2"):
            assert qemu_check(folder / name) == (0, 0)
