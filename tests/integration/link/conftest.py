"""A server of the link over a fleet in memory: real gRPC, real TLS, a free port."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from quarterdeck.testing.link import LinkServer


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[LinkServer]:
    async with LinkServer(tmp_path / "server") as running:
        yield running
