"""`qd service`: programs that nodes keep running: declare them in a file, see what they do, start them anew."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
from cyclopts import App, Parameter

from quarterdeck.cli import logs as messages
from quarterdeck.cli import output, results
from quarterdeck.cli.arguments import Json, JsonLines, On, OnGrid, OnNode, connect, selector
from quarterdeck.cli.command import Detach
from quarterdeck.cli.results import View
from quarterdeck.cli.service_file import read_services
from quarterdeck.model.processes import program_line
from quarterdeck.model.services import (
    AppliedServices,
    ApplyServices,
    Change,
    Service,
    ServiceInfo,
    ServiceOnNode,
    ServiceState,
    ServiceWithNodes,
)

app = App(name="service", help="Programs that nodes keep running: declare them, see what they do.")

Name = Annotated[str, Parameter(help="The service's name; see `qd service ls`.")]

_SIGNS = {Change.ADDED: "+", Change.CHANGED: "~", Change.UNCHANGED: "=", Change.REMOVED: "-"}


@app.command
def apply(
    file: Annotated[Path, Parameter(help="TOML with [service.NAME] tables.")],
    /,
    *,
    on: On = (),
    node: OnNode = (),
    gid: OnGrid = None,
    prune: Annotated[bool, Parameter(help="Remove the services of the file's group that it no longer names.")] = False,
    dry_run: Annotated[bool, Parameter(help="Show what would change, and change nothing.")] = False,
    json: Json = False,
) -> None:
    """Make services what a file says, all of them or none. The same file again changes nothing.

    --on, --node and --gid are the selector of those services that name none in the file.
    """
    found = read_services(file, selector=selector(on, node, gid))
    request = ApplyServices(services=found.services, group=found.group, prune=prune, dry_run=dry_run)
    with connect() as client:
        applied = client.apply_services(request)
    if json:
        output.print_json(applied)
        return
    _print_applied(applied)


@app.command(name="ls")
def ls(*, json: Json = False) -> None:
    """List services, with how many nodes are in which state."""
    with connect() as client:
        found = client.list_services()
    output.show(
        found,
        {
            "service": lambda s: s.service.name,
            "nodes": _states,
            "command": lambda s: output.shortened(program_line(s.service.command)),
            "after": lambda s: " ".join(s.service.after),
            "on": lambda s: _where(s.service),
            "group": lambda s: s.group,
            "changed": lambda s: output.age(s.last_update_time),
        },
        json=json,
        empty="No services. Declare some with `qd service apply FILE`.",
    )


@app.command
def show(service: Name, /, *, json: Json = False) -> None:
    """Show a service and what it does on each node."""
    with connect() as client:
        found = client.show_service(service)
    if json:
        output.print_json(found)
        return
    _print_service(found)


@app.command
def rm(service: Name, /) -> None:
    """End a service everywhere. Refused while another comes after it."""
    with connect() as client:
        client.remove_service(service)
    output.console.print(f"{service} is removed; its nodes end it.")


@app.command
def restart(
    service: Name,
    /,
    *,
    node: Annotated[tuple[str, ...], Parameter(help="Only on this node: name, nid or gid/nid. Repeatable.")] = (),
    detach: Detach = False,
    json: Json = False,
) -> None:
    """Stop a service and start it anew where it runs. The exit code is 0 only if it is running on every node."""
    with connect() as client:
        made = client.restart_service(service, node)
        if not detach:
            results.follow(client, made, View(json=json))
            return
    results.print_accepted(made, json=json)


@app.command
def logs(
    service: Name,
    /,
    *,
    node: OnNode = (),
    lines: messages.Lines = messages.LINES,
    follow: messages.Follow = False,
    times: messages.Times = False,
    json: JsonLines = False,
) -> None:
    """Show what a service printed, oldest first; `qd logs --service` can do more."""
    messages.logs(service=service, node=node, lines=lines, follow=follow, times=times, json=json)


def _print_applied(applied: AppliedServices) -> None:
    for change in applied.changes:
        sign, fields = _SIGNS[change.change], f" ({', '.join(change.fields)})" if change.fields else ""
        where = "" if change.change is Change.REMOVED else f" on {output.counted(change.nodes, 'node')}"
        output.console.print(f"{sign} {change.name}: {change.change}{fields}{where}", markup=False)
    if applied.dry_run:
        output.errors.print("Nothing was changed: this was a dry run.")
    elif any(change.change is not Change.UNCHANGED for change in applied.changes):
        output.errors.print("See what they do with `qd service ls`.")


def _print_service(found: ServiceWithNodes) -> None:
    service = found.service
    health = service.health
    output.details(
        [
            ("service", service.name),
            ("command", program_line(service.command)),
            ("version", found.version),
            ("group", found.group),
            ("after", " ".join(service.after)),
            ("health", msgspec.json.encode(health).decode() if health else ""),
            ("on", _where(service)),
            ("applied by", found.actor),
            ("changed", f"{output.age(found.last_update_time)} ago"),
        ]
    )
    output.console.print()
    output.show(
        found.nodes,
        {
            "node": lambda n: n.node_name,
            "state": lambda n: n.status.state,
            "since": lambda n: output.age(n.status.since) if n.status.since else "",
            "pid": lambda n: n.status.pid,
            "restarts": lambda n: n.status.restarts or "",
            "version": lambda n: n.status.version if n.status.version != found.version else "",
            "reason": _reason,
        },
        json=False,
        empty="No node runs it: no node's name and labels match.",
    )


def _states(found: ServiceInfo) -> str:
    states = {ServiceState(state): count for state, count in found.states.items()}
    return " ".join(f"{count} {state}" for state in ServiceState if (count := states.get(state))) or "none"


def _where(service: Service) -> str:
    chosen = service.selector
    parts = [output.pairs(chosen.labels), *chosen.nodes, *chosen.roles]
    parts += [] if chosen.gid is None else [f"gid {chosen.gid}"]
    return " ".join(part for part in parts if part) or "every node"


def _reason(one: ServiceOnNode) -> str:
    return " ".join(part for part in (one.status.reason, "" if one.wanted else "It is to go.") if part)
