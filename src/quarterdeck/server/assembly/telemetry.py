"""Telemetry: its tables, the ingest of batches, queries and those that are saved, and live tails."""

from __future__ import annotations

from functools import partial

from quarterdeck.server.assembly.context import Context, ServerAssembly
from quarterdeck.server.assembly.stores import Stores
from quarterdeck.server.damage import count_damage
from quarterdeck.server.ingest.ingest import INSERTS, Ingest
from quarterdeck.server.ingest.inserts import Inserts
from quarterdeck.server.queries import Offline, Queries
from quarterdeck.server.saved_queries import SavedQueries
from quarterdeck.server.tables import Tables
from quarterdeck.server.tail import Tail


class TelemetryParts:
    """Readers are registered before ingest: they close after the last insert. `offline` names nodes that are away."""

    def __init__(self, assembly: ServerAssembly, context: Context, stores: Stores, *, offline: Offline) -> None:
        store, config, signals = stores.telemetry, context.config, context.signals
        self.tables = Tables(store, stores.journal)
        self.tail = Tail(store, self.tables)
        self.queries = Queries(store, self.tables, offline=offline, memory=stores.memory)
        self.saved_queries = SavedQueries(context.database, clock=context.clock)
        self.ingest = Ingest(
            Inserts(store, stores.journal),
            self.tables,
            signals=signals,
            interval_s=config.ingest.interval_s,
            rows=config.ingest.rows,
            limit_bytes=stores.memory.insert_bytes,
        )
        signals.listen(INSERTS, self.tail.arrived)
        signals.listen(INSERTS, self.queries.arrived)
        parts = assembly.parts
        parts.add("tables", start=self.tables.start)
        parts.add("live tails", close=self.tail.stop)
        parts.add("queries", close=self.queries.stop)
        parts.add("ingest", start=self.ingest.start, close=self.ingest.stop)
        damage = partial(count_damage, stores.damaged, self.ingest, gid=config.gid)
        parts.add("damaged telemetry", run=damage, once=True)
