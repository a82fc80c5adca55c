"""The filter of a job: the copy-before-write node above its source, and what it holds."""

from cleancut_reference.block.graph import Graph
from cleancut_reference.block.node import Node
from cleancut_reference.block.request import DiskRequest
from cleancut_reference.jobs.job import Job


def attach(graph: Graph, job: Job) -> None:
    """Put the job's filter above its source, and refuse most commands on filter and target."""
    children = {"file": job.source, "target": job.target}
    job.filter = Node(
        name=job.settings.filter_name or graph.new_name(),
        driver="copy-before-write",
        size_bytes=job.source.size_bytes,
        traffic=job.source.traffic,
        filename=job.source.filename,
        children=children,
        job=job,
    )
    graph.insert_filter(job.filter)
    both = [job.filter, job.target]
    graph.block(both, "block device is in use by block job: backup", job)


def detach(graph: Graph, job: Job) -> None:
    """Take the filter away, and the target unless others have it, too."""
    graph.unblock(job)
    graph.remove_filter(job.filter)
    if not job.target.monitor_owned and not any(graph.parents(job.target)):
        graph.remove_tree(job.target)


def close_request(graph: Graph, jobs: list[Job]) -> DiskRequest | None:
    """Close the targets that only these jobs have; None if there is none."""
    own = [job.target for job in jobs if not job.target.monitor_owned]
    alone = [target for target in own if graph.drive_of(target) is None]
    nodes = [node for target in alone for node in graph.unused_below(target)]
    return graph.close_request(nodes) if nodes else None
