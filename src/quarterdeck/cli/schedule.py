"""`qd job schedule`: commands that are requested again and again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated

import msgspec
from cyclopts import App, Parameter

from quarterdeck.cli import completers, many, output
from quarterdeck.cli.arguments import connect
from quarterdeck.cli.cells import Long, Moment
from quarterdeck.cli.command import Arg, Cmd, Data, asked
from quarterdeck.cli.formats import ListOptions, OutputOptions
from quarterdeck.cli.listing import Column, Listing, print_details
from quarterdeck.cli.results import counts
from quarterdeck.cli.selection import Where, in_words
from quarterdeck.model.durations import parse_duration
from quarterdeck.model.errors import BadInput
from quarterdeck.model.jobs import in_one_line
from quarterdeck.model.schedules import CreateSchedule, MissedRuns, Schedule

app = App(name="schedule", help="Commands that are asked for again and again.")

Name = Annotated[str, Parameter(help="The schedule's name.", completer=completers.schedules)]
Names = Annotated[str, Parameter(help="Names of schedules.", completer=completers.schedules)]

#: the command that runs a program
EXECUTE = "execute"


def _where(schedule: Schedule) -> str:
    return f"{'any of ' if schedule.command.any else ''}{in_words(schedule.command.selector)}"


def _when(schedule: Schedule) -> str:
    return f"{schedule.cron} {schedule.timezone}" if schedule.cron else f"every {output.duration(schedule.period_s)}"


@app.command
def add(
    name: Name,
    cmd: Cmd,
    /,
    *program: Annotated[str, Parameter(name="PROGRAM", help="Behind --: a program and its arguments instead of CMD.")],
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
    where: Where = Where(),
    how: OutputOptions = OutputOptions(),
) -> None:
    """Ask for a command at the times of --cron, or --every so often: qd job schedule add NAME --every 1h -- uptime -p

    Which nodes match is decided each time.
    """
    given = (*arg, *_program(cmd, program, arg))
    with connect() as client:
        selector = where.standing(client, what=f"the schedule {name}")
        request = CreateSchedule(
            name=name,
            command=asked(cmd, arg=given, data=data, where=where, selector=selector),
            cron=cron,
            timezone=timezone,
            period_s=0 if every is None else _whole_seconds(every),
            missed=missed,
        )
        many.print_each([name], lambda _: client.schedules.create(request), how, lambda made: _print(made, how))


def _program(cmd: str, program: Sequence[str], arg: Sequence[str]) -> tuple[str, ...]:
    """Return a program of the command line as arguments of the command `execute`."""
    if not program:
        return ()
    if cmd != EXECUTE or any(each.partition("=")[0] in ("cmd", "args") for each in arg):
        found = program[1] if program[0] == EXECUTE and len(program) > 1 else program[0]
        raise BadInput(
            f"Expected a command or, behind --, a program; found both '{cmd}' and '{found}'.",
            hint="As in `qd job schedule add NAME --every 1h -- uptime -p`.",
        )
    return f"cmd={_json(program[0])}", f"args={_json(list(program[1:]))}"


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()


def separated(tokens: Sequence[str]) -> list[str]:
    """Return the command line with the command `execute` before a program that stands behind `--`."""
    if tuple(tokens[:3]) != ("job", "schedule", "add") or "--" not in tokens:
        return list(tokens)
    place = tokens.index("--")
    return list(tokens) if place + 1 == len(tokens) else [*tokens[: place + 1], EXECUTE, *tokens[place + 1 :]]


SCHEDULES = Listing[Schedule](
    columns=(
        Column("schedule", lambda s: s.name),
        Column("command", lambda s: Long(_what(s))),
        Column("on", _where),
        Column("when", _when),
        Column("next", lambda s: Moment(s.next_time, otherwise="disabled"), rank=1),
        Column("last command", lambda s: s.last_command, rank=4),
        Column("jobs", lambda s: counts(s.states), rank=2),
        Column("missed", lambda s: s.missed_runs or "", rank=3),
        Column("last missed", lambda s: Moment(s.missed_time), wide=True),
        Column("asked by", lambda s: s.actor, wide=True),
        Column("reason", lambda s: s.reason),
    ),
    name=lambda s: s.name,
    empty="No schedules. Make one with `qd job schedule add NAME --every 1h -- PROGRAM`.",
)


@app.command(name="ls")
def ls(*, how: ListOptions = ListOptions()) -> None:
    """List schedules: what runs where, when each is due, and what came of it last."""
    with connect() as client:
        SCHEDULES.print(client.schedules.list, how)


@app.command
def show(name: Name, /, *, how: OutputOptions = OutputOptions()) -> None:
    """Show one schedule: when it is due, the outcome of its runs, and how many were missed."""
    with connect() as client:
        found = client.schedules.get(name)
    print_details(found, lambda: _details(found, how), how, name=found.name)


def _details(schedule: Schedule, how: OutputOptions) -> Iterator[tuple[str, object]]:
    missed = f"{schedule.missed_runs}, last {output.moment(schedule.missed_time, utc=how.utc)}"
    yield from (
        ("schedule", schedule.name),
        ("command", _what(schedule)),
        ("on", _where(schedule)),
        ("when", _when(schedule)),
        ("next", Moment(schedule.next_time, otherwise="disabled")),
        ("if missed", "left out" if schedule.missed is MissedRuns.SKIP else "made up for once"),
        ("missed", missed if schedule.missed_runs else ""),
        ("last command", schedule.last_command),
        ("jobs", counts(schedule.states)),
        ("reason", schedule.reason),
        ("asked by", schedule.actor),
    )


@app.command
def rm(*names: Names) -> None:
    """Forget schedules. What they asked for goes on."""
    with connect() as client:
        many.remove(names, client.schedules.remove)


@app.command
def enable(*names: Names, how: OutputOptions = OutputOptions()) -> None:
    """Enable schedules: each is due next after now."""
    with connect() as client:
        many.print_each(names, client.schedules.enable, how, lambda found: _print(found, how))


@app.command
def disable(*names: Names, how: OutputOptions = OutputOptions()) -> None:
    """Disable schedules: they stay, and ask for nothing."""
    with connect() as client:
        many.print_each(names, client.schedules.disable, how, lambda found: _print(found, how))


def _print(schedules: Sequence[Schedule], how: OutputOptions) -> None:
    if not how.is_table:
        SCHEDULES.print_items(schedules, how)
        return
    for schedule in schedules:
        due = output.moment(schedule.next_time, utc=how.utc)
        many.say(f"{schedule.name}: {schedule.command.cmd} {_when(schedule)}, {f'next {due}' if due else 'disabled'}")


def _what(schedule: Schedule) -> str:
    command = schedule.command
    return f"{command.cmd} {in_one_line(command.args)}".rstrip()


def _whole_seconds(text: str) -> int:
    seconds = parse_duration(text)
    if seconds < 1 or seconds != int(seconds):
        raise BadInput(f"A period is whole seconds, 1 or more; found '{text}'.")
    return int(seconds)
