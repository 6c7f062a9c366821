"""Puts each result of a command that came through Redis into the list of that command, once.

The state store records which results were delivered. A result that was delivered by a server that was killed before it
recorded this is recognised by a mark in Redis, which is set together with the result. So each result is delivered once,
as long as Redis does not lose data. While Redis is unreachable, results wait in the state store. This module never
changes a job.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Sequence

import msgspec

from quarterdeck.kit.race import within
from quarterdeck.model.jobs import JobResult
from quarterdeck.model.queue import COMMANDS, QueuedResult, results_of
from quarterdeck.server.redis.connection import Connection
from quarterdeck.store.state import redis as rows
from quarterdeck.store.state.database import Database
from quarterdeck.store.state.jobs import LOOKUP_ROWS
from quarterdeck.store.state.redis import Undelivered

log = logging.getLogger(__name__)

#: results that are delivered at a time
BATCH = 200
#: seconds between looks for results of which this server was not notified: of other servers, or after a restart
LOOK_S = 30.0

#: takes a list and a mark for each result; returns how many could not be stored because their keys have other types
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
    """Delivers results, which Redis keeps for `results_s`."""

    def __init__(self, connection: Connection, database: Database, *, results_s: float) -> None:
        self._redis = connection
        self._database = database
        self._results_s = max(1, int(results_s))
        self._news = asyncio.Event()
        self._numbers: set[int] = set()
        self._all = True  # whether other commands than these may have results

    def told(self, numbers: Iterable[int]) -> None:
        """Note that jobs of these commands have changed."""
        self._numbers.update(numbers)
        if len(self._numbers) > LOOKUP_ROWS:
            self._all = True
        if self._all:
            self._numbers.clear()
        self._news.set()

    async def work(self) -> None:
        """Deliver the waiting results, or wait until there is one."""
        if not (self._all or self._numbers):
            await within(LOOK_S, self._news.wait())
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
            log.warning("%d results cannot be stored in Redis: the keys of their lists have another type", refused)
        changes = {each.command: each.change for each in found}  # the last change of each, as they are in order
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
