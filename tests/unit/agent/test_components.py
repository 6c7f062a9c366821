"""Components: one part's crash is its own affair."""

from __future__ import annotations

import asyncio

import pytest

from quarterdeck.agent.components import Components
from tests.support import until


async def test_a_part_that_crashes_is_restarted_and_the_others_never_notice(caplog: pytest.LogCaptureFixture) -> None:
    crashes, ends, steady = [0], [0], [0]

    async def crash() -> None:
        crashes[0] += 1
        raise ValueError("broken")

    async def end() -> None:
        ends[0] += 1

    async def forever() -> None:
        steady[0] += 1
        await asyncio.Event().wait()

    components = Components(backoff_s=0.001)
    components.start("crash", crash)
    components.start("end", end)
    components.start("steady", forever)
    await until(lambda: crashes[0] > 3 and ends[0] > 3)
    await components.stop()
    assert steady[0] == 1
    assert "'crash' crashed" in caplog.text
    assert "ValueError: broken" in caplog.text
    before = crashes[0]
    await asyncio.sleep(0.05)
    assert crashes[0] == before
