"""Why a job is not well: its state, reason, exit code and the end of its output on each node."""

from __future__ import annotations

from typing import Any

from quarterdeck.api.mcp.bounds import TEXT_CHARS, end
from quarterdeck.api.mcp.why.findings import (
    FINDINGS,
    Finding,
    Gathered,
    Question,
    reasons,
    since,
    status_of,
    with_lines,
)
from quarterdeck.model.errors import NoSuchNodes
from quarterdeck.model.jobs import Job, JobState, is_final
from quarterdeck.model.nodes import names_of

#: fields of a result that the finding has elsewhere
_ELSEWHERE = frozenset({"id", "cmd", "state", "reason", "critical", "streams"})


async def gather(question: Question) -> Gathered:
    """Return the job of a command on each node, or on one; raise `NotFound` or `NoSuchNodes`."""
    command = await question.backend.commands.show(question.name)
    jobs = [job for job in command.jobs if not question.node or question.node in names_of(job.key, job.node_name)]
    if not jobs:
        raise NoSuchNodes(f"The command '{command.id}' has no job on '{question.node[:100]}'.")
    shown = sorted(((finding(job), job.key) for job in jobs), key=lambda each: (each[0].well, each[0].node))
    found, problems = await with_lines(question, shown[:FINDINGS], job=command.id)
    unwell = sum(not each.well for each, _ in shown)
    counts = ", ".join(f"{count} {state}" for state, count in sorted(command.states.items()))
    return Gathered(
        well=not unwell,
        summary=f"The command '{command.id}' ({command.cmd}) by {command.actor}: {counts}.",
        findings=found,
        problems=problems,
        left_out=len(shown) - len(found),
    )


def finding(job: Job) -> Finding:
    """Return a job. One that has no result yet is well, unless there is a reason why it waits."""
    result = job.result
    status: dict[str, Any] = {}
    why = job.reason
    if result is not None:
        status = {name: value for name, value in status_of(result).items() if name not in _ELSEWHERE}
        status |= {name: end(text, TEXT_CHARS) for name, text in zip(("stdout", "stderr"), result.streams, strict=True)}
        ended = f"It ended with exit code {result.code}." if result.code else ""
        why = reasons(result.reason or job.reason, ended, result.critical)
    return Finding(
        kind="job",
        name=job.id,
        well=job.state is JobState.OK or (not is_final(job.state) and not why),
        state=job.state,
        node=job.node_name,
        reason=why,
        since=since(job.last_update_time),
        status=status,
    )
