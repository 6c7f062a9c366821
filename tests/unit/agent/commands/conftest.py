"""A node that puts and gets files, as a fixture."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from quarterdeck.model.jobs import CreateCommand
from quarterdeck.store.state.database import Database
from tests.services import Services
from tests.state import sqlite_url
from tests.unit.agent.commands.file_node import OPERATOR, Node


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[Node]:
    """A node that has been asked for a file."""
    database = await Database.open(sqlite_url(tmp_path))
    services = Services(database, tmp_path)
    agent = await services.join("web-1")
    await services.commands.create(CreateCommand(id="job", cmd="get_file", args={"path": "/x"}), OPERATOR)
    made = Node(tmp_path, services, agent)
    made.link()
    yield made
    await made.cut()
    await database.close()
