"""The fleet: nodes and their agents, how hosts join, what each node should run, and who did what."""

from __future__ import annotations

from quarterdeck.link.messages import FactsChanged, PlacementReport
from quarterdeck.model.nodes import AgentIdentity
from quarterdeck.server.assembly.context import Context, ServerAssembly
from quarterdeck.server.audit import Audit
from quarterdeck.server.ca import CertificateAuthority
from quarterdeck.server.credentials import Credentials
from quarterdeck.server.files.artefacts import Artefacts
from quarterdeck.server.fleet import Fleet
from quarterdeck.server.jobs.ledger import Ledger
from quarterdeck.server.joins import Joins
from quarterdeck.server.logins import Logins
from quarterdeck.server.nodes import Nodes
from quarterdeck.server.placement.links import DesiredLinks
from quarterdeck.server.placement.placements import DESIRED_SETS, Placements
from quarterdeck.server.placement.reports import PlacementReports
from quarterdeck.server.renewals import Renewals
from quarterdeck.server.sessions.reports import ReportTopic
from quarterdeck.server.tokens import Tokens


class FleetParts:
    """The components on which all nouns that reach nodes are built."""

    def __init__(self, assembly: ServerAssembly, context: Context, *, authority: CertificateAuthority) -> None:
        config, database, clock, links = context.config, context.database, context.clock, context.links
        signals = context.signals
        self.audit = Audit(database, entries=config.audit_entries, clock=clock)
        self.ledger = Ledger(self.audit, signals=signals, clock=clock)
        self.artefacts = Artefacts(database, clock=clock)
        self.placements = Placements(database, clock=clock)
        self.placement_reports = PlacementReports(database, placements=self.placements, clock=clock)
        desired_links = DesiredLinks(self.placements, links=links)
        signals.listen(DESIRED_SETS, desired_links.wake)
        self.nodes = Nodes(
            database,
            placements=self.placements,
            links=links,
            signals=signals,
            ledger=self.ledger,
            offline_after_s=config.link.offline_after_s,
            server=context.name,
            clock=clock,
        )
        self.joins = Joins(
            database,
            authority=authority,
            placements=self.placements,
            links=links,
            signals=signals,
            ledger=self.ledger,
            clock=clock,
        )
        self.tokens = Tokens(
            database,
            ca_fingerprint=authority.fingerprint,
            gid=config.gid,
            links=links,
            signals=signals,
            clock=clock,
        )
        self.logins = Logins(database, tokens=self.tokens, audit=self.audit, signals=signals, clock=clock)
        self.credentials = Credentials(database, signals=signals, clock=clock)
        self.members = Fleet(nodes=self.nodes, joins=self.joins, tokens=self.tokens)
        assembly.parts.add("uses of tokens", run=self.tokens.uses.run, close=self.tokens.uses.write)
        assembly.parts.add("uses of logins", run=self.logins.uses.run, close=self.logins.uses.write)
        assembly.parts.add("credentials of live streams", run=self.credentials.run)
        assembly.parts.add("silent agents", start=self.nodes.set_all_offline, run=self.nodes.watch)
        reports = ReportTopic({FactsChanged: self._facts, PlacementReport: self.placement_reports.reported})
        assembly.topics += [desired_links, Renewals(self.joins.renew), reports]

    async def _facts(self, agent: AgentIdentity, message: FactsChanged) -> None:
        await self.nodes.changed(agent, message.facts)
