"""`qd job`: ask nodes to do something, see what became of it on each, end it, ask again.

A command is what was asked; a job is its run on one node. Results are printed by `cli/results.py`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

import msgspec
from cyclopts import App, Parameter
from rich.markup import escape

from quarterdeck.cli import output, results, schedule
from quarterdeck.cli.arguments import Json, connect
from quarterdeck.cli.command import Arg, Cmd, Data, Detach, Id, Prefix, Where, asked
from quarterdeck.cli.lines import NodeLines
from quarterdeck.cli.results import View
from quarterdeck.model.errors import NoSuchNodes
from quarterdeck.model.jobs import Job, JobState, in_one_line
from quarterdeck.model.messages import Levels
from quarterdeck.model.nodes import Selector

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
    id: Id = "",
    where: Where = Where(),
    detach: Detach = False,
    json: Json = False,
) -> None:
    """Run a command on nodes, and print what comes of it: qd job start get_os_info --on role=web

    This is for built-in commands and extensions; to run a program there is `qd run`.

    The exit code is 0 only if it is OK on every node (docs/guide/running.md). Ctrl-C stops following; the jobs go on.
    """
    request = asked(cmd, arg=arg, data=data, id=id, any=where.any, expires=where.expires)
    with connect() as client:
        made = client.create_command(msgspec.structs.replace(request, selector=where.chosen(client)))
        if not detach:
            results.follow(client, made, View(json=json))
            return
    results.print_accepted(made, json=json)


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
            "arguments": lambda c: output.shortened(in_one_line(c.args)),
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
    follow: Annotated[bool, Parameter(help="Print output and results as they come, until every node has one.")] = False,
    json: Json = False,
) -> None:
    """Show a command and what became of it on every node."""
    with connect() as client:
        found = client.show_command(command)
        if follow:
            results.follow(client, found, View(json=json))
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
            ("expires", output.moment(found.expires_at)),
            ("jobs", results.counts(found.states)),
        ]
    )
    for job in found.jobs:
        results.print_job(job)


@app.command
def logs(
    command: CommandId,
    /,
    *,
    node: Annotated[tuple[str, ...], Parameter(help="Only of this node: name, nid or gid/nid. Repeatable.")] = (),
    level: Annotated[str, Parameter(help="Only these levels, as in 1,2 or 3-9.")] = "*",
    follow: Annotated[bool, Parameter(help="Go on until every node has its result.")] = False,
    prefix: Prefix = None,
    json: Json = False,
) -> None:
    """Print what a command's processes printed, from the nodes that ran them; with --json a line for each message."""
    levels = Levels.parse(level)
    with connect() as client:
        jobs = client.show_command(command).jobs
        chosen = {job.key: job.node_name for job in jobs if _named(job, node)}
        if not chosen:
            raise NoSuchNodes(f"The command '{command}' has no job on {', '.join(node)}.", hint="See `qd job show`.")
        lines = NodeLines(chosen.values(), prefix=len(chosen) > 1 if prefix is None else prefix)
        nothing = True
        for event in client.follow_output(command, follow=follow):
            if isinstance(event, Job) or (event.gid, event.nid) not in chosen:
                continue
            found = [message for message in event.messages if message.level in levels]
            nothing = nothing and not found
            if json:
                output.print_lines({"node": event.node_name, **msgspec.structs.asdict(each)} for each in found)
            else:
                lines.print(event.node_name, found, results=True)
            for problem in event.problems:
                output.errors.print(f"[dim]{escape(event.node_name)}[/] {escape(problem)}", soft_wrap=True)
    lines.finish()
    if nothing and not json:
        output.errors.print("Nothing was printed.")


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
    detach: Detach = False,
    json: Json = False,
) -> None:
    """Ask the same again, under a new id, of the nodes that were asked then."""
    with connect() as client:
        made = client.rerun_command(command)
        if not detach:
            results.follow(client, made, View(json=json))
            return
    results.print_accepted(made, json=json)


def _named(job: Job, names: Iterable[str]) -> bool:
    """Whether the job is on one of these nodes; by none, all."""
    selector = Selector(nodes=tuple(names))
    return selector.matches(job.key, name=job.node_name, labels={})


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
