from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from quarterdeck.store.state.database import Database
from tests.services import Services
from tests.state import sqlite_url


@pytest.fixture
async def state_url(tmp_path: Path) -> str:
    return sqlite_url(tmp_path)


@pytest.fixture
async def database(state_url: str) -> AsyncGenerator[Database]:
    opened = await Database.open(state_url)
    yield opened
    await opened.close()


@pytest.fixture
def fleet(database: Database, tmp_path: Path) -> Services:
    return Services(database, tmp_path)
