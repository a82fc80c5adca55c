"""How a qcow2 image is made and opened."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from cleancut_reference.image.image import Image, ImageError, OpenBacking
from cleancut_reference.image.qcow2.header import (
    LAZY_REFCOUNTS,
    Header,
    Incompatible,
    read_header,
)
from cleancut_reference.image.qcow2.image import Qcow2Image, check_size
from cleancut_reference.image.qcow2.layout import CLUSTER_BITS, REFCOUNT_ORDERS, Geometry
from cleancut_reference.image.qcow2.metadata import Metadata
from cleancut_reference.image.qcow2.ordered_store import OrderedStore
from cleancut_reference.image.qcow2.repair import repair
from cleancut_reference.image.store import Store

DEFAULT_CLUSTER_BYTES: Final = 65536


@dataclass(frozen=True, slots=True)
class CreateOptions:
    """What `blockdev-create` may say of a new image."""

    size_bytes: int
    cluster_bytes: int = DEFAULT_CLUSTER_BYTES
    backing_file: str | None = None
    backing_format: str | None = None
    refcount_bits: int = 16
    lazy_refcounts: bool = False


def create_qcow2(
    store: Store, name: str, options: CreateOptions, backing: Image | None = None
) -> Qcow2Image:
    """Make a new image; until it is complete, its size is zero."""
    cluster_bits = options.cluster_bytes.bit_length() - 1
    if cluster_bits not in CLUSTER_BITS or options.cluster_bytes != 1 << cluster_bits:
        desc = f"{options.cluster_bytes} is no power of two from 512 to 2097152"
        raise ImageError(name, "cluster_size", desc)
    order = options.refcount_bits.bit_length() - 1
    if order not in REFCOUNT_ORDERS or options.refcount_bits != 1 << order:
        desc = f"{options.refcount_bits} is no power of two from 1 to 64"
        raise ImageError(name, "refcount_bits", desc)
    if options.backing_format and not options.backing_file:
        raise ImageError(name, "backing_fmt", "it is given without a backing file")
    geometry = Geometry(cluster_bits, order)
    check_size(name, geometry, options.size_bytes)
    header = Header(
        geometry,
        0,
        compatible=LAZY_REFCOUNTS if options.lazy_refcounts else 0,
        backing_file=options.backing_file,
        backing_format=options.backing_format,
    )
    header.pack(name)  # refuses what does not fit, before anything is lost
    store.truncate(0)
    metadata = Metadata(OrderedStore(store), name, header)
    metadata.refcounts.add(0, 1, 1)
    metadata.store.extend(geometry.cluster_bytes)
    metadata.grow_l1(geometry.l1_entries(options.size_bytes))
    metadata.publish(size_bytes=options.size_bytes)
    return Qcow2Image(metadata, backing, writable=True)


def open_qcow2(
    store: Store, name: str, open_backing: OpenBacking | None = None, writable: bool = True
) -> Qcow2Image:
    """Open an image; without a way to open its backing image, what it lacks reads as zeros."""
    header = read_header(store, name)
    if writable and header.incompatible & Incompatible.CORRUPT:
        desc = "the image is marked corrupt; it can be opened for reading only"
        raise ImageError(name, "incompatible_features", desc)
    ordered = OrderedStore(store)
    if writable and header.incompatible & Incompatible.DIRTY:
        header = repair(ordered, name, header)
    backing = None
    if header.backing_file and open_backing:
        backing = open_backing(header.backing_file, header.backing_format)
    return Qcow2Image(Metadata(ordered, name, header), backing, writable)
