"""The jobs of a command, as every verb lists them that asks nodes for something."""

from __future__ import annotations

from collections.abc import Sequence

from quarterdeck.cli import output
from quarterdeck.cli.cells import Age, Moment
from quarterdeck.cli.formats import Format, OutputOptions, print_names, print_struct
from quarterdeck.cli.listing import Column, Listing
from quarterdeck.model.jobs import CommandWithJobs, Job

JOBS = Listing[Job](
    columns=(
        Column("id", lambda j: j.id),
        Column("command", lambda j: j.cmd),
        Column("node", lambda j: j.node_name),
        Column("gid/nid", lambda j: str(j.key), wide=True),
        Column("state", lambda j: j.state),
        Column("age", lambda j: Age(j.create_time), rank=1),
        Column("asked at", lambda j: Moment(j.create_time), wide=True),
        Column("took", lambda j: output.took(j.result.time) if j.result and j.result.starttime else "", wide=True),
        Column("reason", lambda j: j.reason),
    ),
    name=lambda j: j.id,
    empty="No such jobs.",
)


def print_command(command: CommandWithJobs, how: OutputOptions) -> None:
    """Print a command: as a struct, as its id, or as a list of its jobs."""
    if how.format in (Format.JSON, Format.YAML):
        print_struct(command, how.format)
    else:
        print_commands([command], how)


def print_commands(commands: Sequence[CommandWithJobs], how: OutputOptions) -> None:
    """Print commands as their ids, or as a list of their jobs."""
    if how.format is Format.NAME:
        print_names(command.id for command in commands)
    else:
        JOBS.print_items([job for command in commands for job in command.jobs], how)
