"""The server: its stores, services and the link put together, started in order and closed in the opposite one.

Owns nothing but that order. `server/assembly/` says what there is. The API calls the services that are its attributes;
the link calls the topics.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection
from functools import partial
from pathlib import Path

from quarterdeck.link.grpc.server import GrpcServerWire
from quarterdeck.link.https.server import HttpsServerWire
from quarterdeck.link.wire import ServerWire
from quarterdeck.model.config import ServerConfig
from quarterdeck.modulekit.builtin import Builtins
from quarterdeck.server.about import About
from quarterdeck.server.assembly.context import Context, ServerAssembly
from quarterdeck.server.assembly.files import FileParts
from quarterdeck.server.assembly.fleet import FleetParts
from quarterdeck.server.assembly.jobs import JobParts
from quarterdeck.server.assembly.messages import MessageParts
from quarterdeck.server.assembly.modules import ModuleParts
from quarterdeck.server.assembly.redis import add_redis
from quarterdeck.server.assembly.services import ServiceParts
from quarterdeck.server.assembly.stores import Stores, open_stores
from quarterdeck.server.assembly.telemetry import TelemetryParts
from quarterdeck.server.audit import Audit
from quarterdeck.server.builds import Builds
from quarterdeck.server.credentials import Credentials
from quarterdeck.server.damage import problems
from quarterdeck.server.descriptors import Connections, raise_limit
from quarterdeck.server.files.files import Files
from quarterdeck.server.files.transfers import Transfers
from quarterdeck.server.jobs.commands import Commands
from quarterdeck.server.jobs.output import Output
from quarterdeck.server.jobs.schedules import Schedules
from quarterdeck.server.logins import Logins
from quarterdeck.server.messages.messages import Messages
from quarterdeck.server.modules import Modules
from quarterdeck.server.nodes import Nodes
from quarterdeck.server.placement.placements import Placements
from quarterdeck.server.placement.reports import PlacementReports
from quarterdeck.server.queries import Queries
from quarterdeck.server.saved_queries import SavedQueries
from quarterdeck.server.scripts import Scripts
from quarterdeck.server.services import Services
from quarterdeck.server.sessions.links import Links
from quarterdeck.server.sessions.sessions import Sessions
from quarterdeck.server.signals import LocalSignals
from quarterdeck.server.tables import Tables
from quarterdeck.server.tail import Tail
from quarterdeck.server.tokens import Tokens

log = logging.getLogger(__name__)


class Server:
    """One server. Its services are there after `start`."""

    about: About
    nodes: Nodes
    placements: Placements
    placement_reports: PlacementReports
    tokens: Tokens
    logins: Logins
    credentials: Credentials
    modules: Modules
    commands: Commands
    files: Files
    transfers: Transfers
    scripts: Scripts
    schedules: Schedules
    services: Services
    messages: Messages
    output: Output
    audit: Audit
    tables: Tables
    queries: Queries
    saved_queries: SavedQueries
    tail: Tail

    def __init__(self, config: ServerConfig) -> None:
        self.config = config
        self.connections = Connections.of(raise_limit())  #: the number of connections that each port may have
        self._assembly = ServerAssembly()

    async def start(self) -> None:
        """Open the stores, then the link. What was opened is closed again when something fails.

        Raise `Conflict` (the home is in use), `BadConfig`, `StorageCorrupt`, `Unavailable`.
        """
        parts = self._assembly.parts
        try:
            self._stores = await open_stores(parts, self.config)
            await self._assemble(self._assembly, self._stores)
        except BaseException:
            await parts.close()
            raise
        await parts.start()
        self.about.started()
        addresses = " and ".join(self._sessions.addresses)
        log.info("the server is up: link on %s, data in %s", addresses, self._stores.home.folder)

    async def stop(self) -> None:
        """End sessions, store what is waiting, close the stores; in this order."""
        await self._assembly.parts.close()

    @property
    def http_socket(self) -> Path:
        """Return the path of the Unix socket for this machine's own clients."""
        return self._stores.home.http_socket

    # ── inside ───────────────────────────────────────────────────────────────────────────────────────────────────────
    async def _assemble(self, assembly: ServerAssembly, stores: Stores) -> None:
        """Make all services. The link and what acts by itself come last: they need the topics of the others."""
        config = self.config
        name = await asyncio.to_thread(stores.home.name)
        context = Context(config=config, database=stores.database, links=Links(), signals=LocalSignals(), name=name)
        builds = Builds()
        assembly.parts.add("module builds", close=partial(asyncio.to_thread, builds.close))
        telemetry = TelemetryParts(assembly, context, stores, offline=self._offline_nodes)
        fleet = FleetParts(assembly, context, authority=stores.authority)
        jobs = JobParts(assembly, context, fleet=fleet)
        services = ServiceParts(context, fleet=fleet, jobs=jobs)
        modules = ModuleParts(
            assembly,
            context,
            fleet=fleet,
            builder=builds.build,
            builtins=Builtins(Path(config.modules)) if config.modules else Builtins(),
            ensure_table=telemetry.tables.ensure,
        )
        files = FileParts(assembly, context, fleet=fleet, folder=stores.home.files)
        messages = MessageParts(assembly, context, jobs=jobs, store=stores.telemetry)
        self._serve_link(assembly, context, stores, fleet=fleet, telemetry=telemetry)
        if config.redis.url:
            await add_redis(assembly, context, stores, fleet=fleet, jobs=jobs)
        self.about = About(
            config,
            home=stores.home,
            database=stores.database,
            telemetry=stores.telemetry,
            nodes=fleet.nodes,
            sessions=self._sessions,
            problems=problems(stores.damaged),
        )
        self.audit, self.nodes = fleet.audit, fleet.nodes
        self.tokens, self.logins, self.credentials = fleet.tokens, fleet.logins, fleet.credentials
        self.placements, self.placement_reports = fleet.placements, fleet.placement_reports
        self.commands, self.schedules, self.scripts = jobs.commands, jobs.schedules, jobs.scripts
        self.services, self.modules = services.services, modules.modules
        self.files, self.transfers = files.files, files.transfers
        self.messages, self.output = messages.messages, messages.output
        self.tables, self.tail = telemetry.tables, telemetry.tail
        self.queries, self.saved_queries = telemetry.queries, telemetry.saved_queries

    def _serve_link(
        self,
        assembly: ServerAssembly,
        context: Context,
        stores: Stores,
        *,
        fleet: FleetParts,
        telemetry: TelemetryParts,
    ) -> None:
        config = self.config
        wires: list[ServerWire] = [GrpcServerWire(config.link.address, connections=self.connections.link)]
        if config.link.https:
            wires.append(HttpsServerWire(config.link.https, connections=self.connections.link_https))
        self._sessions = Sessions(
            fleet.members,
            authority=stores.authority,
            wires=wires,
            topics=assembly.topics,
            store=telemetry.ingest.accept,
            names=config.link.names,
        )
        context.links.attach(self._sessions)
        admin = partial(fleet.tokens.write_local_admin, stores.home.admin_token, server=context.name)
        assembly.parts.add("token of the local administrator", start=admin)
        assembly.parts.add("link", start=self._sessions.start, close=self._sessions.stop)

    async def _offline_nodes(self, tables: Collection[str]) -> list[str]:
        return await self.modules.offline_nodes(tables)
