"""What the integration tests of the agent's programs share: a node's folder, of which nothing runs on afterwards."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from tests.node_life import clean_up


@pytest.fixture
async def home(tmp_path: Path) -> AsyncGenerator[Path]:
    folder = tmp_path / "node"
    await asyncio.to_thread(folder.mkdir)
    yield folder
    await clean_up(folder)
