"""Why a module is not well: the state of its instances, the verifier's log, what they attached and lost."""

from __future__ import annotations

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
)
from quarterdeck.model.modules import Instance, InstanceState, ModuleState
from quarterdeck.model.moments import utc
from quarterdeck.model.nodes import Node


async def gather(question: Question) -> Gathered:
    """Return the module's instance on each node, or on one; raise `NotFound`."""
    module = await question.backend.modules.show(question.name)
    nodes = await known_nodes(question)
    instances = [each for each in await question.backend.modules.instances(module.id) if each.key in nodes]
    found = sorted((finding(each, nodes[each.key]) for each in instances), key=lambda each: (each.well, each.node))
    unwell = sum(not each.well for each in found)
    where = f" on {question.node}" if question.node else ""
    if module.desire_state is not ModuleState.DEPLOYED:
        summary = f"The module '{module.name}' is not deployed: it is {module.desire_state}."
    elif not found:
        summary = f"The module '{module.name}' is deployed, and its selector matches no node{where}."
    elif unwell:
        summary = f"The module '{module.name}' is not well on {unwell} of {len(found)} nodes{where}."
    else:
        summary = f"The module '{module.name}' is well on all of its {len(found)} nodes{where}."
    return Gathered(
        well=bool(found) and not unwell,
        summary=summary,
        findings=found[:FINDINGS],
        left_out=len(found[FINDINGS:]),
    )


def finding(instance: Instance, node: Node) -> Finding:
    """Return a module on one node."""
    status, stats = instance.status, instance.stats
    retry = f"It is retried at {utc(status.retry_at)}." if status.retry_at else ""
    lost = f"It lost {stats.lost} rows since its start." if stats is not None and stats.lost else ""
    more = {} if stats is None else {"stats": status_of(stats)}
    return Finding(
        kind="module",
        name=instance.module_name,
        well=status.state is InstanceState.SUCCEEDED and not away(node),
        state=status.state,
        node=instance.node_name,
        node_state=node.state,
        reason=reasons(away(node), status.reason, retry, lost, *status.warnings),
        since=since(status.since),
        status=status_of(status) | more,
    )
