"""The Redis interface, put together: commands are taken, results and messages are delivered, each by its own task.

Owns these tasks and the name of this server in Redis. They never end because Redis is unreachable.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial

from quarterdeck.kit.tasks import keep
from quarterdeck.model.config import ServerConfig
from quarterdeck.server.audit import Audit
from quarterdeck.server.ingest.ingest import INSERTS
from quarterdeck.server.jobs.commands import Commands
from quarterdeck.server.jobs.ledger import COMMANDS
from quarterdeck.server.redis.connection import Connection, end
from quarterdeck.server.redis.messages import Messages
from quarterdeck.server.redis.queue import CommandQueue
from quarterdeck.server.redis.results import Results
from quarterdeck.server.signals import Signals
from quarterdeck.store.state.database import Database
from quarterdeck.store.telemetry.clickhouse import TelemetryStore


class Gateway:
    """The tasks of the interface. `name` distinguishes servers that use the same Redis, and survives restarts."""

    def __init__(
        self,
        config: ServerConfig,
        database: Database,
        store: TelemetryStore,
        *,
        commands: Commands,
        audit: Audit,
        signals: Signals,
        name: str,
    ) -> None:
        connection = Connection(config.redis.url)
        queue = CommandQueue(
            connection, database, commands=commands, audit=audit, server=name, results_s=config.redis.results_s
        )
        results = Results(connection, database, results_s=config.redis.results_s)
        messages = Messages(connection, store, server=name, kept=config.redis.log_messages, keep_s=config.redis.log_s)
        signals.listen(COMMANDS, results.told)
        signals.listen(INSERTS, messages.arrived)
        self._connection = connection
        self._work = {"commands": queue.work, "results": results.work, "messages": messages.work}
        self._tasks: Sequence[asyncio.Task[None]] = ()

    @property
    def address(self) -> str:
        """Return the address of Redis, without a password."""
        return self._connection.address

    async def start(self) -> None:
        """Start the tasks, whether Redis is reachable or not."""
        self._tasks = [
            asyncio.create_task(keep(f"{name} through Redis", partial(self._connection.keep, name, work)))
            for name, work in self._work.items()
        ]

    async def stop(self) -> None:
        """Stop the tasks. Commands that were taken but not stored yet are resumed at the next start."""
        await end(self._tasks)
        await self._connection.close()
