"""Schedules: commands that are issued repeatedly, at the times of a cron line or at a fixed period."""

from __future__ import annotations

from enum import StrEnum

from quarterdeck.model.jobs import CreateCommand, JobState
from quarterdeck.model.struct import Struct

#: characters of a schedule's name; the id of its commands is this name with a time
NAME_LIMIT = 64


class MissedRuns(StrEnum):
    """The treatment of runs that were due while no server was running."""

    SKIP = "skip"  #: they are left out; the next run is at its regular time
    ONCE = "once"  #: one run is made up for immediately, however many were missed


class CreateSchedule(Struct, frozen=True, kw_only=True):
    """A request to issue a command repeatedly, by either `cron` or `period_s`. The command's own `id` stays empty."""

    name: str
    command: CreateCommand
    cron: str = ""  #: six fields: second minute hour day-of-month month day-of-week
    timezone: str = "UTC"  #: time zone of the cron line, a name of the IANA database
    period_s: int = 0  #: period in whole seconds, counted from the creation of the schedule
    missed: MissedRuns = MissedRuns.SKIP
    enabled: bool = True


class Schedule(CreateSchedule, frozen=True, kw_only=True):
    """A schedule and its progress. Times are seconds since the epoch."""

    actor: str = ""  #: name of the API token that created it
    create_time: float = 0.0
    next_time: float | None = None  #: when it is next due; None while it is disabled
    last_time: float | None = None  #: when its last command was due
    last_command: str = ""  #: the id of that command
    reason: str = ""  #: why the last due time issued no command, or which named nodes it left out
    missed_runs: int = 0  #: due times that issued no command: no server ran, or the command was refused
    missed_time: float | None = None  #: time of the last of them
    states: dict[JobState, int] = {}  #: number of jobs in each state, of its commands that are still kept


class ChangeSchedule(Struct, frozen=True, kw_only=True):
    """A request to enable or disable a schedule. Runs missed while it was disabled are never made up for."""

    enabled: bool
