"""The tool `why`: what is not well, and why. One file for each kind of thing gathers what the server knows about it.

`findings` has what they share: the struct of a finding, last log lines, and what the state of an offline node means.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from quarterdeck.api.mcp.backend import Backend
from quarterdeck.api.mcp.bounds import fitting
from quarterdeck.api.mcp.tool import Tool
from quarterdeck.api.mcp.why import fleet, jobs, modules, nodes, services
from quarterdeck.api.mcp.why.findings import LINES_LIMIT, Gathered, Question, Why
from quarterdeck.model.errors import BadInput
from quarterdeck.model.struct import Struct
from quarterdeck.model.tokens import ApiToken

Kind = Literal["fleet", "node", "service", "module", "job"]


class AskWhy(Struct, frozen=True, kw_only=True):
    """The arguments of why."""

    kind: Annotated[Kind, Meta(description="What it is; `fleet` is everything, and has no name.")] = "fleet"
    name: Annotated[str, Meta(description="The name of the node, service or module, or the id of a job.")] = ""
    node: Annotated[str, Meta(description="Only on this node: its name or gid/nid.")] = ""
    lines: Annotated[int, Meta(ge=0, le=LINES_LIMIT, description="Last log lines of each thing that is not well.")] = 20


_GATHER = {"node": nodes.gather, "service": services.gather, "module": modules.gather, "job": jobs.gather}


async def why(backend: Backend, asked: AskWhy, token: ApiToken) -> Why:
    """Return what is not well of one thing, or of the whole fleet, with reasons."""
    if (asked.kind == "fleet") == bool(asked.name):
        raise BadInput(f"Expected {'no name' if asked.name else 'a name'} for the kind {asked.kind}.")
    question = Question(backend=backend, name=asked.name, node=asked.node, lines=asked.lines, token=token)
    if asked.kind == "fleet":
        if asked.node:
            raise BadInput("Expected no node for the kind fleet.", hint=f"Use kind node, name {asked.node[:100]}.")
        return _answer(await fleet.gather(question))
    return _answer(await _GATHER[asked.kind](question))


def _answer(gathered: Gathered) -> Why:
    """Return the answer, with the findings that fit."""
    shown = fitting(gathered.findings)
    left_out = len(gathered.findings) - len(shown) + gathered.left_out
    return Why(
        well=gathered.well,
        summary=gathered.summary,
        findings=tuple(shown),
        problems=tuple(dict.fromkeys(gathered.problems)),
        cut=f"{left_out} more were left out. Ask about one node, or for fewer lines." if left_out else "",
    )


TOOLS = (
    Tool(
        name="why",
        title="Why is it not well?",
        description=(
            "Explain why something is not well. Without arguments: everything in the fleet that is not well (offline"
            " nodes, services that fail, failed modules, jobs that failed in the last day, rows lost in the last hour)."
            " With kind and name: state, reason, health, restarts, exit codes, verifier log and last log lines of a"
            " service, module, node or job (a job's name is the id of its command), on each node where it is not well."
        ),
        arguments=AskWhy,
        answer=Why,
        call=why,
    ),
)
