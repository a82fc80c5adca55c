"""The edge: persistent bitmaps in images."""

from cleancut_reference.image.image import Bitmap, Image
from cleancut_reference.image.qcow2.image import Qcow2Image


def take_bitmaps(image: Image, writable: bool) -> tuple[Bitmap, ...]:
    """The bitmaps of an image that has just been opened; if it is to be written to, in use now."""
    if not isinstance(image, Qcow2Image):
        return ()
    found = image.bitmaps()
    if found and writable:
        image.use_bitmaps()
    return found


def store_bitmaps(image: Image, bitmaps: tuple[Bitmap, ...]) -> None:
    """Store these bitmaps; what the image has already stays in its order."""
    if not bitmaps:
        return
    assert isinstance(image, Qcow2Image), "only qcow2 keeps bitmaps"
    there = [bitmap.name for bitmap in image.bitmaps()]
    known = {name: at for at, name in enumerate(there)}
    image.store_bitmaps(tuple(sorted(bitmaps, key=lambda each: known.get(each.name, len(there)))))


def drop_bitmap(image: Image, name: str) -> None:
    """Remove a bitmap, if the image has it."""
    assert isinstance(image, Qcow2Image), "only qcow2 keeps bitmaps"
    there = image.bitmaps()
    left = tuple(bitmap for bitmap in there if bitmap.name != name)
    if len(left) < len(there):
        image.store_bitmaps(left)
