"""What is in flight on a drive: the guest's writes, and the copies of the job."""

from collections.abc import Iterator

from tests.handwritten.bitmaps import recorded
from tests.handwritten.state import (
    ATTACHED,
    Cluster,
    Copy,
    Drive,
    Instance,
    State,
    Steps,
    Write,
    put,
    saves,
    to_copy,
    with_drive,
)

DriveSteps = Iterator[tuple[str, Drive]]


def submit_steps(i: Instance, s: State) -> Steps:
    """A guest may write what it likes, whenever its machine is there."""
    if s.phase == "dead" or not s.writes:
        return
    for n, d in enumerate(s.drives):
        for r, write in enumerate(d.writes):
            for c in range(i.clusters if write is None else 0):
                for v in range(i.values):
                    asked = put(d.writes, r, Write("arrived", c, v))
                    yield (
                        "guest_write",
                        with_drive(s, n, writes=asked)._replace(writes=s.writes - 1),
                    )


def write_steps(i: Instance, d: Drive, group_ends: bool) -> DriveSteps:
    """Each write of the guest on its way to the drive."""
    for r, w in enumerate(d.writes):
        if w is not None:
            yield from steps_of_write(i, d, r, w)
            if saves(w) and d.errors:
                name = "fail_cbw_read" if w.phase == "reading" else "fail_cbw_write"
                after = fail_to_save(i, d, r, group_ends)
                yield from ((name, after) for _ in i.errnos)


def steps_of_write(i: Instance, d: Drive, r: int, w: Write) -> DriveSteps:
    """It saves the old data if the backup still needs it, and only then is written."""
    here = d.clusters[w.cluster]
    if w.phase == "arrived" and not d.drained and not is_copied_now(d, w.cluster):
        if d.job in ATTACHED and not d.broken and to_copy(i, here):
            yield "cbw_claim", in_phase(d, r, "reading")
        else:
            yield "guest_start", in_phase(d, r, "writing")
    if w.phase == "reading":
        yield "cbw_read", in_phase(d, r, "saving", here.source)
    if w.phase == "saving":
        saved = save(i, d, w.cluster, w.old)
        yield "cbw_write", in_phase(saved, r, "writing")
    if w.phase == "writing":
        written = store(d, w.cluster, recorded(i, d, here)._replace(source=w.value))
        yield "guest_done", written._replace(writes=put(d.writes, r, None))


def in_phase(d: Drive, r: int, phase: str, old: int = 0) -> Drive:
    return d._replace(writes=put(d.writes, r, d.writes[r]._replace(phase=phase, old=old)))


def fail_to_save(i: Instance, d: Drive, r: int, group_ends: bool) -> Drive:
    """The guest's write fails, and the job does not notice; or the backup is given up for it."""
    d = d._replace(errors=d.errors - 1)
    if not i.breaks:
        return d._replace(writes=put(d.writes, r, None))
    return in_phase(end_with_error(d, group_ends)._replace(broken=True), r, "writing")


def store(d: Drive, at: int, cluster: Cluster) -> Drive:
    return d._replace(clusters=put(d.clusters, at, cluster))


def save(i: Instance, d: Drive, at: int, content: int) -> Drive:
    """The target has the cluster: a last one that is partial to the drive's end and not beyond."""
    partial = i.tail and at == i.clusters - 1
    filled = ("to the end" if partial else "whole") if i.tail else ""
    return store(d, at, d.clusters[at]._replace(target=content, copied=True, filled=filled))


def is_copied_now(d: Drive, cluster: int) -> bool:
    """A copy of the cluster is under way, by the job or before another write."""
    by_job = any(copy and copy.cluster == cluster for copy in d.copies)
    return by_job or any(saves(w, cluster) for w in d.writes)


def end_with_error(d: Drive, group_ends: bool) -> Drive:
    """A running or paused job ends as failed; if its group ends already, as cancelled."""
    if d.job not in ("running", "paused"):
        return d
    return d._replace(job="aborting", failed=not group_ends)


def copy_steps(i: Instance, d: Drive, group_ends: bool) -> DriveSteps:
    """The job takes clusters by itself, except with sync none."""
    if i.sync == "none":
        return
    for w, copy in enumerate(d.copies):
        if copy is None:
            for c, here in enumerate(d.clusters):
                free = d.job == "running" and not d.drained and to_copy(i, here)
                if free and not is_copied_now(d, c) and not is_written_now(d, c):
                    yield "copy_claim", d._replace(copies=put(d.copies, w, Copy("reading", c)))
            continue
        c, here, done = copy.cluster, d.clusters[copy.cluster], put(d.copies, w, None)
        if copy.phase == "reading":
            read = put(d.copies, w, Copy("writing", c, here.source))
            yield "copy_read", d._replace(copies=read)
        else:
            yield "copy_write", save(i, d, c, copy.content)._replace(copies=done)
        if d.errors:
            reads = copy.phase == "reading"
            name = "fail_copy_read" if reads else "fail_copy_write"
            policy = (i.source_policy if reads else i.target_policy) or i.policy
            after = d._replace(errors=d.errors - 1, copies=done)
            yield from ((name, by_policy(policy, after, errno, group_ends)) for errno in i.errnos)


def is_written_now(d: Drive, cluster: int) -> bool:
    return any(w and w.phase == "writing" and w.cluster == cluster for w in d.writes)


def by_policy(policy: str, d: Drive, errno: str, group_ends: bool) -> Drive:
    """What an error of the job's own copying does to it; the cluster stays to be copied."""
    if policy == "ignore":
        return d
    for_space = policy in ("enospc", "auto") and errno == "ENOSPC"
    if policy == "stop" or for_space:
        return d._replace(job="paused") if d.job == "running" else d
    return end_with_error(d, group_ends)
