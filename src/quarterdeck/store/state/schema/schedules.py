"""Schedules."""

from __future__ import annotations

from sqlalchemy import Column, Index, Named, Table, TypedColumns

from quarterdeck.model.jobs import CreateCommand
from quarterdeck.model.schedules import MissedRuns
from quarterdeck.model.tokens import Role
from quarterdeck.store.state.schema.metadata import metadata
from quarterdeck.store.state.types import Json, Word


class ScheduleColumns(TypedColumns):
    """A command that is issued repeatedly. `next_time` is none while it is disabled."""

    name: Named[str] = Column(primary_key=True)
    command: Named[CreateCommand] = Column(Json(CreateCommand))
    cron: Named[str]
    timezone: Named[str]
    period_s: Named[int]
    missed: Named[MissedRuns] = Column(Word(MissedRuns))
    enabled: Named[bool]
    actor: Named[str]
    role: Named[Role] = Column(Word(Role))
    create_time: Named[float]
    next_time: Named[float | None]
    last_time: Named[float | None]
    last_command: Named[str]
    reason: Named[str]
    missed_runs: Named[int] = Column(nullable=False, server_default="0")
    missed_time: Named[float | None]
    script: Named[str | None]  #: the sha256 of the script that its command runs


schedule = Table("schedule", metadata, ScheduleColumns)
Index(None, schedule.c.next_time)
Index(None, schedule.c.script)
