"""A summary of what is not well in the fleet: one finding for each object, whose name `why` accepts."""

from __future__ import annotations

from collections import Counter

from quarterdeck.api.mcp.bounds import beginning
from quarterdeck.api.mcp.why import losses, modules, nodes, services
from quarterdeck.api.mcp.why.findings import FINDINGS, Finding, Gathered, Question
from quarterdeck.model.modules import InstanceState
from quarterdeck.model.nodes import AgentState, Selector


async def gather(question: Question) -> Gathered:
    """Return everything that is not well."""
    every = await question.backend.nodes.list()
    offline = [nodes.finding(node) for node in every if node.state is not AgentState.ONLINE or node.held_revision]
    lost, problems = await losses.gather(question)
    parts = [
        await _server(question),
        [_short(each) for each in offline],
        await _services(question),
        await _modules(question),
        [_short(each) for each in await nodes.failed_jobs(question, Selector())],
        lost,
    ]
    found = [each for part in parts for each in part[:FINDINGS]]
    online = sum(node.state is AgentState.ONLINE for node in every)
    counts = Counter(each.kind for part in parts for each in part)
    words = ", ".join(f"{count} of kind {kind}" for kind, count in counts.items()) or "nothing"
    return Gathered(
        well=not found,
        summary=f"{online} of {len(every)} nodes are ONLINE. Not well: {words}.",
        findings=found,
        problems=problems,
        left_out=sum(len(part[FINDINGS:]) for part in parts),
    )


async def _server(question: Question) -> list[Finding]:
    info = await question.backend.about.info()
    return [
        Finding(kind="server", name="server", well=False, state="damaged", reason=beginning(problem))
        for problem in info.problems
    ]


async def _services(question: Question) -> list[Finding]:
    found: list[Finding] = []
    for info in await question.backend.services.list():
        if services.BAD & info.states.keys():
            states = ", ".join(f"{count} {state}" for state, count in sorted(info.states.items()))
            found.append(
                Finding(kind="service", name=info.service.name, well=False, state=states, reason=beginning(info.reason))
            )
    return found


async def _modules(question: Question) -> list[Finding]:
    """Return a finding for each module with failed instances, with the reason of the first."""
    failed: dict[str, list[Finding]] = {}
    known = {node.key: node for node in await question.backend.nodes.list()}
    for instance in await question.backend.modules.instances():
        if instance.status.state is InstanceState.FAILED and instance.key in known:
            one = modules.finding(instance, known[instance.key])
            failed.setdefault(one.name, []).append(one)
    return [
        Finding(
            kind="module",
            name=name,
            well=False,
            state=f"{len(each)} FAILED",
            node=each[0].node,
            reason=each[0].reason,
            since=each[0].since,
        )
        for name, each in failed.items()
    ]


def _short(finding: Finding) -> Finding:
    """Return the finding without its details, for which one asks by its name."""
    return Finding(
        kind=finding.kind,
        name=finding.name,
        well=finding.well,
        state=finding.state,
        node=finding.node,
        reason=finding.reason,
        since=finding.since,
    )
