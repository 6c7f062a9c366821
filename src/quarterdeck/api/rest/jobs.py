"""Routes of commands and their jobs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, Any

from litestar import Request, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, HeaderParameter, JSONBody, QueryParameter
from litestar.response import ServerSentEvent, ServerSentEventMessage

from quarterdeck.api.access import describe, leave_out, operation
from quarterdeck.api.events import kept_alive, one_line
from quarterdeck.api.rest.selectors import CHOSEN
from quarterdeck.model.jobs import Command, CommandWithJobs, CreateCommand, Job, JobState, KillCommand
from quarterdeck.model.nodes import Selector
from quarterdeck.model.tokens import Role
from quarterdeck.server.jobs.commands import Change, Commands
from quarterdeck.server.jobs.output import Output, OutputEvent

Since = Annotated[float | None, QueryParameter(name="since", description="seconds since the epoch, included")]
Asked = Request[Any, Any, Any]


@post("/commands", operation_id="createCommand", role=Role.OPERATOR, audit=True)
async def create_command(
    server_commands: NamedDependency[Commands],
    request: Asked,
    data: JSONBody[CreateCommand],
    wait_s: FromQuery[float] = 0.0,
) -> CommandWithJobs:
    """Issue a command to nodes, each of which runs it once. It is on disk before the answer.

    Nodes that are offline receive it when they connect. With `wait_s` (at most 60) the answer is sent when every job
    has its result, or after that time.

    An `id` is 1 to 128 printable characters without '/'. The command takes at most 256 KiB with its arguments and data.
    """
    describe(request.scope, target=data.id, detail=data.cmd)
    made = await server_commands.create(data, request.user, action=operation(request.scope), wait_s=wait_s)
    leave_out(request.scope)  # its entry is stored together with the command
    return made


@get("/commands", operation_id="listCommands", role=Role.VIEWER)
async def list_commands(
    server_commands: NamedDependency[Commands],
    since: Since = None,
    text: FromQuery[str] = "",
    limit: FromQuery[int] = 100,
) -> list[Command]:
    """List commands, the newest first.

    With `text`, list those of the newest 1,000 in which each word of it is found: in the name or the arguments of the
    command or in the name of a node, or at the beginning of the id.
    """
    return await server_commands.list(since=since, text=text, limit=limit)


@get("/commands/{command:str}", operation_id="showCommand", role=Role.VIEWER)
async def show_command(server_commands: NamedDependency[Commands], command: FromPath[str]) -> CommandWithJobs:
    """Show a command with its job on each node."""
    return await server_commands.show(command)


@get("/commands/{command:str}/events", operation_id="followCommand", role=Role.VIEWER)
async def follow_command(
    server_commands: NamedDependency[Commands],
    command: FromPath[str],
    last_event: Annotated[str, HeaderParameter(name="Last-Event-ID")] = "",
) -> ServerSentEvent:
    """Stream every job in its current state, then each change, as server-sent events `job`, and `end` after the last.

    `Last-Event-ID` resumes after the event with that id.
    """
    changes = await server_commands.follow(command, last_event)
    return ServerSentEvent(kept_alive(_events(changes)))


async def _events(changes: AsyncIterator[Change]) -> AsyncIterator[ServerSentEventMessage]:
    async for job, number in changes:
        yield ServerSentEventMessage(event="job", id=str(number), data=one_line(job))
    yield ServerSentEventMessage(event="end", data="{}")


@get("/commands/{command:str}/output", operation_id="followOutput", role=Role.VIEWER)
async def follow_output(
    server_output: NamedDependency[Output],
    request: Asked,
    command: FromPath[str],
    *,
    follow: FromQuery[bool] = True,
    paced: FromQuery[bool] = True,
    last_event: Annotated[str, HeaderParameter(name="Last-Event-ID")] = "",
) -> ServerSentEvent:
    """Stream a command with its output, as server-sent events: `messages` of one node, `job`, and `end`.

    A `job` with its result follows all of its output. Without `follow`, the stream ends after the current output.
    `Last-Event-ID` resumes after the event with that id; events without an id are sent in one piece with the next
    event that has one.

    The programs are slowed down to the speed of a follower who is an operator, unless `paced` is false. They never wait
    for viewers.
    """
    paced = paced and request.user.role.covers(Role.OPERATOR)
    told = await (server_output.follow(command, last_event, paced=paced) if follow else server_output.read(command))
    return ServerSentEvent(kept_alive(_output(told)))


async def _output(told: AsyncIterator[OutputEvent]) -> AsyncIterator[ServerSentEventMessage]:
    async for event, token in told:
        kind = "job" if isinstance(event, Job) else "messages"
        yield ServerSentEventMessage(event=kind, id=token or None, data=one_line(event))
    yield ServerSentEventMessage(event="end", data="{}")


@post("/commands/{command:str}/kill", operation_id="killCommand", status_code=200, role=Role.OPERATOR, audit=True)
async def kill_command(
    server_commands: NamedDependency[Commands], request: Asked, command: FromPath[str], data: JSONBody[KillCommand]
) -> CommandWithJobs:
    """Kill the jobs that have no result yet, on the named nodes or on all."""
    describe(request.scope, target=command, detail=f"on {', '.join(data.nodes) or 'all its nodes'}")
    return await server_commands.kill(command, data.nodes, request.user)


@post("/commands/{command:str}/rerun", operation_id="rerunCommand", role=Role.OPERATOR, audit=True)
async def rerun_command(
    server_commands: NamedDependency[Commands], request: Asked, command: FromPath[str]
) -> CommandWithJobs:
    """Issue the command again, as a new one, on those nodes of the old one's jobs that still exist."""
    made = await server_commands.rerun(command, request.user)
    describe(request.scope, target=command, detail=f"as {made.id}: {_asked(made)}")
    return made


@get("/jobs", operation_id="listJobs", role=Role.VIEWER, dependencies=CHOSEN)
async def list_jobs(
    server_commands: NamedDependency[Commands],
    *,
    chosen: NamedDependency[Selector],
    in_state: Annotated[JobState | None, QueryParameter(name="state")] = None,
    since: Since = None,
    limit: FromQuery[int] = 100,
) -> list[Job]:
    """List jobs, the newest first: on some nodes, in one state, since a moment, or all."""
    return await server_commands.jobs(chosen, state=in_state, since=since, limit=limit)


def _asked(made: CommandWithJobs) -> str:
    return f"{made.cmd} on {', '.join(job.node_name for job in made.jobs)}"


ROUTES = (
    create_command,
    list_commands,
    show_command,
    follow_command,
    follow_output,
    kill_command,
    rerun_command,
    list_jobs,
)
