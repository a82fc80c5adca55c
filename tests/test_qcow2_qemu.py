"""qcow2 images between us and the real qemu-img and qemu-io: each reads what the other wrote."""

import json
import random
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from cleancut_reference.image.image import Bitmap, Image
from cleancut_reference.image.qcow2.check import check
from cleancut_reference.image.qcow2.image import Qcow2Image
from cleancut_reference.image.qcow2.opening import CreateOptions, create_qcow2, open_qcow2
from cleancut_reference.image.raw import RawImage
from tests.image_harness import (
    Disk,
    assert_clean,
    chain_map,
    file_store,
    needs_qemu_img,
    qemu_check,
    qemu_info,
    refusal,
    run,
)

pytestmark = [pytest.mark.qemu, needs_qemu_img]

MIB = 1 << 20
SIZE = 9 * MIB + 1536
CLUSTERS = (4096, 65536, 2 * MIB)


def open_chain(path: Path, writable: bool = True) -> Qcow2Image:
    """An image with its backing images, which lie in the same folder."""

    def open_backing(name: str, kind: str | None) -> Image:
        if kind == "raw":
            return RawImage(file_store(path.parent / name), name)
        return open_chain(path.parent / name, writable=False)

    return open_qcow2(file_store(path), path.name, open_backing, writable)


def create(path: Path, size: int = SIZE, **options: object) -> Disk:
    backing = None
    if name := options.get("backing_file"):
        backing = open_chain(path.parent / str(name), writable=False)
    made = CreateOptions(size, **options)  # type: ignore[arg-type]
    return Disk(create_qcow2(file_store(path), path.name, made, backing))


def scribble(disk: Disk, seed: int) -> None:
    """Data, zeros, holes and compressed clusters, at random."""
    rng = random.Random(seed)
    for _ in range(40):
        offset = rng.randrange(SIZE)
        length = min(rng.choice((1, 512, 5000, 70_000, 600_000)), SIZE - offset)
        match rng.randrange(6):
            case 0 | 1 | 2:
                disk.write(offset, rng.randbytes(length))
            case 3:
                disk.write_zeroes(offset, length, unmap=rng.random() < 0.5)
            case 4:
                disk.discard(offset, length)
            case 5:
                unit = disk.image.cluster_bytes
                start = offset // unit * unit
                disk.write_compressed(start, text(rng, min(unit, SIZE - start)))


