"""`qd job`: ask nodes to do something, see what became of it on each, end it, ask again.

A command is what was asked; a job is its run on one node. Results are printed by `cli/results.py`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

import msgspec
from cyclopts import App, Parameter

from quarterdeck.cli import output, results, schedule
from quarterdeck.cli.arguments import Json, On, OnGrid, OnNode, connect, selector
from quarterdeck.cli.command import Any_, Arg, Cmd, Data, Expires, asked
from quarterdeck.model.jobs import CommandWithJobs, Job, JobState

app = App(name="job", help="Run commands on nodes, once, and see what became of them.")
app.command(schedule.app)

CommandId = Annotated[str, Parameter(help="The command's id; see `qd job ls`.")]


@app.command
def start(
    cmd: Cmd,
    /,
    *,
    arg: Arg = (),
    data: Data = "",
    id: Annotated[str, Parameter(help="An id of your own; one that was used before is refused.")] = "",
    on: On = (),
    node: OnNode = (),
    gid: OnGrid = None,
    any: Any_ = False,
    expires: Expires = None,
    detach: Annotated[bool, Parameter(help="Return as soon as the server has it.")] = False,
    json: Json = False,
) -> None:
    """Run a command on the nodes that match (all, when none are named), and print each result as it comes.

    The exit code is 0 only if it is OK on every node. Ctrl-C stops following; the jobs go on.
    """
    request = asked(cmd, arg=arg, data=data, id=id, selector=selector(on, node, gid), any=any, expires=expires)
    with connect() as client:
        made = client.create_command(request)
        if not detach:
            results.follow(client, made, json=json)
            return
    _print_accepted(made, json=json)


@app.command(name="ls")
def ls(
    *,
    node: Annotated[str | None, Parameter(help="List the jobs of this node: name, nid or gid/nid.")] = None,
    state: Annotated[JobState | None, Parameter(help="List the jobs in this state.")] = None,
    limit: Annotated[int, Parameter(help="How many, from the newest.")] = 20,
    json: Json = False,
) -> None:
    """List what was asked of nodes, newest first; with --node or --state the single jobs."""
    with connect() as client:
        if node is not None or state is not None:
            _print_jobs(client.list_jobs(node=node, state=state, limit=limit), json=json)
            return
        commands = client.list_commands(limit=limit)
    output.show(
        commands,
        {
            "id": lambda c: c.id,
            "command": lambda c: c.cmd,
            "jobs": lambda c: results.counts(c.states),
            "asked by": lambda c: c.actor,
            "age": lambda c: output.age(c.create_time),
        },
        json=json,
        empty="Nothing was asked yet. Try `qd job start ping`.",
    )


@app.command
def show(
    command: CommandId,
    /,
    *,
    follow: Annotated[bool, Parameter(help="Print results as they come, until every node has one.")] = False,
    json: Json = False,
) -> None:
    """Show a command and what became of it on every node."""
    with connect() as client:
        found = client.show_command(command)
        if follow:
            results.follow(client, found, json=json)
            return
    if json:
        output.print_json(found)
        return
    output.details(
        [
            ("command", found.cmd),
            ("id", found.id),
            ("arguments", msgspec.json.encode(found.args).decode() if found.args else ""),
            ("asked by", found.actor),
            ("asked", f"{output.age(found.create_time)} ago"),
            ("expires", results.moment(found.expires_at)),
            ("jobs", results.counts(found.states)),
        ]
    )
    for job in found.jobs:
        results.print_job(job)


@app.command
def kill(
    command: CommandId,
    /,
    *,
    node: Annotated[tuple[str, ...], Parameter(help="Only on this node: name, nid or gid/nid. Repeatable.")] = (),
    json: Json = False,
) -> None:
    """End a command's jobs that have no result yet. A node that is away ends its job when it is back."""
    with connect() as client:
        found = client.kill_command(command, node)
    if json:
        output.print_json(found)
        return
    _print_jobs(found.jobs, json=False)


@app.command
def rerun(
    command: CommandId,
    /,
    *,
    detach: Annotated[bool, Parameter(help="Return as soon as the server has it.")] = False,
    json: Json = False,
) -> None:
    """Ask the same again, under a new id, of the nodes that were asked then."""
    with connect() as client:
        made = client.rerun_command(command)
        if not detach:
            results.follow(client, made, json=json)
            return
    _print_accepted(made, json=json)


def _print_accepted(made: CommandWithJobs, *, json: bool) -> None:
    if json:
        output.print_json(made)
        return
    output.console.print(f"{made.id}: {made.cmd} on {results.nodes(len(made.jobs))}")
    output.errors.print(f"Follow it with `qd job show {made.id} --follow`.", soft_wrap=True)


def _print_jobs(jobs: Iterable[Job], *, json: bool) -> None:
    output.show(
        list(jobs),
        {
            "id": lambda j: j.id,
            "command": lambda j: j.cmd,
            "node": lambda j: j.node_name,
            "state": lambda j: j.state,
            "age": lambda j: output.age(j.create_time),
            "reason": lambda j: j.reason,
        },
        json=json,
        empty="No such jobs.",
    )
