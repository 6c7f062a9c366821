"""Why a node is not well: its agent, what runs on it, its jobs that failed and the rows that it lost."""

from __future__ import annotations

from collections.abc import Sequence

from quarterdeck.api.mcp.why import jobs, losses, modules, services
from quarterdeck.api.mcp.why.findings import Finding, Gathered, Question, reasons, since, status_of
from quarterdeck.model.jobs import JobState
from quarterdeck.model.nodes import AgentState, Node, NodeKey, Selector
from quarterdeck.model.services import ServiceState

#: states of jobs that failed, and how many of each are shown
FAILED = (JobState.ERROR, JobState.TIMEOUT, JobState.LOST, JobState.EXPIRED, JobState.REFUSED, JobState.UNKNOWN_CMD)
JOBS = 5
#: seconds in which jobs count as failed lately
LATELY_S = 86400.0
#: services that are looked at on the node
SERVICES = 20


async def gather(question: Question) -> Gathered:
    """Return the node and what is not well on it; raise `NotFound`."""
    node = await question.backend.nodes.show(question.name)
    lost, problems = await losses.gather(question, node.key)
    on_it = [
        *await _services(question, node),
        *await _modules(question, node),
        *await failed_jobs(question, Selector(nodes=(str(node.key),))),
        *lost,
    ]
    itself = finding(node)
    count = len(on_it) + (not itself.well)
    return Gathered(
        well=not count,
        summary=f"The node '{node.name}' is {node.state}; {count or 'no'} findings are not well.",
        findings=[itself, *on_it],
        problems=problems,
    )


def finding(node: Node) -> Finding:
    """Return the node itself."""
    away = f"Its agent is {node.state}, last heard at {since(node.seen_at)}."
    offline = "" if node.state is AgentState.ONLINE else away
    held = (
        f"Its agent keeps revision {node.held_revision} of a lost server state; `qd node sync {node.name}` replaces it."
        if node.held_revision
        else ""
    )
    behind = (
        f"It acted on revision {node.acted_revision} of {node.revision}." if node.acted_revision < node.revision else ""
    )
    modules_ = f"Modules cannot run: {node.facts.ebpf_reason}." if node.facts.ebpf_reason else ""
    claimed = f"Labels not in force: {', '.join(sorted(node.claimed_labels))}." if node.claimed_labels else ""
    return Finding(
        kind="node",
        name=node.name,
        well=node.state is AgentState.ONLINE and not node.held_revision,
        state=node.state,
        node=node.name,
        node_state=node.state,
        reason=reasons(offline, held, behind, modules_, claimed),
        since=since(node.seen_at),
        status=status_of(node),
    )


async def failed_jobs(question: Question, selector: Selector) -> list[Finding]:
    """Return the jobs that failed lately on these nodes, the newest of each state."""
    now_s = question.now()
    found: list[Finding] = []
    for state in FAILED:
        newest = await question.backend.commands.jobs(selector, state=state, since=now_s - LATELY_S, limit=JOBS)
        found += [jobs.finding(job) for job in newest]
    return found


async def _services(question: Question, node: Node) -> Sequence[Finding]:
    """Return the services that are not well on the node."""
    bad = [info for info in await question.backend.services.list() if set(info.states) - {ServiceState.RUNNING}]
    found: list[Finding] = []
    for info in bad[:SERVICES]:
        shown = await question.backend.services.show(info.service.name)
        on_node = (on for on in shown.nodes if NodeKey(on.gid, on.nid) == node.key)
        found += [services.finding(on, node) for on in on_node if on.status.state in services.BAD]
    return found


async def _modules(question: Question, node: Node) -> Sequence[Finding]:
    """Return the modules that are not well on the node."""
    instances = await question.backend.modules.instances()
    found = [modules.finding(each, node) for each in instances if each.key == node.key]
    return [each for each in found if each.state == "FAILED"]
