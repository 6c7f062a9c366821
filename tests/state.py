"""State stores for tests: SQLite in a folder of the test's own, PostgreSQL in a database of the test's own."""

from __future__ import annotations

import os
import secrets
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg

from tests.support import require

#: a PostgreSQL server on which databases may be made and dropped
POSTGRESQL = os.environ.get("QD_TEST_POSTGRESQL", "postgresql://postgres@127.0.0.1:5432")


def sqlite_url(folder: Path) -> str:
    """The URL of a store in `folder`."""
    return f"sqlite:///{folder / 'state.db'}"


@asynccontextmanager
async def postgresql_url() -> AsyncGenerator[str]:
    """The URL of an empty database, dropped afterwards."""
    try:
        admin = await asyncpg.connect(f"{POSTGRESQL}/postgres")
    except (OSError, asyncpg.PostgresError) as error:
        require(condition=False, reason=f"PostgreSQL at {POSTGRESQL} does not answer: {error}")
        raise
    name = f"qd_test_{secrets.token_hex(6)}"
    try:
        await admin.execute(f"CREATE DATABASE {name}")
        yield f"{POSTGRESQL}/{name}"
    finally:
        await admin.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        await admin.close()
