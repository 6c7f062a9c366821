"""Schedules: a command that is asked for again and again, at times that a cron line or a period names."""

from __future__ import annotations

from enum import StrEnum

from quarterdeck.model.jobs import CreateCommand
from quarterdeck.model.struct import Struct

#: characters of a schedule's name; a command's id is this name with a time
NAME_LIMIT = 64


class MissedRuns(StrEnum):
    """What becomes of a run whose time passed while no server was there."""

    SKIP = "skip"  #: it is left out; the next one is at its time
    ONCE = "once"  #: it is made up for at once, one time however many were missed


class CreateSchedule(Struct, frozen=True, kw_only=True):
    """Ask for a command again and again: either `cron` or `period_s`. The command's own `id` stays empty."""

    name: str
    command: CreateCommand
    cron: str = ""  #: six fields: second minute hour day-of-month month day-of-week
    timezone: str = "UTC"  #: of the cron line, a name of the IANA database
    period_s: int = 0  #: every so many whole seconds since it was made
    missed: MissedRuns = MissedRuns.SKIP
    enabled: bool = True


class Schedule(CreateSchedule, frozen=True, kw_only=True):
    """A schedule, and where it is. Times are seconds since the epoch."""

    actor: str = ""  #: name of the API token that made it
    create_time: float = 0.0
    next_time: float | None = None  #: when it is due; none while it is disabled
    last_time: float | None = None  #: when its last command was due
    last_command: str = ""  #: the id of that command
    reason: str = ""  #: why the last due time brought no command, if it brought none


class ChangeSchedule(Struct, frozen=True, kw_only=True):
    """Enable or disable a schedule. Enabled again, it is due next after now: nothing is made up for."""

    enabled: bool
