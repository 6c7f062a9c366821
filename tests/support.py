"""What every test tier may use: stating what a test needs from the machine."""

from __future__ import annotations

import asyncio
import inspect
import os
from collections.abc import Callable

import pytest


def require(condition: object, reason: str) -> None:
    """Skip with `reason` unless `condition` holds; with QD_REQUIRE_ALL=1 (CI) that is a failure instead."""
    if condition:
        return
    if os.environ.get("QD_REQUIRE_ALL") == "1":
        pytest.fail(f"this machine must run every test, but: {reason}")
    pytest.skip(reason)


async def until(condition: Callable[[], object]) -> None:
    """Wait until `condition`, which may be a coroutine function, holds. How long is the test's own time limit."""
    while True:
        holds = condition()
        if await holds if inspect.isawaitable(holds) else holds:
            return
        await asyncio.sleep(0.01)
