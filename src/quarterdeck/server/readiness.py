"""Readiness of the stores: checked at intervals, however often it is requested."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable

from quarterdeck.model.errors import QuarterdeckError, Unavailable

#: how long a result is valid
BELIEVED_S = 1.0
#: how long a store may take to answer
_TIMEOUT_S = 10.0


class Readiness:
    """Calls `look`, which raises an error if a store is not ready, and caches its result.

    Any client may request it without a token, so requests must not reach the stores each time.
    """

    def __init__(self, look: Callable[[], Awaitable[None]], *, clock: Callable[[], float] = time.monotonic) -> None:
        self._look = look
        self._clock = clock
        self._looking = asyncio.Lock()
        self._found: QuarterdeckError | None = None
        self._found_at = -math.inf

    async def __call__(self) -> None:
        """Raise the error of the last check, if any: `Unavailable` or one of its kinds."""
        async with self._looking:
            if self._clock() - self._found_at >= BELIEVED_S:
                self._found = await self._find()
                self._found_at = self._clock()
        if self._found is not None:
            raise self._found

    async def _find(self) -> QuarterdeckError | None:
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                await self._look()
        except QuarterdeckError as error:
            return error
        except TimeoutError:
            return Unavailable(f"A store did not answer within {_TIMEOUT_S:.0f} s.")
        return None
