"""Modules: built, placed on nodes, and the instances that nodes report."""

from __future__ import annotations

from quarterdeck.link.messages import StatsReport
from quarterdeck.server.assembly.context import Context, ServerAssembly
from quarterdeck.server.assembly.fleet import FleetParts
from quarterdeck.server.instances import Instances, ModuleKind
from quarterdeck.server.modules import Builder, Builtins, EnsureTable, Modules
from quarterdeck.server.sessions.reports import ReportTopic


class ModuleParts:
    """`builder` builds what is uploaded; `builtins` are registered at the start; `ensure_table` makes a table."""

    def __init__(
        self,
        assembly: ServerAssembly,
        context: Context,
        *,
        fleet: FleetParts,
        builder: Builder,
        builtins: Builtins,
        ensure_table: EnsureTable,
    ) -> None:
        kind = ModuleKind(fleet.artefacts)
        fleet.placements.register(kind)
        self.instances = Instances(context.database, kind=kind, reports=fleet.placement_reports)
        self.modules = Modules(
            context.database,
            artefacts=fleet.artefacts,
            placements=fleet.placements,
            instances=self.instances,
            signals=context.signals,
            builder=builder,
            builtins=builtins,
            ensure_table=ensure_table,
            clock=context.clock,
        )
        assembly.parts.add("built-in modules", run=self.modules.register_builtins, once=True)
        assembly.topics.append(ReportTopic({StatsReport: self.instances.counted}))
