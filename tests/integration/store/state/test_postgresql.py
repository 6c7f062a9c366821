"""What the state store promises on SQLite, it promises on PostgreSQL: the same tests against a real one."""

import asyncpg
import pytest
from sqlalchemy import insert, text

from quarterdeck.model.errors import Unavailable
from quarterdeck.store.state.database import Database
from quarterdeck.store.state.schema import audit
from tests.state import POSTGRESQL
from tests.unit.store.state.test_database import *  # noqa: F403
from tests.unit.store.state.test_database import ENTRY, count
from tests.unit.store.state.test_ingest import *  # noqa: F403
from tests.unit.store.state.test_upgrade import *  # noqa: F403


async def test_lost_connections_are_said_and_made_again(database: Database) -> None:
    async def lose_the_connection() -> None:
        async with database.write() as transaction:
            own = (await transaction.execute(text("SELECT pg_backend_pid()"))).scalar_one()
            admin = await asyncpg.connect(f"{POSTGRESQL}/postgres")
            await admin.execute("SELECT pg_terminate_backend($1)", own)
            await admin.close()
            await transaction.execute(insert(audit).values(ENTRY))

    with pytest.raises(Unavailable):
        await lose_the_connection()
    assert await count(database) == 0
    async with database.write() as transaction:
        await transaction.execute(insert(audit).values(ENTRY))
    assert await count(database) == 1


async def test_a_database_that_is_not_there_is_said(state_url: str) -> None:
    with pytest.raises(Unavailable, match="does not exist"):
        await Database.open(f"{state_url}_not")
