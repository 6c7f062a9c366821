"""A real keeper in a folder of its own, with cgroups and without; nothing of it is left behind."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from quarterdeck.agent.processes.cgroups import Cgroups
from tests.keeping import Kept


@pytest.fixture(params=["cgroups", "groups"])
async def kept(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Kept]:
    cgroups = Cgroups.detect(tmp_path) if request.param == "cgroups" else Cgroups({}, reason="the test wants none")
    kept = Kept(tmp_path / "keeper", cgroups)
    yield kept
    await kept.clean_up()
