"""The stores of a server: its folder, the state, the telemetry, and the CA whose key is beside them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import NamedTuple

from quarterdeck.kit.parts import Parts
from quarterdeck.model.config import ServerConfig
from quarterdeck.server.ca import CertificateAuthority
from quarterdeck.server.damage import problems
from quarterdeck.server.founding import open_authority
from quarterdeck.server.home import Home
from quarterdeck.server.memory import Memory, available_bytes
from quarterdeck.store.state.database import Database
from quarterdeck.store.state.ingest import IngestJournal
from quarterdeck.store.telemetry.clickhouse import TelemetryStore, open_store
from quarterdeck.store.telemetry.damage import Damage, find_damage

log = logging.getLogger(__name__)


class Stores(NamedTuple):
    """Open stores; `damaged` is what was found of the telemetry."""

    home: Home
    memory: Memory
    database: Database
    authority: CertificateAuthority
    telemetry: TelemetryStore
    journal: IngestJournal
    damaged: Sequence[Damage]


async def open_stores(parts: Parts, config: ServerConfig) -> Stores:
    """Open the stores; what was opened is closed with `parts`, also when a later one fails.

    Raise `Conflict` (the home is in use), `BadConfig`, `StorageCorrupt`, `Unavailable`.
    """
    memory = Memory.of(config, available_bytes())
    home = await asyncio.to_thread(Home, config.home)
    parts.add("home", close=lambda: asyncio.to_thread(home.release))
    database = await Database.open(config.state_url or f"sqlite:///{home.state}")
    parts.add("state store", close=database.close)
    authority = await open_authority(database, home.folder, certificate_days=config.link.certificate_days)
    telemetry = await asyncio.to_thread(
        lambda: open_store(url=config.telemetry_url, path=home.telemetry, memory_bytes=memory.store_bytes)
    )
    parts.add("telemetry store", close=lambda: asyncio.to_thread(telemetry.close))
    journal = IngestJournal(database)
    damaged = await asyncio.to_thread(find_damage, telemetry, await journal.tables())
    for problem in problems(damaged):
        log.error("%s", problem)
    return Stores(home, memory, database, authority, telemetry, journal, damaged)
