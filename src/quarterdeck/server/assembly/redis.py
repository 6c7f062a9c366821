"""Redis as a further way in for commands, if the server has one."""

from __future__ import annotations

import logging

from quarterdeck.model.errors import NotInstalled
from quarterdeck.server.assembly.context import Context, ServerAssembly
from quarterdeck.server.assembly.fleet import FleetParts
from quarterdeck.server.assembly.jobs import JobParts
from quarterdeck.server.assembly.stores import Stores

_INSTALL = "Install it: pip install 'quarterdeck[server]'."

log = logging.getLogger(__name__)


async def add_redis(
    assembly: ServerAssembly,
    context: Context,
    stores: Stores,
    *,
    fleet: FleetParts,
    jobs: JobParts,
) -> None:
    """Register the gateway to Redis. Raise `NotInstalled` without its client."""
    try:
        from quarterdeck.server.redis.gateway import Gateway  # noqa: PLC0415 (most servers have none)
    except ModuleNotFoundError as error:
        raise NotInstalled(f"The way in through Redis needs '{error.name}'.", hint=_INSTALL) from error
    gateway = Gateway(
        context.config,
        context.database,
        stores.telemetry,
        commands=jobs.commands,
        audit=fleet.audit,
        signals=context.signals,
        name=context.name,
    )
    assembly.parts.add("Redis", start=gateway.start, close=gateway.stop)
    log.info("commands are taken from Redis at %s", gateway.address)
