"""Routes of schedules."""

from __future__ import annotations

from typing import Any

from litestar import Request, delete, get, patch, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody

from quarterdeck.api.access import describe
from quarterdeck.model.schedules import ChangeSchedule, CreateSchedule, Schedule
from quarterdeck.model.tokens import Role
from quarterdeck.server.jobs.schedules import Schedules

Asked = Request[Any, Any, Any]


@post("/schedules", operation_id="createSchedule", role=Role.OPERATOR, audit=True)
async def create_schedule(
    server_schedules: NamedDependency[Schedules], request: Asked, data: JSONBody[CreateSchedule]
) -> Schedule:
    """Create a schedule, which issues a command at the times of a cron line or at a fixed period in seconds."""
    describe(request.scope, target=data.name, detail=f"{data.command.cmd}: {data.cron or f'every {data.period_s} s'}")
    return await server_schedules.create(data, request.user)


@get("/schedules", operation_id="listSchedules", role=Role.VIEWER)
async def list_schedules(server_schedules: NamedDependency[Schedules]) -> list[Schedule]:
    """List the schedules, each with its next run and the outcome of its last one."""
    return await server_schedules.list()


@get("/schedules/{schedule:str}", operation_id="showSchedule", role=Role.VIEWER)
async def show_schedule(server_schedules: NamedDependency[Schedules], schedule: FromPath[str]) -> Schedule:
    """Show a schedule with its next run, the outcome of its runs, and the number of missed ones."""
    return await server_schedules.show(schedule)


@patch("/schedules/{schedule:str}", operation_id="changeSchedule", role=Role.OPERATOR, audit=True)
async def change_schedule(
    server_schedules: NamedDependency[Schedules], schedule: FromPath[str], data: JSONBody[ChangeSchedule]
) -> Schedule:
    """Enable or disable a schedule. The next run of one that is enabled is its first due time from now on."""
    return await server_schedules.enable(schedule, enabled=data.enabled)


@delete("/schedules/{schedule:str}", operation_id="deleteSchedule", role=Role.OPERATOR, audit=True)
async def delete_schedule(server_schedules: NamedDependency[Schedules], schedule: FromPath[str]) -> None:
    """Delete a schedule. Commands that it has issued continue."""
    await server_schedules.delete(schedule)


ROUTES = (create_schedule, list_schedules, show_schedule, change_schedule, delete_schedule)
