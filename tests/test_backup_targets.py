"""Where a backup goes and how: the replies and the images of QEMU 7.2, side by side."""

import json
import subprocess
from collections.abc import Iterator

import pytest

from tests.image_harness import needs_qemu_img, run
from tests.pair import Pair, needs_qemu, pair

pytestmark = [pytest.mark.qemu, needs_qemu, needs_qemu_img]

OPTIONS = [
    "-drive", "if=none,id=c0,file=c.qcow2,format=qcow2",
    "-blockdev", "driver=raw,node-name=nt,file.driver=file,file.filename=t.img",
    "-blockdev", "driver=raw,node-name=ro,read-only=on,file.driver=file,file.filename=t.img",
    "-blockdev", "driver=raw,node-name=small,file.driver=file,file.filename=small.img",
    "-blockdev", "driver=qcow2,node-name=q,file.driver=file,file.filename=q.qcow2",
    "-object", "throttle-group,id=g",
    "-blockdev", "driver=throttle,node-name=ct,file=q,throttle-group=g",
]  # fmt: skip

TO_NEW = '"device": "d0", "target": "n1.img", "sync": "full"'
TO_SMALL = (
    '"device": "d0", "target": "small.img", "mode": "existing", "format": "raw", "sync": "full"'
)
TO_T = '"device": "d0", "target": "t.img", "mode": "existing", "format": "raw", "sync": "none"'
#: Each is wrong in several ways, and the first that is looked at is told.
REFUSED = f"""
drive-backup {{{TO_NEW}, "job-id": "!x", "bitmap": "nope", "compress": true}}
drive-backup {{{TO_NEW}, "job-id": "!x", "compress": true}}
drive-backup {{{TO_NEW}, "job-id": "!x", "x-perf": {{"max-workers": 0}}}}
drive-backup {{{TO_NEW}, "job-id": "!x", "x-perf": {{"max-chunk": -1}}}}
drive-backup {{{TO_NEW}, "job-id": "!x", "x-perf": {{"max-chunk": 512}}}}
drive-backup {{{TO_NEW}, "filter-node-name": "d0", "x-perf": {{"max-chunk": 512}}}}
drive-backup {{{TO_SMALL}, "job-id": "!x", "filter-node-name": "d0"}}
drive-backup {{{TO_SMALL}, "x-perf": {{"max-chunk": -5}}}}
drive-backup {{{TO_NEW}, "job-id": "!x", "speed": -1}}
drive-backup {{{TO_NEW}, "job-id": "", "speed": -1}}
drive-backup {{{TO_T}, "job-id": "!x"}}
drive-backup {{{TO_T}, "compress": true}}
drive-backup {{"device": "d0", "target": "no/n", "sync": "none", "format": "raw", "bitmap": "z"}}
drive-backup {{"device": "c0", "target": "no/n", "sync": "top", "format": "raw"}}
drive-backup {{"device": "c0", "target": "c1.qcow2", "sync": "top", "job-id": "!x"}}
blockdev-backup {{"device": "d0", "target": "nt", "sync": "full", "job-id": "!", "compress": true}}
blockdev-backup {{"device": "d0", "target": "nt", "sync": "full", "job-id": "!", "bitmap": "x"}}
blockdev-backup {{"device": "d0", "target": "small", "sync": "full", "filter-node-name": "d0"}}
blockdev-backup {{"device": "d0", "target": "ro", "sync": "full", "job-id": "!x"}}
blockdev-backup {{"device": "d0", "target": "ro", "sync": "full", "filter-node-name": "d0"}}
blockdev-backup {{"device": "d0", "target": "d0", "sync": "incremental", "job-id": "!x"}}
blockdev-backup {{"device": "d0", "target": "d1", "sync": "full", "job-id": "j", "compress": true}}
query-jobs
""".strip().splitlines()

