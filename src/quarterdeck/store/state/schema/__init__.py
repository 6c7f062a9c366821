"""The tables of the state store, one file a noun, each with its columns and keys.

They hold no statements: those are in the module of the noun, one folder up.

Columns hold the values that queries search; values that are only read back are one struct in JSON. Times are seconds
since the epoch.
The migrations in `migrations/` build exactly these tables: a test compares the two.
"""

from quarterdeck.store.state.schema.agents import agent
from quarterdeck.store.state.schema.artefacts import artefact, build
from quarterdeck.store.state.schema.audit import audit
from quarterdeck.store.state.schema.commands import command
from quarterdeck.store.state.schema.fleet import fleet
from quarterdeck.store.state.schema.ingest import ingest_batch, ingest_group
from quarterdeck.store.state.schema.jobs import job
from quarterdeck.store.state.schema.logins import login, sign_in_code
from quarterdeck.store.state.schema.metadata import metadata
from quarterdeck.store.state.schema.modules import module
from quarterdeck.store.state.schema.nodes import grid, node
from quarterdeck.store.state.schema.placements import placement
from quarterdeck.store.state.schema.redis import redis_command
from quarterdeck.store.state.schema.saved_queries import saved_query
from quarterdeck.store.state.schema.schedules import schedule
from quarterdeck.store.state.schema.scripts import script
from quarterdeck.store.state.schema.services import service
from quarterdeck.store.state.schema.tables import table_schema
from quarterdeck.store.state.schema.tokens import api_token, join_token

__all__ = [
    "agent",
    "api_token",
    "artefact",
    "audit",
    "build",
    "command",
    "fleet",
    "grid",
    "ingest_batch",
    "ingest_group",
    "job",
    "join_token",
    "login",
    "metadata",
    "module",
    "node",
    "placement",
    "redis_command",
    "saved_query",
    "schedule",
    "script",
    "service",
    "sign_in_code",
    "table_schema",
]
