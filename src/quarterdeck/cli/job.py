"""`qd job`: commands on nodes: request them, see their results, end them, repeat them.

A command is a request; a job is its run on one node. `cli/results.py` prints results.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Annotated

import msgspec
from cyclopts import App, Parameter
from rich.markup import escape

from quarterdeck.cli import completers, many, output, results, schedule
from quarterdeck.cli.arguments import LevelsGiven, Limit, Since, connect, levels, moment
from quarterdeck.cli.cells import Age, Long, Moment
from quarterdeck.cli.command import Arg, Cmd, Data, Detach, Id, Prefix, asked
from quarterdeck.cli.formats import ListOptions, OutputOptions, StreamOptions
from quarterdeck.cli.job_list import JOBS, print_commands
from quarterdeck.cli.lines import NodeLines
from quarterdeck.cli.listing import Column, Listing, print_details
from quarterdeck.cli.results import View
from quarterdeck.cli.selection import Nodes, Where, in_words
from quarterdeck.cli.terminal import plain
from quarterdeck.cli.waiting import Awaited, Outlook, Wait, wait_for
from quarterdeck.client import Client
from quarterdeck.model.errors import BadInput
from quarterdeck.model.jobs import Command, CommandWithJobs, Job, JobState, in_one_line, is_final
from quarterdeck.model.messages import Levels
from quarterdeck.model.nodes import NodeKey
from quarterdeck.model.scripts import SCRIPT_COMMANDS
from quarterdeck.model.selection import no_job, pick, quoted

app = App(name="job", help="Run commands on nodes, once, and see what became of them.")
app.command(schedule.app)

CommandId = Annotated[str, Parameter(help="The command's id; see `qd job ls`.", completer=completers.commands)]
CommandIds = Annotated[str, Parameter(help="The ids of commands; see `qd job ls`.", completer=completers.commands)]
Follow = Annotated[
    bool,
    Parameter(name=["--follow", "-f"], help="Print output and results as they come, until every node has its result."),
]


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
    how: OutputOptions = OutputOptions(),
) -> None:
    """Run a command on nodes, and print what comes of it: qd job start get_os_info --on role=web

    This is for built-in commands and extensions; to run a program there is `qd run`.

    The exit code is 0 only if it is OK on every node. Ctrl-C stops following; the jobs go on.
    """
    with connect() as client:
        request = asked(cmd, arg=arg, data=data, id=id, where=where, selector=where.chosen(client))
        made = client.commands.create(request)
        if not detach:
            results.follow(client, made, View(how=how))
            return
    results.print_accepted(made, how)


COMMANDS = Listing[Command](
    columns=(
        Column("id", lambda c: c.id),
        Column("command", lambda c: c.cmd),
        Column("arguments", lambda c: Long(in_one_line(c.args)), rank=3),
        Column("on", lambda c: in_words(c.selector), wide=True),
        Column("jobs", lambda c: results.counts(c.states)),
        Column("asked by", lambda c: c.actor, rank=2),
        Column("age", lambda c: Age(c.create_time), rank=1),
        Column("asked at", lambda c: Moment(c.create_time), wide=True),
    ),
    name=lambda c: c.id,
    empty="Nothing was asked yet. Try `qd job start ping`.",
)


@app.command(name="ls")
def ls(
    *,
    nodes: Nodes = Nodes(),
    state: Annotated[JobState | None, Parameter(help="List the jobs in this state.")] = None,
    text: Annotated[
        str, Parameter(help="Only commands with each of these words: in name, arguments, node, or as the id's begin.")
    ] = "",
    since: Since = None,
    limit: Limit = 20,
    how: ListOptions = ListOptions(),
) -> None:
    """List what was asked of nodes, newest first; with --state or a choice of nodes the single jobs."""
    after = None if since is None else moment(since, utc=how.utc)
    if text and (nodes.named or state is not None):
        raise BadInput("--text lists commands, --state and a choice of nodes single jobs.", hint="Give one of the two.")
    with connect() as client:
        if nodes.named or state is not None:
            JOBS.print(lambda: client.jobs.list(nodes.selector, state=state, since=after, limit=limit), how)
        else:
            COMMANDS.print(lambda: client.commands.list(since=after, text=text, limit=limit), how)


@app.command
def show(command: CommandId, /, *, follow: Follow = False, how: OutputOptions = OutputOptions()) -> None:
    """Show a command and what became of it on every node.

    With --follow, a server that does not answer is tried again for 60 s; then `qd` ends with the exit code 69, and the
    jobs go on.
    """
    with connect() as client:
        found = client.commands.get(command)
        if follow:
            results.follow(client, found, View(how=how))
            return
    print_details(found, lambda: _details(found), how, name=found.id, more=lambda: _print_results(found))


@app.command
def script(command: CommandId, /) -> None:
    """Print the script that a command runs: qd job script ID > script.py"""
    with connect() as client:
        found = client.commands.get(command)
        sha256 = found.args.get("sha256")
        if found.cmd not in SCRIPT_COMMANDS or not isinstance(sha256, str):
            raise BadInput(f"The command '{found.id}' is {found.cmd}, which runs no script.")
        source = client.scripts.get(sha256).source
    sys.stdout.write(plain(source) if sys.stdout.isatty() else source)


def _details(command: CommandWithJobs) -> Iterator[tuple[str, object]]:
    yield from (
        ("command", command.cmd),
        ("id", command.id),
        ("arguments", msgspec.json.encode(command.args).decode() if command.args else ""),
        ("on", in_words(command.selector)),
        ("asked by", command.actor),
        ("asked", Age(command.create_time, ago=True)),
        ("expires", Moment(command.expires_at)),
        ("jobs", results.counts(command.states)),
    )


def _print_results(command: CommandWithJobs) -> None:
    for job in command.jobs:
        results.print_job(job)


@app.command
def logs(
    command: CommandId,
    /,
    *,
    nodes: Nodes = Nodes(),
    level: LevelsGiven = "*",
    follow: Follow = False,
    prefix: Prefix = None,
    how: StreamOptions = StreamOptions(),
) -> None:
    """Print what a command's processes printed, from the nodes that ran them; with --json a line for each message.

    With --follow, a server that does not answer is tried again for 60 s; then `qd` ends with the exit code 69.
    """
    wanted = Levels.parse(levels(level))
    with connect() as client:
        there = {job.key: job.node_name for job in client.commands.get(command).jobs}
        keys = pick(there, nodes.names(client), missing=lambda names: no_job(command, names, there.values()))
        chosen = {key: name for key, name in there.items() if key in keys}
        lines = NodeLines(chosen.values(), prefix=len(chosen) > 1 if prefix is None else prefix)
        nothing = True
        for event in client.commands.output(command, follow=follow):
            if isinstance(event, Job) or (event.gid, event.nid) not in chosen:
                continue
            found = [message for message in event.messages if message.level in wanted]
            nothing = nothing and not found
            if how.is_json:
                output.print_lines({"node": event.node_name, **msgspec.structs.asdict(each)} for each in found)
            else:
                lines.print(event.node_name, found, results=True)
            for problem in event.problems:
                output.errors.print(f"[dim]{escape(event.node_name)}[/] {escape(problem)}", soft_wrap=True)
    lines.finish()
    if nothing and not how.is_json:
        output.errors.print("Nothing was printed.")


@app.command
def kill(
    *commands: CommandIds, nodes: Nodes = Nodes(), waiting: Wait = Wait(), how: ListOptions = ListOptions()
) -> None:
    """End the jobs of commands that have no result yet. A node that is away ends its job when it is back.

    --watch redraws the jobs until the last of them has ended; --wait waits for the same without a terminal.
    """
    how.check()
    limit_s = waiting.limit_s
    if how.watch and limit_s is not None:
        raise BadInput("--watch and --wait exclude each other.", hint="Give one of them.")
    with connect() as client, many.Attempt(commands) as attempt:
        named = nodes.names(client)
        killed = list(attempt.results(lambda command: client.commands.kill(command, named)))
        if limit_s is None and not how.watch:
            many.print_all(commands, killed, how, lambda found: print_commands(found, how))
            return

        def find() -> list[CommandWithJobs]:
            return [client.commands.get(command.id) for command in killed]

        meant = {(command.id, key) for command in killed for key in _chosen(command, named)}
        if limit_s is None:
            how.draw(find, lambda found: print_commands(found, how), over=lambda found: not _unfinished(found, meant))
        else:
            attempt.run(lambda: _wait_until_ended(client, find, meant, limit_s=limit_s, progress=how.is_table))
            many.print_all(commands, find(), how, lambda found: print_commands(found, how))


def _chosen(command: CommandWithJobs, named: Sequence[str]) -> set[NodeKey]:
    """Return the nodes of a command's jobs that these names mean; without names, all."""
    there = {job.key: job.node_name for job in command.jobs}
    return pick(there, named, missing=lambda names: no_job(command.id, names, there.values()))


