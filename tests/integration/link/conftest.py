"""A server of the link over a fleet in memory: real TLS, a free port, over each wire."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from quarterdeck.link.address import Carrier
from quarterdeck.testing.link import LinkServer


@pytest.fixture(params=list(Carrier))
async def server(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[LinkServer]:
    async with LinkServer(tmp_path / "server", carrier=request.param) as running:
        yield running
