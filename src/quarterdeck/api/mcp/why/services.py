"""Why a service is not well: its state, health, restarts and last log lines on each node."""

from __future__ import annotations

from quarterdeck.api.mcp.messages import job_of
from quarterdeck.api.mcp.why.findings import (
    FINDINGS,
    Finding,
    Gathered,
    Question,
    away,
    known_nodes,
    reasons,
    since,
    status_of,
    with_lines,
)
from quarterdeck.model.nodes import Node, NodeKey
from quarterdeck.model.services import ServiceOnNode, ServiceState

#: states that are as they should be, when the node is online; the others pass by themselves or need somebody
WELL = frozenset({ServiceState.RUNNING, ServiceState.STOPPED})
#: states in which something went wrong
BAD = frozenset({ServiceState.UNHEALTHY, ServiceState.BACKOFF, ServiceState.FAILED})


async def gather(question: Question) -> Gathered:
    """Return the service on each node, or on one; raise `NotFound`."""
    service = await question.backend.services.show(question.name)
    nodes = await known_nodes(question)
    chosen = [(on, NodeKey(on.gid, on.nid)) for on in service.nodes]
    shown = [(finding(on, nodes[key]), key) for on, key in chosen if key in nodes]
    shown.sort(key=lambda each: (each[0].well, each[0].node))
    found, problems = await with_lines(question, shown[:FINDINGS], job=job_of(question.name))
    unwell = sum(not each.well for each, _ in shown)
    return Gathered(
        well=bool(shown) and not unwell,
        summary=_summary(question, total=len(shown), unwell=unwell),
        findings=found,
        problems=problems,
        left_out=len(shown) - len(found),
    )


def finding(on: ServiceOnNode, node: Node) -> Finding:
    """Return a service on one node."""
    status = on.status
    removed = "" if on.wanted else "It is being removed."
    health = f"Its health check: {status.health}." if status.health else ""
    ended = f"Its previous run {status.ended}." if status.ended else ""
    return Finding(
        kind="service",
        name=on.name,
        well=status.state in WELL and not away(node),
        state=status.state,
        node=on.node_name,
        node_state=node.state,
        reason=reasons(away(node), removed, status.reason, health, ended),
        since=since(status.since),
        status=status_of(status),
    )


def _summary(question: Question, *, total: int, unwell: int) -> str:
    where = f" on {question.node}" if question.node else ""
    if not total:
        return f"No node runs the service '{question.name}'{where}: its selector matches none."
    if not unwell:
        return f"The service '{question.name}' is well on all of its {total} nodes{where}."
    return f"The service '{question.name}' is not well on {unwell} of {total} nodes{where}."
