"""Puts each result of a command that came through Redis into the list of that command, once.

What Redis has is kept in the state store; what was put there by a server that was killed before it could note it, Redis
itself knows by a mark that is set together with the result. So a result is there once, as long as Redis keeps what it
was given. While Redis is away, results wait in the state store.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Iterable, Sequence

import msgspec

from quarterdeck.model.jobs import JobResult
from quarterdeck.model.queue import COMMANDS, QueuedResult, results_of
from quarterdeck.server.redis.connection import Connection
from quarterdeck.store.state import redis as rows
from quarterdeck.store.state.database import Database
from quarterdeck.store.state.jobs import LOOKUP_ROWS
from quarterdeck.store.state.redis import Undelivered

log = logging.getLogger(__name__)

#: results that are put there at one time
BATCH = 200
#: how often it is looked for results of which nobody told, in seconds: of other servers, or after a restart
LOOK_S = 30.0

#: for each result its list and its mark; answers how many there was no place for
_PUT = """
local refused = 0
for i = 1, #KEYS, 2 do
    local list, mark = redis.call('TYPE', KEYS[i]).ok, redis.call('TYPE', KEYS[i + 1]).ok
    if (list ~= 'none' and list ~= 'list') or (mark ~= 'none' and mark ~= 'set') then
        refused = refused + 1
    elseif redis.call('SADD', KEYS[i + 1], ARGV[i + 1]) == 1 then
        redis.call('RPUSH', KEYS[i], ARGV[i + 2])
        redis.call('EXPIRE', KEYS[i], ARGV[1])
        redis.call('EXPIRE', KEYS[i + 1], ARGV[1])
    end
end
return refused
"""


class Results:
    """`told` is to listen to the ledger; `results_s` is how long a result waits in Redis."""

    def __init__(self, connection: Connection, database: Database, *, results_s: float) -> None:
        self._redis = connection
        self._database = database
        self._results_s = max(1, int(results_s))
        self._news = asyncio.Event()
        self._numbers: set[int] = set()
        self._all = True  # whether there may be results of other commands than these

    def told(self, numbers: Iterable[int]) -> None:
        """Jobs of these commands have changed: a listener of the ledger."""
        self._numbers.update(numbers)
        if len(self._numbers) > LOOKUP_ROWS:
            self._all = True
        if self._all:
            self._numbers.clear()
        self._news.set()

    async def work(self) -> None:
        """Delivers what there is, or waits until there is something."""
        if not (self._all or self._numbers):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_S):
                    await self._news.wait()
            self._all = self._all or not self._numbers
        self._news.clear()
        numbers, self._numbers, every, self._all = self._numbers, set(), self._all, False
        try:
            more = await self._deliver(None if every else sorted(numbers))
        except BaseException:
            self._all = True
            raise
        if more:
            self._all, self._numbers = self._all or every, self._numbers | numbers

    async def _deliver(self, numbers: Sequence[int] | None) -> bool:
        async with self._database.read() as transaction:
            found = await rows.find_undelivered(transaction, numbers=numbers, limit=BATCH)
        if not found:
            return False
        keys = [key for each in found for key in (results_of(each.id), f"{COMMANDS}.sent.{each.id}")]
        values = [value for each in found for value in (f"{each.gid}/{each.nid}", _encode(each))]
        refused = await self._redis.run(_PUT, keys, (self._results_s, *values))
        if refused:
            log.warning("%d results have no place in Redis: under the name of their list is something else", refused)
        changes = {each.command: each.change for each in found}  # the last of each: they are in this order
        async with self._database.write() as transaction:
            await rows.set_delivered(transaction, changes)
        return len(found) == BATCH


def _encode(each: Undelivered) -> bytes:
    result = each.result or JobResult(id=each.id, state=each.state)
    return msgspec.json.encode(
        QueuedResult(
            id=each.id,
            gid=each.gid,
            nid=each.nid,
            cmd=each.cmd,
            args=each.args,
            data=result.data,
            state=each.state,
            time=result.time,
            starttime=result.starttime,
            level=result.level,
            code=result.code,
            reason=each.reason,
            critical=result.critical,
            streams=result.streams,
            tags=each.tags,
            jobs=each.jobs,
        )
    )
