"""All or nothing: drain and prepare in order, then commit all, or take all back."""

from tests.handwritten.bitmaps import bitmap_steps, lost, settled, undo_steps
from tests.handwritten.state import (
    ATTACHED,
    Cluster,
    Drive,
    Instance,
    State,
    Steps,
    clusters_of,
    quiet,
    with_drive,
    with_drives,
)


def transaction_steps(i: Instance, s: State) -> Steps:
    if s.phase == "idle" and s.connected:
        yield "begin", s._replace(phase="prepare")
    if s.phase == "prepare":
        yield from prepare_steps(i, s)
        yield from bitmap_steps(i, s)
    if s.phase == "commit":
        yield from commit_steps(i, s)
    if s.phase == "rollback":
        yield from rollback_steps(s)
    over = s.phase in ("done", "failed") and all(d.job in ("none", "gone") for d in s.drives)
    if over and s.again and s.connected:
        yield "begin_again", forget_transaction(s)


def prepare_steps(i: Instance, s: State) -> Steps:
    """In the order of the list, so it is the turn of the first that has no job."""
    turn = next((n for n, d in enumerate(s.drives) if d.job == "none"), None)
    if turn is None:
        if i.other:
            yield "fail_other", s._replace(phase="rollback")
        yield "commit", commit(i, cut(i, s), 0)
        return
    d = s.drives[turn]
    if d.drained and not quiet(d):
        return
    if not d.drained:
        yield "drain", with_drive(s, turn, drained=True)
    elif not d.busy:
        yield "prepare", with_drive(s, turn, job="created")
    yield "fail_prepare", s._replace(phase="rollback")
    if d.busy:
        yield "find_busy", s._replace(phase="rollback")


def cut(i: Instance, s: State) -> State:
    """The instant that all backups of the transaction show."""
    s = with_drives(s, settled) if i.changes else s
    return with_drives(
        s, lambda d: d._replace(clusters=clusters_of(d, lambda c: c._replace(cut=c.source)))
    )


def commit(i: Instance, s: State, at: int) -> State:
    """The job starts: its target is empty, and its bitmap begins to record what comes now."""

    def start(c: Cluster) -> Cluster:
        if i.picks_clusters:
            c = c._replace(chosen=c.dirty)
        return c._replace(target=0, filled="", dirty=c.dirty and not i.by_bitmap)

    started = clusters_of(s.drives[at], start)
    return with_drive(s, at, job="running", clusters=started)._replace(phase="commit")


def commit_steps(i: Instance, s: State) -> Steps:
    """Each starts; what else is of the transaction is done; only then are drives released."""
    created = [n for n, d in enumerate(s.drives) if d.job == "created"]
    if created:
        yield "commit", commit(i, s, created[0])
        return
    due = [*next_snapshot(i, s), *next_clear(i, s)]
    yield from due or release_steps(s, "reply", "done")


def next_snapshot(i: Instance, s: State) -> Steps:
    due = [n for n, d in enumerate(s.drives) if i.snapshot and not d.snapped]
    for n in due[:1]:
        frozen = clusters_of(s.drives[n], lambda c: c._replace(frozen=c.source))
        yield "commit_snapshot", with_drive(s, n, clusters=frozen, snapped=True)


def next_clear(i: Instance, s: State) -> Steps:
    due = [n for n, d in enumerate(s.drives) if i.clears and not d.cleared]
    for n in due[:1]:
        clear = clusters_of(s.drives[n], lambda c: c._replace(dirty=False))
        yield "commit_clear", with_drive(s, n, clusters=clear, cleared=True)


def rollback_steps(s: State) -> Steps:
    """Newest first; no target was touched."""
    yield from undo_steps(s)
    created = [n for n, d in enumerate(s.drives) if d.job == "created"]
    if created:
        yield "rollback", with_drive(s, created[-1], job="none")
    elif not any(d.change for d in s.drives):
        yield from release_steps(s, "refuse", "failed")


def release_steps(s: State, answer: str, phase: str) -> Steps:
    drained = [n for n, d in enumerate(s.drives) if d.drained]
    if drained:
        yield "undrain", with_drive(s, drained[0], drained=False)
    else:
        yield answer, s._replace(phase=phase)


def forget_transaction(s: State) -> State:
    """The next transaction finds drives, targets and bitmaps as the last one left them."""

    def forget(d: Drive) -> Drive:
        found = clusters_of(d, lambda c: c._replace(before=c.target))
        return d._replace(
            clusters=found, job="none", failed=False, event="", broken=False, snapped=False,
            cleared=False, change="",
        )  # fmt: skip

    return with_drives(s, forget)._replace(phase="idle", again=s.again - 1)


def surrounding_steps(i: Instance, s: State) -> Steps:
    """Jobs of other commands; a client that leaves and returns; the end of the process."""
    alive = s.phase != "dead"
    for n, d in enumerate(s.drives):
        if i.busy and alive and not d.busy and not d.drained and d.job not in ATTACHED:
            yield "other_start", with_drive(s, n, busy=True)
        if d.busy:
            yield "other_end", with_drive(s, n, busy=False)
    if i.leaves and alive:
        yield "disconnect" if s.connected else "reconnect", s._replace(connected=not s.connected)
    if i.dies and alive:
        yield "die", die(i, s)
    if not alive and s.again:
        yield "restart", restart(i, s)


def die(i: Instance, s: State) -> State:
    """Only what is on disks is left."""

    def forget(d: Drive) -> Drive:
        return d._replace(
            clusters=clusters_of(d, lambda c: c._replace(copied=False)),
            writes=(None,) * len(d.writes),
            copies=(None,) * len(d.copies),
            job="none", failed=False, drained=False, busy=False, broken=False, cleared=False,
            awaited=False,
        )  # fmt: skip

    s = with_drives(s, lost) if i.changes else s
    return with_drives(s, forget)._replace(phase="dead", connected=not i.leaves)


def restart(i: Instance, s: State) -> State:
    """No bitmap is trusted that was in use when the process ended."""
    if i.by_bitmap or i.clears:
        s = with_drives(
            s, lambda d: d._replace(clusters=clusters_of(d, lambda c: c._replace(dirty=True)))
        )
    return forget_transaction(s)
