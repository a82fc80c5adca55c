"""Guest writes of each form, before, in and after the cut, at every phase of the job."""

from collections.abc import Iterator
from itertools import product
from typing import Final

from cleancut_conformance.tables import verbs
from cleancut_conformance.tables import words as w
from cleancut_conformance.tables.words import Data, Table
from cleancut_spec.jobs import Status

#: Offset and length; the last cluster is half a one.
FORMS: Final = {
    "sector": ("3100k", "512"),
    "cluster": ("3136k", "64k"),
    "span": ("3000k", "200k"),
    "tail": ("4095k", "33k"),
    "whole": ("0", "4128k"),
}
_SIZE: Final = "4M+32k"

_CUT: Final = w.equals("d0.target", "d0@cut", "PIT-ONE-1")
_NOW: Final = w.equals("d0", "d0@now", "GUEST-WRITE-1")


def _write(form: str, byte: int, kind: str = "write") -> Data:
    return w.guest("d0", f"{kind} -P {byte:#04x} {' '.join(FORMS[form])}")


def _read(form: str, byte: int) -> Data:
    return _write(form, byte, "read")


def _row(phase: str, form: str, clause: str, steps: list[Data], **more: object) -> Data:
    return {
        "id": f"{phase}-{form}",
        "title": f"a write of a {form} {phase.replace('-', ' ')}",
        "clauses": [clause, "PIT-ONE-1", "GUEST-WRITE-1"],
        "needs": ["files", "guest-io"],
        "given": {"drives": {"d0": _SIZE}},
        "steps": steps,
        "then": [_CUT, _NOW],
        **more,
    }


def _cut_rows() -> Iterator[Data]:
    """Around the command that takes the cut."""
    command = w.transaction(w.action("drive-backup", **w.backup("d0")))
    for form in FORMS:
        yield _row("finished-before", form, "PIT-BEFORE-1", [
            _write(form, 0xB1), command, w.ends("d0")])  # fmt: skip
        yield _row("queued-before", form, "PIT-BEFORE-1", [
            {"pipeline": [_write(form, 0xB1), command]}, w.ends("d0")])  # fmt: skip
        yield _row("in-flight-at", form, "PIT-BEFORE-1", [
            {"pipeline": [_write(form, 0xB1, "aio_write"), command]}, {"io-end": True},
            w.ends("d0")])  # fmt: skip
        yield _row("right-after", form, "PIT-AFTER-1", [
            {"pipeline": [command, _write(form, 0xB2), _read(form, 0xB2)]},
            w.ends("d0")])  # fmt: skip
        yield _row("in-flight-after", form, "PIT-AFTER-1", [
            {"pipeline": [command, _write(form, 0xB2, "aio_write")]}, {"io-end": True},
            w.ends("d0")])  # fmt: skip
        yield _row("on-both-sides-of", form, "PIT-ALL-1", [
            {"pipeline": [_write(form, 0xB1), command, _write(form, 0xB2)]},
            w.ends("d0")])  # fmt: skip


#: How the job goes on; one whose drive the guest has overwritten wholly may be through by itself.
ON: Final[dict[Status, list[Data]]] = {
    Status.RUNNING: [w.send("block-job-set-speed", reply={}, device="d0", speed=0)],
    Status.PAUSED: [
        w.send("block-job-set-speed", device="d0", speed=0),
        w.send("block-job-resume", device="d0"),
    ],
    Status.WAITING: [w.send("block-job-set-speed", device="d1", speed=0)],
    Status.PENDING: [w.send("job-finalize", id="d0")],
    Status.CONCLUDED: [],
}
_CLAUSES: Final = {
    Status.RUNNING: "CBW-COPY-1",
    Status.PAUSED: "CBW-PAUSE-1",
    Status.WAITING: "CBW-PAUSE-1",
    Status.PENDING: "CBW-PAUSE-1",
    Status.CONCLUDED: "JOB-FREE-1",
}


def _phase_rows() -> Iterator[Data]:
    """While the job is held in a status: twice, for the second write needs no copy."""
    for status, form in product(verbs.HELD, FORMS):
        drives = {"d0": _SIZE, "d1": "6M"} if status is Status.WAITING else {"d0": _SIZE}
        concluded = w.until("query-jobs", {"$has": {"id": "d0", "status": "concluded"}})
        yield _row(f"while-{status}", form, _CLAUSES[status], [
            *verbs.begin(status),
            _write(form, 0xC1),
            {"observe": [{"image": "d0.target"}, {"image": "d0"}]},
            {"pipeline": [_write(form, 0xC2), _read(form, 0xC2)]},
            {"observe": [{"image": "d0.target"}, {"image": "d0"}]},
            *ON[status],
            concluded,
            w.send("job-dismiss", id="d0"),
            _write(form, 0xC3),
        ], given={"drives": drives})  # fmt: skip


def _stopped_rows() -> Iterator[Data]:
    """While an error has stopped the job, a write needs the very cluster that fails, too."""
    for form in FORMS:
        yield _row("while-stopped", form, "CBW-PAUSE-1", [
            {"send": {"execute": "drive-backup",
                      "arguments": w.existing("d0", on_target_error="stop")}},
            w.until("query-jobs", [{"id": "d0", "status": "paused"}]),
            _write(form, 0xC1),
            {"observe": [{"image": "d0.target"}, {"image": "d0"}]},
            _read(form, 0xC1),
            w.send("block-job-resume", device="d0"),
            w.expect("BLOCK_JOB_COMPLETED", device="d0", error=w.ABSENT),
            w.ends("d0"),
        ], needs=["files", "guest-io", "fault"], given={
            "drives": {"d0": _SIZE},
            "files": {"d0.target": {"size": _SIZE}},
            "faults": [w.fault("d0.target", "write", "3072k", "EIO")],
        })  # fmt: skip


def _rows() -> Iterator[Data]:
    yield from _cut_rows()
    yield from _phase_rows()
    yield from _stopped_rows()


TABLES: Final = (
    Table("point-in-time/write", "each phase has a path of its own for guest writes, and a copy "
          "of one sector, of many clusters and of the partial last one differ", _rows),
)  # fmt: skip
