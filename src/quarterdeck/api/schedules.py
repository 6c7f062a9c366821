"""Schedules over HTTP."""

from __future__ import annotations

from typing import Any

from litestar import Request, delete, get, patch, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody

from quarterdeck.api.access import describe
from quarterdeck.model.schedules import ChangeSchedule, CreateSchedule, Schedule
from quarterdeck.model.tokens import Role
from quarterdeck.server.server import Server

Asked = Request[Any, Any, Any]


@post("/schedules", operation_id="createSchedule", role=Role.OPERATOR, audit=True)
async def create_schedule(server: NamedDependency[Server], request: Asked, data: JSONBody[CreateSchedule]) -> Schedule:
    """Asks for a command again and again, at the times of a cron line or every so many seconds."""
    describe(request.scope, target=data.name, detail=f"{data.command.cmd}: {data.cron or f'every {data.period_s} s'}")
    return await server.schedules.create(data, request.user)


@get("/schedules", operation_id="listSchedules", role=Role.VIEWER)
async def list_schedules(server: NamedDependency[Server]) -> list[Schedule]:
    """Every schedule: when it is due, and what came of it last."""
    return await server.schedules.list()


@patch("/schedules/{schedule:str}", operation_id="changeSchedule", role=Role.OPERATOR, audit=True)
async def change_schedule(
    server: NamedDependency[Server], schedule: FromPath[str], data: JSONBody[ChangeSchedule]
) -> Schedule:
    """Enables or disables a schedule. Enabled again, it is due next after now."""
    return await server.schedules.enable(schedule, enabled=data.enabled)


@delete("/schedules/{schedule:str}", operation_id="deleteSchedule", role=Role.OPERATOR, audit=True)
async def delete_schedule(server: NamedDependency[Server], schedule: FromPath[str]) -> None:
    """Forgets a schedule. What it asked for goes on."""
    await server.schedules.delete(schedule)


ROUTES = (create_schedule, list_schedules, change_schedule, delete_schedule)