def _unfinished(commands: Sequence[CommandWithJobs], meant: Collection[tuple[str, NodeKey]]) -> list[Job]:
    """Return the jobs among `meant` (command and node) that have no result yet."""
    jobs = [job for command in commands for job in command.jobs]
    return [job for job in jobs if (job.id, job.key) in meant and not is_final(job.state)]


def _wait_until_ended(
    client: Client,
    find: Callable[[], Sequence[CommandWithJobs]],
    meant: Collection[tuple[str, NodeKey]],
    *,
    limit_s: float,
    progress: bool,
) -> None:
    """Wait until the jobs among `meant` have results; raise `TimedOut`."""

    def look() -> list[Awaited]:
        return [
            Awaited(job.key, job.node_name, Outlook.PENDING, job.state, job.reason)
            for job in _unfinished(find(), meant)
        ]

    waited = wait_for(client, look, doing="ending jobs", limit_s=limit_s, progress=progress)
    waited.print_left_out()
    waited.check_time("The end of the jobs", reasons=True)


@app.command
def rerun(
    command: CommandId,
    /,
    *,
    detach: Detach = False,
    how: OutputOptions = OutputOptions(),
) -> None:
    """Issue a command again, under a new id, on the nodes of the old one that still exist."""
    with connect() as client:
        old, made = client.commands.get(command), client.commands.rerun(command)
        asked = {job.key for job in made.jobs}
        if gone := [job.node_name for job in old.jobs if job.key not in asked]:
            output.errors.print(f"[yellow]left out:[/] {escape(quoted(gone))}, gone from the fleet", soft_wrap=True)
        if not detach:
            results.follow(client, made, View(how=how))
            return
    results.print_accepted(made, how)
