"""`qd service`: programs that nodes keep running: declare them in a file, see their state, restart them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import msgspec
from cyclopts import App, Parameter
from rich.markup import escape

from quarterdeck.cli import completers, many, output, results
from quarterdeck.cli import logs as messages
from quarterdeck.cli.arguments import LevelsGiven, Since, connect
from quarterdeck.cli.cells import Age, Long
from quarterdeck.cli.command import Detach
from quarterdeck.cli.formats import Format, ListOptions, OutputOptions, StreamOptions, print_struct
from quarterdeck.cli.job_list import print_commands
from quarterdeck.cli.listing import Column, Listing, print_details
from quarterdeck.cli.results import View
from quarterdeck.cli.selection import Nodes, Targets, check_reach, in_words
from quarterdeck.cli.service_file import read_services
from quarterdeck.cli.service_wait import wait_until_as_applied
from quarterdeck.cli.waiting import Wait
from quarterdeck.model.errors import BadInput
from quarterdeck.model.jobs import CommandWithJobs
from quarterdeck.model.processes import program_line
from quarterdeck.model.services import (
    AppliedServices,
    ApplyServices,
    Change,
    ServiceChange,
    ServiceInfo,
    ServiceOnNode,
    ServiceState,
    ServiceWithNodes,
)

app = App(name="service", help="Programs that nodes keep running: declare them, see what they do.")

Name = Annotated[str, Parameter(help="The service's name; see `qd service ls`.", completer=completers.services)]
Names = Annotated[str, Parameter(help="Names of services; see `qd service ls`.", completer=completers.services)]

_SIGNS = {Change.ADDED: "+", Change.CHANGED: "~", Change.UNCHANGED: "=", Change.REMOVED: "-"}


def _states(found: ServiceInfo) -> str:
    states = dict.fromkeys(ServiceState, 0) | found.states
    return " ".join(f"{count} {state}" for state, count in states.items() if count) or "none"


def _reason(one: ServiceOnNode) -> str:
    before = f"The previous run ended: {one.status.ended}." if one.status.ended and not one.status.reason else ""
    return " ".join(part for part in (one.status.reason, before, "" if one.wanted else "It is being removed.") if part)


@app.command
def apply(
    file: Annotated[Path, Parameter(help="TOML with [service.NAME] tables; '-' reads it from standard input.")],
    /,
    *,
    targets: Targets = Targets(),
    prune: Annotated[bool, Parameter(help="Remove the services of the file's group that it no longer names.")] = False,
    dry_run: Annotated[bool, Parameter(help="Show what would change, and change nothing.")] = False,
    waiting: Wait = Wait(),
    how: OutputOptions = OutputOptions(),
) -> None:
    """Make services what a file says, all of them or none. The same file again changes nothing.

    --on, --role, --node and --gid are the selector of those services that name none in the file. `selector = {}` in the
    file means every node, as --all does. With --wait, the exit code is 0 only if each service of the file runs on every
    node that is online.
    """
    limit_s = waiting.limit_s
    if dry_run and limit_s is not None:
        raise BadInput("--dry-run changes nothing that --wait could wait for.", hint="Give one of the two.")
    found = read_services(file, selector=targets.selector, prune=prune)
    request = ApplyServices(services=found.services, group=found.group, prune=prune, dry_run=dry_run)
    with connect() as client:
        if found.without_selector and not (targets.named or targets.all):
            before = {info.service.name: info.service.selector for info in client.services.list()}
            check_reach(client, {name: before.get(name) for name in found.without_selector})
        applied = client.services.apply(request)
        _print_applied(applied, how, hint=limit_s is None)
        if limit_s is not None and found.services:
            names = [service.name for service in found.services]
            wait_until_as_applied(client, names, limit_s=limit_s, how=how)


SERVICES = Listing[ServiceInfo](
    columns=(
        Column("service", lambda s: s.service.name),
        Column("nodes", _states),
        Column("command", lambda s: Long(program_line(s.service.command)), rank=1),
        Column("after", lambda s: " ".join(s.service.after), rank=4),
        Column("on", lambda s: in_words(s.service.selector), rank=2),
        Column("group", lambda s: s.group, rank=5),
        Column("changed", lambda s: Age(s.last_update_time), rank=3),
        Column("version", lambda s: s.version, wide=True),
        Column("by", lambda s: s.actor, wide=True),
        Column("reason", lambda s: Long(s.reason), only_filled=True),
    ),
    name=lambda s: s.service.name,
    empty="No services. Declare some with `qd service apply FILE`.",
)


def _nodes(version: str) -> Listing[ServiceOnNode]:
    """Return the list of a service's nodes; `version` is the one that they should run."""
    return Listing[ServiceOnNode](
        columns=(
            Column("node", lambda n: n.node_name),
            Column("gid/nid", lambda n: f"{n.gid}/{n.nid}", wide=True),
            Column("state", lambda n: n.status.state),
            Column("since", lambda n: Age(n.status.since, otherwise=""), rank=1),
            Column("pid", lambda n: n.status.pid, rank=2),
            Column("restarts", lambda n: n.status.restarts or ""),
            Column("version", lambda n: n.status.version if n.status.version != version else "", only_filled=True),
            Column("reason", _reason),
        ),
        name=lambda n: n.node_name,
        empty="No node runs it: no node's name and labels match.",
    )


