"""`qd job schedule`: commands that are asked for again and again."""

from __future__ import annotations

from typing import Annotated

from cyclopts import App, Parameter

from quarterdeck.cli import output
from quarterdeck.cli.arguments import Json, On, OnGrid, OnNode, connect, selector
from quarterdeck.cli.command import Any_, Arg, Cmd, Data, Expires, asked
from quarterdeck.model.errors import BadInput
from quarterdeck.model.schedules import CreateSchedule, MissedRuns, Schedule
from quarterdeck.model.tables import parse_duration

app = App(name="schedule", help="Commands that are asked for again and again.")

Name = Annotated[str, Parameter(help="The schedule's name.")]


@app.command
def add(
    name: Name,
    cmd: Cmd,
    /,
    *,
    cron: Annotated[
        str, Parameter(help="Six fields: second minute hour day-of-month month day-of-week.", allow_leading_hyphen=True)
    ] = "",
    every: Annotated[str | None, Parameter(help="A period in whole seconds, such as 30s or 1h.")] = None,
    timezone: Annotated[str, Parameter(help="Of the cron line, such as Europe/Brussels.")] = "UTC",
    missed: Annotated[MissedRuns, Parameter(help="What becomes of a run whose time passed without a server.")] = (
        MissedRuns.SKIP
    ),
    arg: Arg = (),
    data: Data = "",
    on: On = (),
    node: OnNode = (),
    gid: OnGrid = None,
    any: Any_ = False,
    expires: Expires = None,
    json: Json = False,
) -> None:
    """Ask for a command at the times of --cron, or --every so often. Which nodes match is decided each time."""
    request = CreateSchedule(
        name=name,
        command=asked(cmd, arg=arg, data=data, selector=selector(on, node, gid), any=any, expires=expires),
        cron=cron,
        timezone=timezone,
        period_s=0 if every is None else _whole_seconds(every),
        missed=missed,
    )
    with connect() as client:
        _print(client.create_schedule(request), json=json)


@app.command(name="ls")
def ls(*, json: Json = False) -> None:
    """List schedules: when each is due, and what came of it last."""
    with connect() as client:
        schedules = client.list_schedules()
    output.show(
        schedules,
        {
            "schedule": lambda s: s.name,
            "command": lambda s: s.command.cmd,
            "when": _when,
            "next": lambda s: output.moment(s.next_time) or "disabled",
            "last command": lambda s: s.last_command,
            "reason": lambda s: s.reason,
        },
        json=json,
        empty="No schedules. Make one with `qd job schedule add NAME CMD --every 1h`.",
    )


@app.command
def rm(name: Name, /) -> None:
    """Forget a schedule. What it asked for goes on."""
    with connect() as client:
        client.delete_schedule(name)
    output.console.print(f"{name} is removed.")


@app.command
def enable(name: Name, /, *, json: Json = False) -> None:
    """Enable a schedule: it is due next after now."""
    with connect() as client:
        _print(client.enable_schedule(name, enabled=True), json=json)


@app.command
def disable(name: Name, /, *, json: Json = False) -> None:
    """Disable a schedule: it stays, and asks for nothing."""
    with connect() as client:
        _print(client.enable_schedule(name, enabled=False), json=json)


def _print(schedule: Schedule, *, json: bool) -> None:
    if json:
        output.print_json(schedule)
        return
    due = output.moment(schedule.next_time)
    output.console.print(
        f"{schedule.name}: {schedule.command.cmd} {_when(schedule)}, {f'next {due}' if due else 'disabled'}"
    )


def _when(schedule: Schedule) -> str:
    return f"{schedule.cron} {schedule.timezone}" if schedule.cron else f"every {output.duration(schedule.period_s)}"


def _whole_seconds(text: str) -> int:
    seconds = parse_duration(text)
    if seconds < 1 or seconds != int(seconds):
        raise BadInput(f"A period is whole seconds, 1 or more; found '{text}'.")
    return int(seconds)
