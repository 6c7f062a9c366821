"""The tool that runs a command on nodes and returns its output."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from msgspec import Meta, field

from quarterdeck.api.mcp.backend import Backend
from quarterdeck.api.mcp.bounds import ANSWER_BYTES, end, fitting
from quarterdeck.api.mcp.messages import in_text
from quarterdeck.api.mcp.nodes import Chosen
from quarterdeck.api.mcp.tool import Tool
from quarterdeck.model.errors import BadInput
from quarterdeck.model.jobs import CommandWithJobs, CreateCommand, Job, JobState, is_final
from quarterdeck.model.messages import MessageFilter
from quarterdeck.model.nodes import Selector
from quarterdeck.model.struct import Struct
from quarterdeck.model.tokens import ApiToken, Role
from quarterdeck.server.jobs.commands import WAIT_LIMIT_S

#: characters of the output of one node, however many there are
NODE_CHARS = 400
_LINES = 200  # of jobs that still run
_ACTION = "createCommand"


class RunCommand(Struct, frozen=True, kw_only=True):
    """The arguments of run_command: a program or a script, and where it runs."""

    command: Annotated[
        tuple[str, ...],
        Meta(description='The program and its arguments, without a shell: ["systemctl", "status", "nginx"].'),
    ] = ()
    script: Annotated[str, Meta(description="A shell script (sh), instead of `command`.")] = ""
    selector: Chosen = field(default_factory=Selector)
    all_nodes: Annotated[bool, Meta(description="Must be true to run on every node, with an empty selector.")] = False
    any: Annotated[bool, Meta(description="Run only on one of the nodes that match, one that is online.")] = False
    wait_s: Annotated[
        float, Meta(ge=0, le=WAIT_LIMIT_S, description="Seconds to wait for the results; the command goes on after.")
    ] = 30.0
    max_time_s: Annotated[
        float, Meta(ge=0, description="Seconds after which the program is ended; 0 is without a limit.")
    ] = 300.0
    user: Annotated[str, Meta(description="A user of the node; default: the agent's own, often root.")] = ""
    workingdir: Annotated[str, Meta(description="The working directory on the node.")] = ""
    env: Annotated[dict[str, str], Meta(description="Environment variables.")] = {}


class RanOnNode(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The job on one node. Outputs are ends of what was printed."""

    node: str
    state: str
    reason: str = ""
    code: int | None = None  #: exit code; -n when signal n ended it
    time_ms: int = 0
    stdout: str = ""
    stderr: str = ""
    so_far: str = ""  #: lines of a job that still runs


class RunAnswer(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The answer of run_command. `id` is the command's: read_logs and `why` take it as a job."""

    id: str
    finished: bool
    states: dict[str, int]
    nodes: tuple[RanOnNode, ...]
    problems: tuple[str, ...] = ()
    hint: str = ""
    cut: str = ""


async def run_command(backend: Backend, asked: RunCommand, token: ApiToken) -> RunAnswer:
    """Issue a command, wait for its results, and return them with the output of each node."""
    if not asked.all_nodes and asked.selector == Selector():
        raise BadInput(
            "The selector is empty, which is every node.", hint="Name nodes, labels or roles, or set all_nodes to true."
        )
    cmd, args = _program(asked)
    request = CreateCommand(cmd=cmd, args=args, selector=asked.selector, any=asked.any)
    made = await backend.commands.create(request, token, action=_ACTION, wait_s=asked.wait_s)
    return await _answer(backend, made)


def _program(asked: RunCommand) -> tuple[str, dict[str, Any]]:
    """Return the name and arguments of the command; raise `BadInput`."""
    if bool(asked.command) == bool(asked.script):
        found = "both" if asked.command else "none"
        raise BadInput(f"Expected either `command` or `script`, found {found}.")
    settings: dict[str, Any] = {
        "max_time": asked.max_time_s,
        "user": asked.user,
        "workingdir": asked.workingdir,
        "env": asked.env,
    }
    given = {name: value for name, value in settings.items() if value}
    if asked.script:
        return "execute_sh", {"script": asked.script, **given}
    return "execute", {"cmd": asked.command[0], "args": list(asked.command[1:]), **given}


async def _answer(backend: Backend, made: CommandWithJobs) -> RunAnswer:
    running = [job for job in made.jobs if not is_final(job.state)]
    printed, problems = await _so_far(backend, made.id) if running else ({}, ())
    share = max(NODE_CHARS, ANSWER_BYTES // max(1, 4 * len(made.jobs)))
    jobs = sorted(made.jobs, key=lambda job: (job.state is JobState.OK, job.node_name))
    ran = [_ran(job, printed.get(job.node_name, ()), share) for job in jobs]
    shown = fitting(ran)
    left_out = len(ran) - len(shown)
    return RunAnswer(
        id=made.id,
        finished=not running,
        states={str(state): count for state, count in made.states.items()},
        nodes=tuple(shown),
        problems=problems,
        hint=f"It goes on. Ask again with `why` (kind job, name {made.id}) or read_logs." if running else "",
        cut=f"{left_out} nodes were left out for size, those that are OK last." if left_out else "",
    )


async def _so_far(backend: Backend, command_id: str) -> tuple[dict[str, list[str]], tuple[str, ...]]:
    """Return the last lines of the jobs that still run, by node, and why some may be missing."""
    wanted = MessageFilter(job_id=command_id, newest_first=True, limit=_LINES)
    found = await backend.messages.select(Selector(), wanted)
    lines: dict[str, list[str]] = {}
    for message in reversed(found.messages):
        lines.setdefault(message.node, []).append(in_text(message))
    return lines, found.problems


def _ran(job: Job, printed: Sequence[str], share: int) -> RanOnNode:
    """Return a job with `share` characters of each of its streams."""
    result = job.result
    if result is None:
        return RanOnNode(
            node=job.node_name, state=job.state, reason=end(job.reason, share), so_far=end("\n".join(printed), share)
        )
    stdout, stderr = result.streams
    return RanOnNode(
        node=job.node_name,
        state=job.state,
        reason=end(result.reason or job.reason, share),
        code=result.code,
        time_ms=result.time,
        stdout=end(stdout or result.data, share),
        stderr=end(stderr, share),
    )


TOOLS = (
    Tool(
        name="run_command",
        title="Run a command on nodes",
        description=(
            "Run a program or a shell script on the nodes that a selector matches, wait for it, and return the exit"
            " code and the end of the output of each node. This changes hosts: it runs as the agent's user, often"
            " root, and is written to the audit log. Name as few nodes as the question needs, and prefer commands"
            " that only read. When it takes longer than wait_s it goes on; ask later with `why` or read_logs and the"
            " `id` of the answer."
        ),
        arguments=RunCommand,
        answer=RunAnswer,
        call=run_command,
        role=Role.OPERATOR,
        action=_ACTION,
    ),
)
