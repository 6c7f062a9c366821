"""The way in through Redis, put together: commands come, results and messages go, each by a task of its own.

Owns these tasks and what this server is called in Redis. That Redis is away ends nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from quarterdeck.model.config import ServerConfig
from quarterdeck.server.audit import Audit
from quarterdeck.server.ingest.ingest import Ingest
from quarterdeck.server.jobs.commands import Commands
from quarterdeck.server.jobs.ledger import Ledger
from quarterdeck.server.redis.connection import Connection, end
from quarterdeck.server.redis.messages import Messages
from quarterdeck.server.redis.queue import CommandQueue
from quarterdeck.server.redis.results import Results
from quarterdeck.store.state.database import Database
from quarterdeck.store.telemetry.clickhouse import TelemetryStore


class Gateway:
    """`name` tells this server from others that use the same Redis, and is the same after a restart."""

    def __init__(
        self,
        config: ServerConfig,
        database: Database,
        store: TelemetryStore,
        *,
        commands: Commands,
        ledger: Ledger,
        audit: Audit,
        ingest: Ingest,
        name: str,
    ) -> None:
        connection = Connection(config.redis)
        queue = CommandQueue(
            connection, database, commands=commands, audit=audit, server=name, results_s=config.redis_results_s
        )
        results = Results(connection, database, results_s=config.redis_results_s)
        messages = Messages(connection, store, server=name, kept=config.redis_log_messages, keep_s=config.redis_log_s)
        ledger.listen(results.told)
        ingest.listen(messages.arrived)
        self._connection = connection
        self._work = {"commands": queue.work, "results": results.work, "messages": messages.work}
        self._tasks: Sequence[asyncio.Task[None]] = ()

    @property
    def address(self) -> str:
        """Where Redis is, without a password."""
        return self._connection.address

    def start(self) -> None:
        """Begins; Redis may be there or come later."""
        self._tasks = [
            asyncio.create_task(self._connection.keep(name, work), name=f"{name} through Redis")
            for name, work in self._work.items()
        ]

    async def stop(self) -> None:
        """Ends. What was taken and is no command yet is taken up at the next start."""
        await end(self._tasks)
        await self._connection.close()