#: What depends on how an image is laid out.
HIDE = frozenset({"actual-size", "virtual-size"})


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    folder = tmp_path_factory.mktemp("targets")
    make = """
        truncate -s 4M a.img; yes cleancut | dd of=a.img bs=64k seek=20 count=3 conv=notrunc \
            iflag=fullblock status=none; truncate -s 1M small.img
        qemu-img create -q -f qcow2 base.qcow2 4M
        qemu-io -c 'write -q -P 1 0 2M' base.qcow2
        qemu-img create -q -f qcow2 -b base.qcow2 -F qcow2 c.qcow2
        qemu-io -c 'write -q -P 2 1M 1k' -c 'write -q -z 3M 64k' c.qcow2
        qemu-img create -q -f qcow2 e0.qcow2 4M
        qemu-img create -q -f qcow2 -b base.qcow2 -F qcow2 e1.qcow2
    """
    with pair(folder, *OPTIONS, prepare=make) as servers:
        yield servers


def test_what_is_refused_is_refused_in_qemus_order(both: Pair) -> None:
    both.compare(*REFUSED)


def both_images(both: Pair, *words: str) -> list[str]:
    """What a program says of an image in each folder."""
    return [
        subprocess.run(words, cwd=folder, capture_output=True, text=True, check=True).stdout
        for folder in both.folders
    ]


def backup(both: Pair, job: str, arguments: str) -> None:
    """Run a backup to its end, and dismiss it."""
    command = "drive-backup" if ".qcow2" in arguments else "blockdev-backup"
    both.compare(f'{command} {{{arguments}, "auto-dismiss": false}}')
    for side in (both.qemu, both.ours):
        side.wait("BLOCK_JOB_COMPLETED")
        side.events.clear()
    both.compare("query-jobs", f'job-dismiss {{"id": "{job}"}}')


def test_compressed_clusters_are_written(both: Pair) -> None:
    full = '"device": "d0", "sync": "full", "compress": true'
    backup(both, "d0", f'{full}, "target": "z.qcow2", "format": "qcow2"')
    for folder in both.folders:
        run("qemu-img", "check", "-q", folder / "z.qcow2")
        run("qemu-img", "compare", "-q", folder / "a.img", folder / "z.qcow2")
    checked = both_images(both, "qemu-img", "check", "--output=json", "z.qcow2")
    assert '"compressed-clusters": 3' in checked[0] and '"compressed-clusters": 3' in checked[1]
    backup(both, "j", f'{full}, "target": "ct", "job-id": "j"')


def test_sync_top_and_none_stand_on_what_is_below(both: Pair) -> None:
    top = '"device": "c0", "target": "top.qcow2", "sync": "top"'
    backup(both, "c0", top)
    existing = '"device": "c0", "target": "e1.qcow2", "mode": "existing", "sync": "top"'
    backup(both, "c0", existing)
    write = 'hmp qemu-io c0 "write -q -P 7 100k 100k"'
    cancel = 'block-job-cancel {"device": "c0"}'
    for target in ('"none.qcow2"', '"e0.qcow2", "mode": "existing"'):
        arguments = f'"device": "c0", "target": {target}, "sync": "none"'
        both.compare(f'drive-backup {{{arguments}, "auto-dismiss": false}}', write)
        for line in ("query-block-jobs", "query-block", 'query-named-block-nodes {"flat": true}'):
            both.compare(line, hide=HIDE)
        both.compare(cancel, 'job-dismiss {"id": "c0"}')
    both.quit()
    for name in ("top.qcow2", "none.qcow2"):
        theirs, ours = both_images(both, "qemu-img", "map", "--output=json", name)
        assert depths(ours) == depths(theirs)
    for folder in both.folders:
        run("qemu-img", "compare", "-q", folder / "e1.qcow2", folder / "top.qcow2")
        for name in ("top.qcow2", "none.qcow2", "e0.qcow2", "e1.qcow2"):
            run("qemu-img", "check", "-q", folder / name)


def depths(printed: str) -> list[tuple[int, int, int]]:
    """Of each part of an image: where it begins and ends, and how far below it lies."""
    found: list[tuple[int, int, int]] = []
    for part in json.loads(printed):
        start, end, depth = part["start"], part["start"] + part["length"], part["depth"]
        if found and found[-1][2] == depth:
            found[-1] = found[-1][0], end, depth
        else:
            found.append((start, end, depth))
    return found
