"""Commands and their jobs over HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, Any

from litestar import Request, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, HeaderParameter, JSONBody, QueryParameter
from litestar.response import ServerSentEvent, ServerSentEventMessage

from quarterdeck.api.access import describe, leave_out, operation
from quarterdeck.api.events import kept_alive, one_line
from quarterdeck.model.jobs import Command, CommandWithJobs, CreateCommand, Job, JobState, KillCommand
from quarterdeck.model.tokens import Role
from quarterdeck.server.jobs.commands import Change
from quarterdeck.server.jobs.output import Told
from quarterdeck.server.server import Server

Asked = Request[Any, Any, Any]


@post("/commands", operation_id="createCommand", role=Role.OPERATOR, audit=True)
async def create_command(
    server: NamedDependency[Server], request: Asked, data: JSONBody[CreateCommand], wait_s: FromQuery[float] = 0.0
) -> CommandWithJobs:
    """Asks nodes to do something, once. On disk before the answer; nodes that are away get it when they are back.

    With `wait_s` (at most 60) the answer comes when every job has its result, or when that time is over.

    An `id` is 1 to 128 printable characters without '/'. The command takes at most 256 KiB with its arguments and data.
    """
    describe(request.scope, target=data.id, detail=data.cmd)
    made = await server.commands.create(data, request.user, action=operation(request.scope), wait_s=wait_s)
    leave_out(request.scope)  # it has its entry, stored with it
    return made


@get("/commands", operation_id="listCommands", role=Role.VIEWER)
async def list_commands(server: NamedDependency[Server], limit: FromQuery[int] = 100) -> list[Command]:
    """What was asked of nodes, newest first."""
    return await server.commands.list(limit=limit)


@get("/commands/{command:str}", operation_id="showCommand", role=Role.VIEWER)
async def show_command(server: NamedDependency[Server], command: FromPath[str]) -> CommandWithJobs:
    """One command with what became of it on every node."""
    return await server.commands.show(command)


@get("/commands/{command:str}/events", operation_id="followCommand", role=Role.VIEWER)
async def follow_command(
    server: NamedDependency[Server],
    command: FromPath[str],
    last_event: Annotated[str, HeaderParameter(name="Last-Event-ID")] = "",
) -> ServerSentEvent:
    """Every job as it is now, then each change, as server-sent events `job`; `end` when all have their result.

    `Last-Event-ID` resumes after an event's own id.
    """
    changes = await server.commands.follow(command, last_event)
    return ServerSentEvent(kept_alive(_events(changes)))


async def _events(changes: AsyncIterator[Change]) -> AsyncIterator[ServerSentEventMessage]:
    async for job, number in changes:
        yield ServerSentEventMessage(event="job", id=str(number), data=one_line(job))
    yield ServerSentEventMessage(event="end", data="{}")


@get("/commands/{command:str}/output", operation_id="followOutput", role=Role.VIEWER)
async def follow_output(
    server: NamedDependency[Server],
    command: FromPath[str],
    follow: FromQuery[bool] = True,
    last_event: Annotated[str, HeaderParameter(name="Last-Event-ID")] = "",
) -> ServerSentEvent:
    """A command with what it prints, as server-sent events: `messages` of one node, `job`, and `end`.

    A `job` with its result comes behind all that it printed. Without `follow`: what there is now. `Last-Event-ID`
    resumes after an event's own id; events without one come in one piece with the next that has one.
    """
    output = server.output
    told = await (output.follow(command, last_event) if follow else output.read(command))
    return ServerSentEvent(kept_alive(_output(told)))


async def _output(told: AsyncIterator[Told]) -> AsyncIterator[ServerSentEventMessage]:
    async for event, token in told:
        kind = "job" if isinstance(event, Job) else "messages"
        yield ServerSentEventMessage(event=kind, id=token or None, data=one_line(event))
    yield ServerSentEventMessage(event="end", data="{}")


@post("/commands/{command:str}/kill", operation_id="killCommand", status_code=200, role=Role.OPERATOR, audit=True)
async def kill_command(
    server: NamedDependency[Server], request: Asked, command: FromPath[str], data: JSONBody[KillCommand]
) -> CommandWithJobs:
    """Ends the jobs that have no result yet, on the nodes that are named or on all."""
    describe(request.scope, target=command, detail=f"on {', '.join(data.nodes) or 'all its nodes'}")
    return await server.commands.kill(command, data.nodes, request.user)


@post("/commands/{command:str}/rerun", operation_id="rerunCommand", role=Role.OPERATOR, audit=True)
async def rerun_command(server: NamedDependency[Server], request: Asked, command: FromPath[str]) -> CommandWithJobs:
    """A new command: the same, on the nodes of the old one's jobs."""
    made = await server.commands.rerun(command, request.user)
    describe(request.scope, target=command, detail=f"as {made.id}: {_asked(made)}")
    return made


@get("/jobs", operation_id="listJobs", role=Role.VIEWER)
async def list_jobs(
    server: NamedDependency[Server],
    node: FromQuery[str | None] = None,
    in_state: Annotated[JobState | None, QueryParameter(name="state")] = None,
    limit: FromQuery[int] = 100,
) -> list[Job]:
    """Jobs, the newest first, of one node or in one state or all."""
    return await server.commands.jobs(node=node, state=in_state, limit=limit)


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
