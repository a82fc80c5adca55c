"""The block graph: which nodes there are, who stands on whom, and how a name is looked up."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from cleancut_reference import errors
from cleancut_reference.block.drivers import filename
from cleancut_reference.block.node import TRANSPARENT, Blocker, Drive, Node
from cleancut_reference.block.persistence import loaded, stored
from cleancut_reference.block.request import AUTO_NAME, DiskRequest, Op, Opened, auto_name
from cleancut_reference.block.throttle import ThrottleGroup
from cleancut_reference.block.traffic import Traffic


@dataclass(slots=True, eq=False)
class Graph:
    """All nodes by name, oldest first, and the drives."""

    drives: list[Drive] = field(default_factory=list)
    nodes: dict[str, Node] = field(default_factory=dict)
    traffics: list[Traffic] = field(default_factory=list)
    groups: dict[str, ThrottleGroup] = field(default_factory=dict)
    next_name: int = 100
    next_index: int = 0

    def new_name(self) -> str:
        """A name for a node that the client gives none."""
        self.next_name += 1
        return auto_name(self.next_name - 1)

    def new_traffic(self) -> Traffic:
        """The guest requests of a further image."""
        traffic = Traffic(self.next_index)
        self.next_index += 1
        self.traffics.append(traffic)
        return traffic

    def add(self, node: Node) -> Node:
        """A node is there; its name must be free."""
        assert node.name not in self.nodes, f"{node.name} twice"
        self.nodes[node.name] = node
        if node.name.startswith(AUTO_NAME):
            self.next_name = max(self.next_name, int(node.name.removeprefix(AUTO_NAME)) + 1)
        return node

    def build(self, opened: Opened) -> Node:
        """The nodes of what has been opened, in the order in which QEMU makes them."""
        first = {role: child for role, child in opened.children.items() if role != "backing"}
        children = {role: self._child(child) for role, child in first.items()}
        called = {role: (child.driver, child.filename) for role, child in children.items()}
        below = children.get(TRANSPARENT.get(opened.driver, ""))
        node = Node(
            name=opened.name,
            driver=opened.driver,
            size_bytes=opened.size_bytes,
            traffic=below.traffic if below else self.new_traffic(),
            filename=filename(opened.driver, opened.options, called, opened.filename),
            identity=opened.identity,
            read_only=opened.read_only,
            cluster_bytes=max(opened.cluster_bytes, below.cluster_bytes if below else 1),
            named_backing=opened.named_backing,
            children=children,
            options=opened.options,
        )
        node.bitmaps = loaded(opened.bitmaps, node.size_bytes, node.read_only)
        self.add(node)
        if node.driver == "blkdebug":  # it opens its image when it is there itself
            for child in first.values():
                if isinstance(child, Opened):
                    self.nodes[child.name] = self.nodes.pop(child.name)
        if "backing" in opened.children:
            node.children["backing"] = self._child(opened.children["backing"])
        return node

    def _child(self, child: Opened | str) -> Node:
        return self.nodes[child] if isinstance(child, str) else self.build(child)

    def remove(self, node: Node) -> None:
        """A node is gone; what stood below it stays."""
        del self.nodes[node.name]
        if not any(other.traffic is node.traffic for other in self.nodes.values()):
            self.traffics.remove(node.traffic)

    def unused_below(self, node: Node) -> list[Node]:
        """The node and what stands below it for its sake alone, topmost first."""
        found = [node]
        for above in found:
            for child in above.children.values():
                parents = [parent for parent in self.parents(child) if parent not in found]
                if not parents and not child.monitor_owned and child not in found:
                    found.append(child)
        return found

    def close_request(self, nodes: list[Node]) -> DiskRequest:
        """Close the images of these nodes, and store before what they are to keep."""
        names = tuple(node.name for node in nodes)
        return DiskRequest(Op.CLOSE, names[0], nodes=names, bitmaps=stored(nodes))

    def remove_tree(self, node: Node) -> None:
        """A node is gone, and all that stood below it for its sake alone."""
        for unused in self.unused_below(node):
            self.remove(unused)

    @property
    def gated(self) -> bool:
        """Whether there is a node that may hold requests back."""
        return any(node.driver in ("blkdebug", "throttle") for node in self.nodes.values())

    def drive(self, name: str) -> Drive | None:
        """The drive with this name."""
        return next((drive for drive in self.drives if name and drive.name == name), None)

    def find(self, name: str) -> Node:
        """The root of the drive with this name, or the node with it; raises QmpError."""
        drive = self.drive(name)
        if drive is not None:
            if drive.root is None:
                raise errors.generic(f"Device '{name}' has no medium")
            return drive.root
        if name not in self.nodes:
            raise errors.no_device(name, name)
        return self.nodes[name]

    def find_by(self, device: str, node_name: str) -> Node:
        """The root of the drive, or else the node, with these names; raises QmpError."""
        if device and self.drive(device):
            return self.find(device)
        if not device and node_name in self.nodes:
            return self.nodes[node_name]
        raise errors.no_device(device, node_name)

    def known(self, name: str) -> Node | None:
        """The same, or None where there is no such node."""
        drive = self.drive(name)
        return drive.root if drive is not None else self.nodes.get(name)

    def of_same_bytes(self, node: Node) -> list[Node]:
        """The nodes, above and below, that hold the same bytes at the same places."""
        return [other for other in self.nodes.values() if other.traffic is node.traffic]

    def drive_of(self, node: Node) -> Drive | None:
        """The drive with a name whose root this node is."""
        return next((drive for drive in self.drives if drive.name and drive.root is node), None)

    def display_name(self, node: Node) -> str:
        """What an error calls a node: its drive's name if it has one."""
        drive = self.drive_of(node)
        return drive.name if drive else node.name

    def parents(self, node: Node) -> Iterator[Node | Drive]:
        """Who stands on a node."""
        for other in self.nodes.values():
            if node in other.children.values():
                yield other
        for drive in self.drives:
            if drive.root is node:
                yield drive

    def replace(self, old: Node, new: Node) -> None:
        """Whoever stands on `old` stands on `new` from now on, but for what `new` stands on."""
        below = [new]
        for node in below:
            below += [child for child in node.children.values() if child not in below]
        for parent in list(self.parents(old)):
            if isinstance(parent, Drive):
                parent.root = new
            elif parent not in below:
                for role, child in parent.children.items():
                    if child is old:
                        parent.children[role] = new

    def insert_filter(self, filter_node: Node) -> None:
        """Put a filter above its child `file`."""
        self.replace(filter_node.children["file"], self.add(filter_node))

    def remove_filter(self, filter_node: Node) -> None:
        """Take a filter out: what it stood on takes its place."""
        child = filter_node.children.pop("file")
        filter_node.children.clear()
        self.replace(filter_node, child)
        self.remove(filter_node)

    def check_not_blocked(self, node: Node, for_backup: bool = False) -> None:
        """Refuse a node that a job has claimed or an overlay stands on; raises QmpError.

        An overlay does not mind that what is below it is backed up.
        """
        reasons = [blocker.reason for blocker in node.blockers]
        if not for_backup:
            for parent in self.parents(node):
                if isinstance(parent, Node) and parent.children.get("backing") is node:
                    reasons.append(f"node is used as backing hd of '{parent.name}'")
        if reasons:
            raise errors.blocked(self.display_name(node), reasons[0])

    def check_permission(
        self, node: Node, permission: str, needs: str, without: Node | None = None
    ) -> None:
        """Refuse to write or resize a node below one that counts on it; raises QmpError.

        Else a write would pass a copy-before-write filter by, or damage a format's image.
        `without` is a parent that is not asked.
        """
        for parent in self.parents(node):
            if parent is not without and not self._shares(parent, node, permission):
                holder = used_by(parent, node)
                raise errors.permission_conflict(node.name, permission, needs, holder)

    def _shares(self, parent: Node | Drive, node: Node, permission: str) -> bool:
        """Whether what stands on a node lets others do this: a guest's device writes alone."""
        if isinstance(parent, Drive):
            named = bool(parent.name or parent.device)  # clients of an export know the size
            return named if permission == "resize" else parent.device is None
        if parent.driver == "copy-before-write":
            return parent.children["target"] is node
        above = self.parents(parent)
        return parent.below is node and all(self._shares(one, parent, permission) for one in above)

    def check_unwritten(self, source: Node) -> None:
        """Refuse a source below which a job writes its backup; raises QmpError."""
        for parent, child in source.down():
            for writer in self.parents(child):
                if isinstance(writer, Node) and writer.children.get("target") is child:
                    needs, holder = used_by(writer, child), used_by(parent, child)
                    raise errors.permission_conflict(child.name, "write", needs, holder)

    def block(self, nodes: list[Node], reason: str, owner: object) -> None:
        """From now on commands on these nodes are refused for this reason."""
        blocker = Blocker(reason, owner)
        for node in nodes:
            node.blockers.append(blocker)

    def unblock(self, owner: object) -> None:
        """Take back all that this owner has blocked."""
        for node in self.nodes.values():
            node.blockers = [blocker for blocker in node.blockers if blocker.owner is not owner]

    def identities(self) -> set[str]:
        """The files that nodes have open."""
        return {node.identity for node in self.nodes.values() if node.identity}


def used_by(parent: Node | Drive, child: Node) -> str:
    """How an error tells who stands on a node, and as what."""
    if isinstance(parent, Drive):
        device = parent.name or (parent.device.qdev if parent.device else "")
        if not device:
            return errors.UNNAMED.format(child.name)
        return f"block device '{device}' (uses node '{child.name}' as 'root' child)"
    role = next(role for role, node in parent.children.items() if node is child)
    return f"node '{parent.name}' (uses node '{child.name}' as '{role}' child)"


def files_below(node: Node) -> set[str]:
    """The files that a node's content lies in, but for backing files."""
    found, current = set(), node
    while True:
        if current.identity:
            found.add(current.identity)
        role = TRANSPARENT.get(current.driver, "file")
        if role not in current.children:
            return found
        current = current.children[role]
