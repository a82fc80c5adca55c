"""Bitmap actions of a transaction: each is done while it is prepared, and undone if that fails.

Every drive has one bitmap, or will have it; a further one, which is disabled, is merged into it:
that of the first drive is full, those of the others are empty.
"""

from collections.abc import Callable

from tests.handwritten.state import (
    Bitmap,
    Cluster,
    Drive,
    Instance,
    State,
    Steps,
    clusters_of,
    quiet,
    with_drive,
)


def bitmap_steps(i: Instance, s: State) -> Steps:
    """One action for each drive, under the drain that its backup has begun."""
    for n, d in enumerate(s.drives):
        if i.changes and d.drained and quiet(d) and not d.change:
            for action, after in changes(d, other_is_full=n == 0):
                changed = after._replace(change=action)._asdict()
                yield f"prepare_{action}", with_drive(s, n, **changed)
            yield "fail_bitmap", s._replace(phase="rollback")


def changes(d: Drive, other_is_full: bool) -> list[tuple[str, Drive]]:
    """What can be done to the bitmap as it is."""
    if not d.bitmap.exists:
        return [("add", d._replace(bitmap=Bitmap(True, True)))]
    switched = d._replace(bitmap=Bitmap(True, not d.bitmap.enabled))
    return [
        ("clear", with_bits(d, lambda c: False)),
        ("merge", with_bits(d, lambda c: c.dirty or other_is_full)),
        ("disable" if d.bitmap.enabled else "enable", switched),
    ]


def with_bits(d: Drive, bit: Callable[[Cluster], bool]) -> Drive:
    """The bits are changed, and kept as they were for the undoing."""
    return d._replace(clusters=clusters_of(d, lambda c: c._replace(dirty=bit(c), kept=c.dirty)))


def undo_steps(s: State) -> Steps:
    """The newest change is undone."""
    changed = [n for n, d in enumerate(s.drives) if d.change]
    for n in changed[-1:]:
        yield "rollback_bitmap", with_drive(s, n, **undone(s.drives[n])._asdict())


def undone(d: Drive) -> Drive:
    if d.change in ("clear", "merge"):
        d = d._replace(clusters=clusters_of(d, lambda c: c._replace(dirty=c.kept, kept=False)))
    if d.change == "add":
        d = d._replace(bitmap=Bitmap())
    if d.change in ("enable", "disable"):
        d = d._replace(bitmap=d.bitmap._replace(enabled=not d.bitmap.enabled))
    return d._replace(change="")


def settled(d: Drive) -> Drive:
    """At the cut: what was changed stays so, and what is written from here on is new."""
    found = clusters_of(d, lambda c: c._replace(kept=False, without=c.dirty, since=False))
    return d._replace(clusters=found, without=d.bitmap)


def recorded(i: Instance, d: Drive, c: Cluster) -> Cluster:
    """A guest's write is recorded, in a bitmap that is enabled."""
    if not i.changes:
        return c._replace(dirty=i.picks_clusters or i.clears)
    return c._replace(
        dirty=c.dirty or d.bitmap.enabled, without=c.without or d.without.enabled, since=True
    )


def lost(d: Drive) -> Drive:
    """The process ends: these bitmaps were in its memory only."""
    found = clusters_of(d, lambda c: c._replace(dirty=False, kept=False, without=False))
    return d._replace(clusters=found, bitmap=Bitmap(), without=Bitmap(), change="")
