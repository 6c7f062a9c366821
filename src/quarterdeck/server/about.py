"""The server's information about itself: version, addresses, stores, faults, and whether it is ready.

It owns the address of the API, which is known only once the API listens. It never changes what it reports on.
"""

from __future__ import annotations

import asyncio
import time

from quarterdeck import __version__
from quarterdeck.link.messages import PROTOCOL_VERSION
from quarterdeck.model.config import ServerConfig
from quarterdeck.model.errors import Unavailable
from quarterdeck.model.server import ServerInfo
from quarterdeck.server.home import Home
from quarterdeck.server.nodes import Nodes
from quarterdeck.server.readiness import Readiness
from quarterdeck.server.sessions.sessions import Sessions
from quarterdeck.store.state.database import Database
from quarterdeck.store.telemetry.clickhouse import TelemetryStore


class About:
    """Information about the server that has these services. `problems` are faults that need an operator."""

    def __init__(
        self,
        config: ServerConfig,
        *,
        home: Home,
        database: Database,
        telemetry: TelemetryStore,
        nodes: Nodes,
        sessions: Sessions,
        problems: tuple[str, ...],
    ) -> None:
        self.problems = problems
        self._link_https = config.link.https
        self._http = config.http
        self._home = home
        self._database = database
        self._telemetry = telemetry
        self._nodes = nodes
        self._sessions = sessions
        self._readiness = Readiness(self._look_whether_ready)
        self._started_at = 0.0

    def started(self) -> None:
        """Take the present time as the time of the start."""
        self._started_at = time.time()

    async def publish(self, http: str) -> None:
        """Publish the address of the API for this machine's CLI."""
        self._http = http
        await asyncio.to_thread(self._home.publish, http)

    async def info(self) -> ServerInfo:
        """Return version, addresses and stores."""
        nodes, online = await self._nodes.count()
        return ServerInfo(
            version=__version__,
            protocol=PROTOCOL_VERSION,
            link=self._sessions.addresses[0],
            link_https=self._sessions.addresses[1] if self._link_https else "",
            http=self._http,
            state_store=self._database.kind,
            telemetry_store=self._telemetry.kind,
            started_at=self._started_at,
            nodes=nodes,
            nodes_online=online,
            problems=self.problems,
        )

    async def check_ready(self) -> None:
        """Raise `Unavailable` unless both stores answer and the state can be changed."""
        await self._readiness()

    async def _look_whether_ready(self) -> None:
        await self._database.check_writable()
        if not await asyncio.to_thread(self._telemetry.healthy):
            raise Unavailable("The telemetry store does not answer.")