def text(rng: random.Random, length: int) -> bytes:
    """Bytes that can be compressed."""
    return (rng.randbytes(50) * (length // 50 + 1))[:length]


def qemu_map(path: Path) -> list[tuple[int, int, int, bool, bool, bool, int | None]]:
    found = json.loads(run("qemu-img", "map", "--output=json", path))
    return [
        (each["start"], each["length"], each["depth"], each["present"], each["zero"],
         each["data"], each.get("offset"))
        for each in found
    ]  # fmt: skip


def parts(found: list[tuple[int, int, int, bool, bool, bool, int | None]]) -> list[object]:
    """What a map says, however it is cut: neighbours that are alike are one."""
    merged: list[list[object]] = []
    for start, _, depth, present, zero, data, offset in found:
        zero = zero and not data  # QEMU looks for holes of the file, too
        status = [
            depth,
            present,
            zero,
            data,
            offset - start if offset is not None and data else None,
        ]
        if not merged or merged[-1][1:] != status:
            merged.append([start, *status])
    return [tuple(each) for each in merged]


@pytest.mark.parametrize("cluster_bytes", CLUSTERS)
def test_qemu_accepts_what_we_write(tmp_path: Path, cluster_bytes: int) -> None:
    path, oracle = tmp_path / "ours.qcow2", tmp_path / "oracle.raw"
    disk = create(path, cluster_bytes=cluster_bytes)
    scribble(disk, cluster_bytes)
    disk.image.close()
    oracle.write_bytes(disk.oracle)
    assert qemu_check(path) == (0, 0)
    run("qemu-img", "compare", "-f", "qcow2", "-F", "raw", path, oracle)
    ours = open_chain(path)
    assert parts(list(chain_map(ours))) == parts(qemu_map(path))
    info = qemu_info(path)
    assert (info["virtual-size"], info["cluster-size"]) == (SIZE, cluster_bytes)
    data = info["format-specific"]["data"]
    assert (data["compat"], data["refcount-bits"], data["lazy-refcounts"]) == ("1.1", 16, False)
    assert not data["corrupt"]


@pytest.mark.parametrize("cluster_bytes", CLUSTERS)
def test_chains_of_ours_are_read_by_qemu(tmp_path: Path, cluster_bytes: int) -> None:
    base = create(tmp_path / "base.qcow2", SIZE - 4 * MIB, cluster_bytes=65536)
    base.write(0, random.Random(1).randbytes(SIZE - 4 * MIB))
    base.image.close()
    backing = {"backing_file": "base.qcow2", "backing_format": "qcow2"}
    top = create(tmp_path / "top.qcow2", cluster_bytes=cluster_bytes, **backing)
    top.oracle[: len(base.oracle)] = base.oracle
    scribble(top, 2)
    top.compare()
    top.image.close()
    (tmp_path / "oracle.raw").write_bytes(top.oracle)
    assert qemu_check(tmp_path / "top.qcow2") == (0, 0)
    run("qemu-img", "compare", tmp_path / "top.qcow2", tmp_path / "oracle.raw")
    info = qemu_info(tmp_path / "top.qcow2")
    assert (info["backing-filename"], info["backing-filename-format"]) == ("base.qcow2", "qcow2")
    ours = open_chain(tmp_path / "top.qcow2")
    assert parts(list(chain_map(ours))) == parts(qemu_map(tmp_path / "top.qcow2"))


@pytest.mark.parametrize("options", [
    "cluster_size=4k", "cluster_size=64k,lazy_refcounts=on", "cluster_size=2M", "refcount_bits=1",
    "refcount_bits=64,cluster_size=512", "preallocation=metadata",
    "preallocation=falloc,cluster_size=8k",
])  # fmt: skip
def test_we_read_and_change_what_qemu_writes(tmp_path: Path, options: str) -> None:
    path, oracle = tmp_path / "theirs.qcow2", tmp_path / "oracle.raw"
    run("qemu-img", "create", "-q", "-f", "qcow2", "-o", options, path, str(SIZE))
    qemu_io(path, "write -P 1 100k 3M", "write -z 1M 128k", "discard 2M 1M", "write -P 2 8M 1M",
            "write -z -u 8M 256k", "write -P 3 0 512")  # fmt: skip
    if "lazy" not in options and "preallocation" not in options:
        qemu_io(path, "write -c -P 9 6M 1M" if "2M" not in options else "write -c -P 9 6M 2M")
    assert_same(path, oracle)
    disk = Disk(open_chain(path))
    disk.oracle[:] = disk.image.read(0, SIZE)
    scribble(disk, 3)
    disk.image.close()
    assert qemu_check(path) == (0, 0)
    assert_same(path, oracle)
    qemu_io(path, "write -P 7 3M 2M", "discard 0 1M")
    assert qemu_check(path) == (0, 0)
    assert_same(path, oracle)


def qemu_io(path: Path, *commands: str) -> None:
    words = [word for command in commands for word in ("-c", command)]
    found = run("qemu-io", "-f", "qcow2", *words, path)
    assert "failed" not in found, found


def assert_same(path: Path, oracle: Path) -> None:
    """We read the same as QEMU does, and our check finds nothing."""
    run("qemu-img", "convert", "-O", "raw", path, oracle)
    assert open_chain(path).read(0, SIZE) == oracle.read_bytes()
    assert_clean(file_store(path))


def test_compressed_images_of_qemu_are_read(tmp_path: Path) -> None:
    rng = random.Random(5)
    content = b"".join(text(rng, 40_000) + rng.randbytes(9000) for _ in range(150))
    content = content[: len(content) // 512 * 512]
    (tmp_path / "raw").write_bytes(content)
    for unit in ("4k", "64k", "2M"):
        path = tmp_path / f"c{unit}"
        run("qemu-img", "convert", "-c", "-O", "qcow2", "-o", f"cluster_size={unit}",
            tmp_path / "raw", path)  # fmt: skip
        image = open_chain(path)
        assert image.read(0, len(content)) == content
        assert parts(list(chain_map(image))) == parts(qemu_map(path))


@pytest.mark.parametrize("options, why", [
    ("extended_l2=on", "extended L2"),
    ("data_file=DATA", "external data file"),
    ("compression_type=zstd", "compression type"),
    ("compat=0.10", "version: 2 is not supported"),
    ("encrypt.format=aes,encrypt.key-secret=s", "encrypted"),
])  # fmt: skip
def test_what_we_cannot_read_is_refused(tmp_path: Path, options: str, why: str) -> None:
    path = tmp_path / "theirs"
    options = options.replace("DATA", str(tmp_path / "data"))
    run("qemu-img", "create", "-q", "--object", "secret,id=s,data=x", "-f", "qcow2", "-o", options,
        path, "1M")  # fmt: skip
    assert why in refusal(lambda: open_chain(path))


def test_snapshots_of_both_are_seen_by_both(tmp_path: Path) -> None:
    path = tmp_path / "image.qcow2"
    disk = create(path)
    scribble(disk, 4)
    kept = {"ours": bytes(disk.oracle)}
    assert isinstance(disk.image, Qcow2Image)
    disk.image.create_snapshot("ours", date_seconds=1_600_000_000, vm_clock_nanoseconds=5_000_000)
    scribble(disk, 5)
    disk.image.close()
    run("qemu-img", "snapshot", "-c", "theirs", path)
    kept["theirs"] = bytes(disk.oracle)
    assert qemu_check(path) == (0, 0)
    listed = {each["name"]: each for each in qemu_info(path)["snapshots"]}
    assert listed["ours"]["date-sec"] == 1_600_000_000
    assert listed["ours"]["vm-clock-nsec"] == 5_000_000
    disk.image = image = open_chain(path)
    scribble(disk, 6)
    for snapshot in image.snapshots():
        view = image.at_snapshot(snapshot.id)
        assert view.read(0, snapshot.size_bytes) == kept[snapshot.name]
    image.close()
    assert qemu_check(path) == (0, 0)
    for name, content in kept.items():
        run("qemu-img", "convert", "-l", name, "-O", "raw", path, tmp_path / "raw")
        assert (tmp_path / "raw").read_bytes() == content
    run("qemu-img", "snapshot", "-d", "ours", path)
    image = open_chain(path)
    image.delete_snapshot(image.snapshots()[0].id)
    image.close()
    assert qemu_check(path) == (0, 0)
    assert open_chain(path).read(0, SIZE) == disk.oracle


def test_bitmaps_of_both_are_seen_by_both(tmp_path: Path) -> None:
    path = tmp_path / "image.qcow2"
    disk = create(path)
    assert isinstance(disk.image, Qcow2Image)
    bits = bytes(range(1, 20)) + b"\0"
    disk.image.store_bitmaps(
        (Bitmap("ours", 65536, bits[:19]), Bitmap("off", 512, bytes(2305), False))
    )
    disk.image.close()
    run("qemu-img", "bitmap", "--add", "-g", "32k", path, "theirs")
    qemu_io(path, "write 1M 1M")
    assert qemu_check(path) == (0, 0)
    found = {each.name: each for each in open_chain(path).bitmaps()}
    theirs = int.from_bytes(found["theirs"].bits, "little")
    assert theirs == ((1 << 32) - 1) << 32
    expected = int.from_bytes(bits, "little") | 0xFFFF << 16
    assert int.from_bytes(found["ours"].bits, "little") == expected
    assert (found["off"].recording, found["theirs"].recording) == (False, True)
    image = open_chain(path)
    image.store_bitmaps(tuple(found.values()))
    image.write(0, b"x")
    image.close()
    listed = qemu_info(path)["format-specific"]["data"]["bitmaps"]
    assert {each["name"]: sorted(each["flags"]) for each in listed} == {
        "ours": ["auto", "in-use"], "off": ["in-use"], "theirs": ["auto", "in-use"],
    }  # fmt: skip
    assert qemu_check(path) == (0, 0)


def test_an_image_that_qemu_left_dirty_is_repaired(tmp_path: Path) -> None:
    path = tmp_path / "dirty.qcow2"
    run("qemu-img", "create", "-q", "-f", "qcow2", "-o", "lazy_refcounts=on", path, "4M")
    words = ["qemu-io", "-c", "write -P 5 0 2M", "-c", "flush", "-c", f"sigraise {signal.SIGKILL}"]
    subprocess.run([*words, str(path)], capture_output=True)
    assert check(file_store(path), "dirty").corruptions == qemu_check(path)[0] > 0
    image = open_chain(path)
    assert image.read(0, 2 * MIB) == b"\x05" * 2 * MIB
    image.write(3 * MIB, b"x" * 100)
    image.close()
    assert qemu_check(path) == (0, 0)


DAMAGES = 100


def test_our_check_agrees_with_qemu_img_on_damaged_images(tmp_path: Path) -> None:
    disk = create(tmp_path / "good", MIB, cluster_bytes=4096)
    image = disk.image
    assert isinstance(image, Qcow2Image)
    image.write(0, random.Random(1).randbytes(300_000))
    image.create_snapshot("one")
    image.write(5000, b"x" * 50_000)
    image.write_compressed(409_600, b"abcd" * 20_480)
    image.write_zeroes(100_000, 50_000)
    image.store_bitmaps((Bitmap("b", 512, b"\x01" * 256),))
    image.close()
    header = image.header
    tables = [header.l1_offset, header.refcount_table_offset, header.snapshots_offset]
    store = file_store(tmp_path / "good")
    for at in tables[:2]:
        tables.append(int.from_bytes(store.read(at, 8), "big") & 0x00FFFFFFFFFFFE00)
    rng, agreed = random.Random(3), 0
    for number in range(DAMAGES):
        path = tmp_path / "damaged"
        shutil.copy(tmp_path / "good", path)
        damaged = file_store(path)
        for _ in range(rng.choice((1, 1, 1, 3))):
            place = rng.choice(tables) + rng.randrange(40) * 8
            old = int.from_bytes(damaged.read(place, 8), "big")
            new = rng.choice((old ^ 1 << rng.randrange(64), rng.randrange(120) * 4096, 0,
                              old + 4096))  # fmt: skip
            damaged.write(place, (new % (1 << 64)).to_bytes(8, "big"))
        theirs = subprocess.run(
            ["qemu-img", "check", "--output=json", str(path)], capture_output=True, text=True
        )
        if not theirs.stdout.startswith("{"):
            continue
        ours, found = check(damaged, "damaged"), json.loads(theirs.stdout)
        corruptions = found.get("corruptions", 0) + found.get("check-errors", 0)
        assert (ours.corruptions, ours.leaks) == (corruptions, found.get("leaks", 0)), (
            number, ours.messages[:9], theirs.stderr,
        )  # fmt: skip
        agreed += bool(corruptions or found.get("leaks", 0))
    assert agreed > DAMAGES // 2


KILLED = """
import os, random, sys
from cleancut_reference.file_store import FileStore
from cleancut_reference.image.qcow2.opening import open_qcow2
image = open_qcow2(FileStore(os.open(sys.argv[1], os.O_RDWR)), "image")
rng = random.Random(int(sys.argv[2]))
print("begun", flush=True)
while True:
    image.write(rng.randrange(63 << 20), rng.randbytes(rng.choice((512, 70_000))))
    if rng.random() < 0.02:
        image.flush()
    if rng.random() < 0.005:
        image.create_snapshot(str(rng.random()))
    if rng.random() < 0.004 and image.snapshots():
        image.delete_snapshot(image.snapshots()[0].id)
"""


def test_a_process_that_is_killed_leaves_a_sound_image(tmp_path: Path) -> None:
    path = tmp_path / "image.qcow2"
    create(path, 64 * MIB, cluster_bytes=4096).image.close()
    rng = random.Random(8)
    for seed in range(8):
        writer = subprocess.Popen(
            [sys.executable, "-c", KILLED, str(path), str(seed)], stdout=subprocess.PIPE, text=True
        )
        assert writer.stdout and writer.stdout.readline() == "begun\n"
        with pytest.raises(subprocess.TimeoutExpired):
            writer.wait(rng.uniform(0.05, 0.4))
        writer.kill()
        writer.communicate()
        assert qemu_check(path)[0] == 0
