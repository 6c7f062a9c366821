"""Services: declared, placed on nodes, and what nodes report of them."""

from __future__ import annotations

from quarterdeck.server.assembly.context import Context
from quarterdeck.server.assembly.fleet import FleetParts
from quarterdeck.server.assembly.jobs import JobParts
from quarterdeck.server.services import ServiceKind, Services


class ServiceParts:
    """Services are restarted by commands."""

    def __init__(self, context: Context, *, fleet: FleetParts, jobs: JobParts) -> None:
        kind = ServiceKind()
        fleet.placements.register(kind)
        self.services = Services(
            context.database,
            kind=kind,
            placements=fleet.placements,
            reports=fleet.placement_reports,
            signals=context.signals,
            commands=jobs.commands,
            clock=context.clock,
        )