@app.command(name="ls")
def ls(*, how: ListOptions = ListOptions()) -> None:
    """List services, with how many nodes are in which state."""
    with connect() as client:
        SERVICES.print(client.services.list, how)


@app.command
def show(service: Name, /, *, how: OutputOptions = OutputOptions()) -> None:
    """Show a service and what it does on each node."""
    with connect() as client:
        found = client.services.get(service)

    def print_nodes() -> None:
        output.console.print()
        _nodes(found.version).print_items(found.nodes, how)

    print_details(found, lambda: _details(found), how, name=service, more=print_nodes)


@app.command
def rm(*services: Names) -> None:
    """End services everywhere. One is refused while another comes after it."""
    with connect() as client:
        many.remove(services, client.services.remove, done="is removed; its nodes end it.")


@app.command
def restart(
    *services: Names, nodes: Nodes = Nodes(), detach: Detach = False, how: OutputOptions = OutputOptions()
) -> None:
    """Stop services and start them anew where they run. The exit code is 0 only if each is running on every node."""
    codes: list[int] = []
    with connect() as client, many.Attempt(services) as attempt:
        named = nodes.names(client)
        restarted: list[CommandWithJobs] = []
        for made in attempt.results(lambda service: client.services.restart(service, named)):
            if not detach:
                codes.append(results.followed(client, made, View(how=how)))
                restarted.append(client.commands.get(made.id))
            elif how.is_table:
                results.print_accepted(made, how)
            else:
                restarted.append(made)
        if not how.is_table:
            many.print_all(services, restarted, how, lambda found: print_commands(found, how))
    if code := next((code for code in codes if code), 0):
        sys.exit(code)


@app.command
def logs(
    service: Name,
    /,
    *,
    nodes: Nodes = Nodes(),
    level: LevelsGiven = "*",
    since: Since = None,
    lines: messages.Lines = messages.LINES,
    follow: messages.Follow = False,
    times: messages.Times = False,
    how: StreamOptions = StreamOptions(),
) -> None:
    """Show what a service printed, oldest first; `qd logs --service` can do more."""
    messages.logs(
        service=service, nodes=nodes, level=level, since=since, lines=lines, follow=follow, times=times, how=how
    )


CHANGES = Listing[ServiceChange](
    columns=(
        Column("service", lambda c: c.name),
        Column("change", lambda c: c.change),
        Column("fields", lambda c: " ".join(c.fields)),
        Column("nodes", lambda c: c.nodes),
    ),
    name=lambda c: c.name,
    empty="Nothing is to change.",
)


def _print_applied(applied: AppliedServices, how: OutputOptions, *, hint: bool) -> None:
    """Print what was changed; with `hint`, also where to see what comes of it."""
    if how.format in (Format.JSON, Format.YAML):
        print_struct(applied, how.format)
        return
    if not how.is_table:
        CHANGES.print_items(applied.changes, how)
        return
    for change in applied.changes:
        sign, fields = _SIGNS[change.change], f" ({', '.join(change.fields)})" if change.fields else ""
        where = "" if change.change is Change.REMOVED else f" on {output.counted(change.nodes, 'node')}"
        output.console.print(f"{sign} {change.name}: {change.change}{fields}{where}", markup=False)
    for note in applied.notes:
        output.errors.print(f"[yellow]note:[/] {escape(note)}", soft_wrap=True)
    if applied.dry_run:
        output.errors.print("Nothing was changed: this was a dry run.")
    elif hint and any(change.change is not Change.UNCHANGED for change in applied.changes):
        output.errors.print("See what they do with `qd service ls`.")


def _details(found: ServiceWithNodes) -> Iterator[tuple[str, object]]:
    service = found.service
    health = service.health
    yield from (
        ("service", service.name),
        ("command", program_line(service.command)),
        ("version", found.version),
        ("group", found.group),
        ("after", " ".join(service.after)),
        ("health", msgspec.json.encode(health).decode() if health else ""),
        ("on", in_words(service.selector)),
        ("applied by", found.actor),
        ("changed", Age(found.last_update_time, ago=True)),
    )
