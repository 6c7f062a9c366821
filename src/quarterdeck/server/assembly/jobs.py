"""Commands and their jobs on nodes, and the schedules that issue commands."""

from __future__ import annotations

from quarterdeck.server.assembly.context import Context, ServerAssembly
from quarterdeck.server.assembly.fleet import FleetParts
from quarterdeck.server.jobs.commands import Commands
from quarterdeck.server.jobs.jobs import Jobs
from quarterdeck.server.jobs.links import JOBS_DUE, JobLinks
from quarterdeck.server.jobs.schedules import Schedules
from quarterdeck.server.scripts import Scripts


class JobParts:
    """Commands reach the nodes through the topic of jobs."""

    def __init__(self, assembly: ServerAssembly, context: Context, *, fleet: FleetParts) -> None:
        config, database, clock = context.config, context.database, context.clock
        self.jobs = Jobs(database, ledger=fleet.ledger, clock=clock)
        self.links = JobLinks(self.jobs, links=context.links)
        context.signals.listen(JOBS_DUE, self.links.wake)
        self.commands = Commands(
            database,
            ledger=fleet.ledger,
            links=self.links,
            signals=context.signals,
            kept=config.commands.kept,
            expires_s=config.commands.expires_s,
            clock=clock,
        )
        self.scripts = Scripts(database)
        self.schedules = Schedules(database, commands=self.commands, clock=clock)
        assembly.parts.add("expired jobs", run=self.commands.watch)
        assembly.parts.add("schedules", run=self.schedules.watch)
        assembly.topics.append(self.links)
