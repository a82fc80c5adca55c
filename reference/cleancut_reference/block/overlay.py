"""An overlay takes the place of a node: whoever stood on that stands on the overlay."""

import json
from typing import Any

from cleancut_reference.block.drivers import common_options
from cleancut_reference.block.graph import Graph
from cleancut_reference.block.node import Node


def put_above(graph: Graph, base: Node, overlay: Node) -> None:
    """The overlay goes on with the guest requests of the base, which gets none any more."""
    overlay.children["backing"] = base
    graph.replace(base, overlay)
    _exchange(graph, base, overlay)
    overlay.filename = _filename(overlay)


def stand_on(image: Node, base: Node, named: bool) -> None:
    """A base shows through an image, whose header is to name it or says what it says."""
    image.children["backing"] = base
    if named:
        image.named_backing = base.filename
    image.filename = _filename(image)


def backing_options(base: Node) -> dict[str, Any]:
    """What the header of a new image says of the base on which it stands."""
    raw = base.driver in ("memory", "null-co", "file", "nbd")
    return {"backing_file": base.filename, "backing_format": "raw" if raw else base.driver}


def take_away(graph: Graph, base: Node, overlay: Node) -> None:
    """Everything is as before `put_above`."""
    del overlay.children["backing"]
    graph.replace(overlay, base)
    _exchange(graph, base, overlay)
    overlay.filename = _filename(overlay)


def _exchange(graph: Graph, base: Node, overlay: Node) -> None:
    """The two nodes' guest requests change places, with those of what shows the same bytes."""
    own, other = base.traffic, overlay.traffic
    for node in graph.nodes.values():
        if node.traffic is own:
            node.traffic = other
        elif node.traffic is other:
            node.traffic = own


def _filename(overlay: Node) -> str:
    """The name of its file, if the file says the same of what is below; else all of it."""
    file = overlay.children["file"].filename
    backing = overlay.children.get("backing")
    if backing is None or overlay.named_backing == backing.filename:
        return file
    return "json:" + json.dumps(_describe(overlay, with_backing=True))


def _describe(node: Node, with_backing: bool = False) -> dict[str, Any]:
    silent = common_options() | {"backing"}
    whole: dict[str, Any] = {"driver": node.driver}
    whole |= {key: value for key, value in node.options.items() if key not in silent}
    for role, child in node.children.items():
        if role != "backing" or with_backing:
            whole[role] = _describe(child)
    return whole
