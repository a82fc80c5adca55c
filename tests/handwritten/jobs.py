"""A job from its start to its end: what the client asks of it, and how it ends."""

from tests.handwritten.requests import DriveSteps
from tests.handwritten.state import (
    LIVE,
    OVER,
    Cluster,
    Drive,
    Instance,
    State,
    Steps,
    at_rest,
    clusters_of,
    having,
    to_copy,
    with_drive,
    with_drives,
)


def client_steps(i: Instance, d: Drive) -> DriveSteps:
    """The client's commands to one job, which no other job is concerned in."""
    if i.control:
        if d.job == "running":
            yield "pause", d._replace(job="paused")
        if d.job == "paused":
            yield "resume", d._replace(job="running")
        done = d.job in ("waiting", "pending")  # it copies no more: it is cancelled when over
        cancelled = d._replace(job="aborting", awaited=i.monitor and done)
        if d.job in LIVE and d.job != "paused":
            yield "cancel", cancelled
        if d.job in LIVE:
            yield "force_cancel", cancelled
    if i.speed and d.job in ("running", "paused"):
        yield "set_speed", d
    if d.job == "concluded":
        yield "dismiss", d._replace(job="gone")


def ending_steps(i: Instance, s: State) -> Steps:
    """What jobs do when they have copied all, or are to end."""
    all_end = all(d.job in ("aborting", *OVER) for d in s.drives)
    for n, d in enumerate(s.drives):
        free = not d.drained and at_rest(d)
        if d.job == "running" and free and has_copied_all(i, d):
            yield "finish", with_drive(s, n, job="waiting" if i.grouped else "pending")
        if d.job == "aborting" and free and (all_end or not i.grouped):
            yield "abort", having(s, n, without_success(i, d))
    yield from group_steps(i, s) if i.grouped else single_steps(i, s)


def has_copied_all(i: Instance, d: Drive) -> bool:
    """With sync none there is no end to what may still be overwritten."""
    return i.sync != "none" and not any(to_copy(i, c) for c in d.clusters)


def single_steps(i: Instance, s: State) -> Steps:
    for n, d in enumerate(s.drives):
        if d.job == "pending" and (not i.manual or commanded(i, s)):
            after = having(s, n, with_success(i, d))
            yield "finalize" if i.manual else "complete", after


def group_steps(i: Instance, s: State) -> Steps:
    """No job completes before all have copied everything; if one ends otherwise, so do all."""
    jobs = [d.job for d in s.drives]
    if all(job == "waiting" for job in jobs):
        yield "group_pending", with_drives(s, lambda d: d._replace(job="pending"))
    if all(job == "pending" for job in jobs):
        after = with_drives(s, lambda d: with_success(i, d))
        if not i.manual:
            yield "group_complete", after
        elif commanded(i, s):
            yield from (("finalize", after) for _ in s.drives)  # any of them is for all
    if "aborting" in jobs and any(job in LIVE for job in jobs):
        yield (
            "group_cancel",
            with_drives(s, lambda d: d._replace(job="aborting") if d.job in LIVE else d),
        )


def commanded(i: Instance, s: State) -> bool:
    """The client can give commands: it is there, and all that it has sent has been answered."""
    return s.phase == "done" and s.connected and not (i.monitor and any(map(unanswered, s.drives)))


def unanswered(d: Drive) -> bool:
    """A pause is answered when the job stands still, a cancel of one that waits when it ends."""
    return d.awaited or (d.job == "paused" and any(d.copies))


def with_success(i: Instance, d: Drive) -> Drive:
    """A bitmap begins anew at the cut, unless it is never to be touched."""

    def end(c: Cluster) -> Cluster:
        if i.by_bitmap and i.bitmap_mode == "never":
            return c._replace(dirty=c.dirty or c.chosen)
        return c._replace(below=c.target) if i.by_bitmap and c.chosen else c

    return over(i, d._replace(clusters=clusters_of(d, end)), "completed")


def without_success(i: Instance, d: Drive) -> Drive:
    """The bitmap gets back what it had; with mode always, what has not reached the target."""

    def end(c: Cluster) -> Cluster:
        if not i.by_bitmap or not c.chosen:
            return c
        if i.bitmap_mode == "always" and c.copied:
            return c._replace(below=c.target)
        return c._replace(dirty=True)

    ended = d._replace(clusters=clusters_of(d, end))
    return over(i, ended, "failed" if d.failed else "cancelled")


def over(i: Instance, d: Drive, event: str) -> Drive:
    """The one final event; what was copied is forgotten with the job."""
    forgotten = clusters_of(d, lambda c: c._replace(copied=False))
    return d._replace(
        job="concluded" if i.manual else "gone", event=event, clusters=forgotten, awaited=False
    )
