"""The times at which API tokens or logins were last used.

A use is noted in memory and written to the state store at most once a minute, all of them in one transaction: requests
never wait for it. A use that was not written when the server was killed is lost. This module never decides whether a
token or login is valid.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping

from sqlalchemy.ext.asyncio import AsyncConnection

from quarterdeck.model.errors import QuarterdeckError
from quarterdeck.store.state.database import Database

log = logging.getLogger(__name__)

#: between two writes to the state store
WRITE_S = 60.0


#: stores times by id, unless later ones are stored
Store = Callable[[AsyncConnection, Mapping[str, float]], Awaitable[None]]


class LastUses:
    """Notes uses, and writes them with `store` in its own task (`run`). `what` names the used things in the log."""

    def __init__(
        self,
        database: Database,
        store: Store,
        *,
        what: str,
        clock: Callable[[], float] = time.time,
        write_s: float = WRITE_S,
    ) -> None:
        self._database = database
        self._store = store
        self._what = what
        self._clock = clock
        self._write_s = write_s
        self._unwritten: dict[str, float] = {}  # by id
        self._noted = asyncio.Event()

    def note(self, used: str) -> None:
        """Note that what has this id was used now."""
        self._unwritten[used] = self._clock()
        self._noted.set()

    def latest(self, used: str, stored: float | None) -> float | None:
        """Return the time of the last use, which may be the stored one, or may not be written yet."""
        return max(stored or 0.0, self._unwritten.get(used, 0.0)) or None

    async def run(self) -> None:
        """Write the first use at once, and later ones `write_s` seconds after the previous write."""
        while True:
            await self._noted.wait()
            self._noted.clear()
            await self.write()
            await asyncio.sleep(self._write_s)

    async def write(self) -> None:
        """Write what is not written yet. An error is logged, and the same is tried again with the next write."""
        used = dict(self._unwritten)
        if not used:
            return
        try:
            async with self._database.write() as transaction:
                await self._store(transaction, used)
        except QuarterdeckError as error:
            log.warning("the last uses of %s could not be stored: %s", self._what, error)
            self._noted.set()
            return
        self._unwritten = {id_: at for id_, at in self._unwritten.items() if used.get(id_) != at}
