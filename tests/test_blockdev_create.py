"""`blockdev-create`: what the job says and does is what it does in QEMU 7.2, side by side."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.image_harness import needs_qemu_img, qemu_check, qemu_info
from tests.pair import Client, needs_qemu, pair, request

MIB = 1 << 20
FILES: list[dict[str, Any]] = [
    {"filename": "n1.img", "size": 1000},
    {"filename": "n1.img", "size": 1024},
    {"filename": "no/n1.img", "size": 1000},
    {"filename": "n2.img", "size": -1},
    {"filename": "", "size": 512},
    {"filename": ".", "size": 512},
    {"filename": "n3.img", "size": 512, "preallocation": "metadata"},
]
#: In the node `f`, unless another file is said.
IMAGES: list[dict[str, Any]] = [
    {"size": 1000},
    {"size": MIB},
    {"size": MIB, "cluster-size": 1000},
    {"size": MIB, "cluster-size": 256},
    {"size": MIB, "refcount-bits": 3},
    {"size": MIB, "refcount-bits": 128},
    {"size": -512, "refcount-bits": 3, "cluster-size": 77, "backing-fmt": "raw"},
    {"size": -512, "refcount-bits": 3, "backing-fmt": "raw"},
    {"size": -512},
    {"size": MIB, "file": "zz"},
    {"size": MIB, "file": "ro"},
    {"size": MIB, "file": "null"},
    {"size": MIB, "file": "d0"},
    {"size": MIB, "file": {"driver": "file", "filename": "nope.img"}},
    {"size": MIB, "file": {"driver": "file", "filename": "t.img", "node-name": "f"}},
    {"size": 3 * MIB, "file": {"driver": "file", "filename": "n1.img"}},
    {"size": MIB, "backing-file": "nope.img"},
    {
        "size": 10 * MIB,
        "cluster-size": 4096,
        "refcount-bits": 8,
        "lazy-refcounts": True,
        "backing-file": "a.img",
        "backing-fmt": "raw",
    },
]
REFUSED = """
blockdev-create {"job-id": "!", "options": {"driver": "file", "filename": "x", "size": 1}}
blockdev-create {"job-id": "", "options": {"driver": "file", "filename": "x", "size": 1}}
blockdev-create {"job-id": "j", "options": {"driver": "raw", "filename": "x", "size": 1}}
blockdev-create {"job-id": "j", "options": {"driver": "raw"}}
blockdev-create {"job-id": "j", "options": {"driver": "null-co"}}
blockdev-create {"job-id": "j", "options": {"driver": "bogus"}}
blockdev-create {"job-id": "j", "options": {"driver": "file"}}
blockdev-create {"job-id": "j", "options": {"driver": "qcow2", "file": "f"}}
blockdev-create {"job-id": "j", "options": {"driver": "qcow2", "file": 5, "size": 512}}
""".strip().splitlines()
AFTERWARDS = """
query-block-jobs
blockdev-create {"job-id": "j", "options": {"driver": "file", "filename": "n4.img", "size": 1}}
drive-backup {"job-id": "j", "device": "d0", "target": "t0.img", "sync": "full"}
job-cancel {"id": "j"}
job-pause {"id": "j"}
job-resume {"id": "j"}
job-complete {"id": "j"}
job-finalize {"id": "j"}
block-job-dismiss {"id": "j"}
block-job-cancel {"device": "j"}
""".strip().splitlines()

F = "driver=file,node-name=f,filename=f.img"
RO = "driver=file,node-name=ro,filename=t.img,read-only=on"
NULL = "driver=null-co,node-name=null,size=1048576"


def run(side: Client, options: dict[str, Any]) -> list[Any]:
    """What a server says of a job from its beginning to its dismissal."""
    side.events.clear()
    said = [
        side.send(request(f"blockdev-create {json.dumps({'job-id': 'j', 'options': options})}"))
    ]
    while not any(event["data"]["status"] == "concluded" for event in side.events):
        side.events.append(side.read())
    said += [event["data"] for event in side.events]
    said.append(side.send(request("query-jobs")))
    return said


@pytest.mark.qemu
@needs_qemu
@needs_qemu_img
def test_the_job_is_that_of_qemu(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("p")
    options = [word for node in (F, RO, NULL) for word in ("-blockdev", node)]
    prepare = "truncate -s 4M f.img"
    with pair(folder / "x", *options, prepare=prepare) as both:
        both.compare(*REFUSED)
        for image in [{"driver": "file"} | file for file in FILES] + [
            {"driver": "qcow2", "file": "f"} | image for image in IMAGES
        ]:
            assert run(both.ours, image) == run(both.qemu, image), image
            both.compare('job-dismiss {"id": "j"}')
        assert run(both.ours, {"driver": "file"} | FILES[-3]) == run(
            both.qemu, {"driver": "file"} | FILES[-3]
        )
        both.compare(*AFTERWARDS)
        both.quit()
    for name in ("a.img", "f.img", "n1.img"):
        theirs, ours = (place / name for place in both.folders)
        assert qemu_check(ours) == (0, 0)
        assert told(ours) == told(theirs), name


PLACES = frozenset({"actual-size", "filename", "full-backing-filename", "children"})


def told(path: Path) -> dict[str, Any]:
    """What QEMU's tool tells of an image, but how much room it takes."""
    info = qemu_info(path)
    return {key: info[key] for key in info if key not in PLACES}
