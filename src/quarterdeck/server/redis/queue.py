"""Takes commands from the list in Redis, so that each runs once, even if a process is killed in between.

Commands move from `cmds_queue` into this server's own list, are stored as commands in the state store, and are removed
from that list only then. A restarted server finds there the commands it had taken, and recognises those already stored
by their digests. Owns that list. It never delivers results: `results.py` does.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from quarterdeck.model.errors import AlreadyExists, BadInput, QuarterdeckError
from quarterdeck.model.jobs import JobState
from quarterdeck.model.queue import COMMANDS, REJECTED, REJECTED_KEPT, QueuedResult, RejectedCommand, results_of
from quarterdeck.model.tokens import ApiToken, Role
from quarterdeck.server.audit import Audit
from quarterdeck.server.jobs.commands import Commands
from quarterdeck.server.jobs.creator import Created
from quarterdeck.server.redis.connection import BLOCK_S, Connection, Said
from quarterdeck.server.redis.requests import Mistake, Request, read
from quarterdeck.store.state import redis as rows
from quarterdeck.store.state.audit import Entry
from quarterdeck.store.state.database import Database

log = logging.getLogger(__name__)

#: the action in the audit log, as of the API, and the actor: any client that may write to that Redis
ACTION = "createCommand"
ACTOR = ApiToken(id="", name="redis", role=Role.OPERATOR)
#: commands and bytes that are taken at a time
BATCH, BATCH_BYTES = 500, 8 * 1024 * 1024
#: bytes that are kept of an invalid command
_KEPT_BYTES = 2000

#: moves commands from the queue to the taken ones, up to a number and a size, and returns all taken ones
_TAKE = """
local size = 0
for _, found in ipairs(redis.call('LRANGE', KEYS[2], 0, ARGV[1] - 1)) do size = size + #found end
for _ = redis.call('LLEN', KEYS[2]) + 1, ARGV[1] do
    if size >= tonumber(ARGV[2]) then break end
    local found = redis.call('LMOVE', KEYS[1], KEYS[2], 'LEFT', 'RIGHT')
    if not found then break end
    size = size + #found
end
return redis.call('LRANGE', KEYS[2], 0, ARGV[1] - 1)
"""


class _Refusal(NamedTuple):
    """An entry that is refused. Without an id it can only be reported in the list of rejected commands."""

    id: str
    cmd: str
    code: str
    reason: str


class CommandQueue:
    """Takes commands as `server`, its name among those that use the same Redis; answers are kept for `results_s`."""

    def __init__(
        self,
        connection: Connection,
        database: Database,
        *,
        commands: Commands,
        audit: Audit,
        server: str,
        results_s: float,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._redis = connection
        self._database = database
        self._commands = commands
        self._audit = audit
        self._taken = f"{COMMANDS}.taken.{server}"
        self._results_s = max(1, int(results_s))
        self._clock = clock

    async def work(self) -> None:
        """Take the waiting commands, or block for a short time until there is one."""
        found: list[bytes] = await self._redis.run(_TAKE, (COMMANDS, self._taken), (BATCH, BATCH_BYTES))
        if found:
            for answer in await self._redis.say_all(await self._settle(found)):
                if isinstance(answer, Exception):
                    log.warning("Redis did not accept an answer to a command: %s", answer)
        else:
            await self._redis.say("BLMOVE", COMMANDS, self._taken, "LEFT", "RIGHT", BLOCK_S)

    async def _settle(self, found: Sequence[bytes]) -> list[Said]:
        """Create commands from these entries; return the Redis commands that then follow, all of them or none."""
        parsed = [read(each) for each in found]
        requests = [each for each in parsed if isinstance(each, Request)]
        answers = iter(await self._create(requests))
        refusals = [
            _Refusal(each.id, "", BadInput.code, each.reason) if isinstance(each, Mistake) else next(answers)
            for each in parsed
        ]
        known = await self._record([refusal for refusal in refusals if refusal is not None])
        said: list[Said] = []
        for raw, each, refusal in zip(found, parsed, refusals, strict=True):
            digest = each.digest if isinstance(each, Request) else None
            if refusal is not None and known.get(refusal.id, "") != digest:
                said += self._reject(raw, refusal.reason) if refusal.id in known else self._answer(raw, refusal)
            said.append(("LREM", self._taken, 1, raw))
        return said

    # ── valid commands ───────────────────────────────────────────────────────────────────────────────────────────────
    async def _create(self, requests: Sequence[Request]) -> Sequence[_Refusal | None]:
        if not requests:
            return ()
        try:
            errors = await self._store(requests)
        except QuarterdeckError:
            raise
        except Exception as error:
            log.exception("%d commands from Redis could not be stored", len(requests))
            if len(requests) == 1:
                errors = [QuarterdeckError(f"The command could not be stored because of an internal error: {error}.")]
            else:  # create all but the one that fails
                return [answer for request in requests for answer in await self._create([request])]
        return [
            None if error is None else _Refusal(request.create.id, request.create.cmd, error.code, str(error))
            for request, error in zip(requests, errors, strict=True)
        ]

    async def _store(self, requests: Sequence[Request]) -> Sequence[QuarterdeckError | None]:
        async def store_more(transaction: AsyncConnection, created: Sequence[Created]) -> None:
            await rows.add_all(
                transaction,
                {
                    number: rows.Queued(requests[position].digest, requests[position].tags, jobs)
                    for position, number, jobs in created
                },
            )

        asked = [request.create for request in requests]
        return await self._commands.create_all(asked, ACTOR, action=ACTION, store_more=store_more)

    # ── refused entries ──────────────────────────────────────────────────────────────────────────────────────────────
    async def _record(self, refusals: Sequence[_Refusal]) -> Mapping[str, str]:
        """Write audit entries of refusals; return the digests of the existing commands whose ids they name."""
        if not refusals:
            return {}
        ids = [refusal.id for refusal in refusals if refusal.id]
        async with self._database.write() as transaction:
            refused = [each for each in refusals if each.code != AlreadyExists.code]
            entries = [_entry(each.id, result=each.code, detail=each.reason) for each in refused]
            await self._audit.add(transaction, entries)
            return await rows.find_digests(transaction, ids)

    def _answer(self, raw: bytes, refusal: _Refusal) -> list[Said]:
        """Return the Redis commands for the result of a refused command, or for its rejection if it has no id."""
        if not refusal.id:
            return self._reject(raw, refusal.reason)
        result = QueuedResult(id=refusal.id, cmd=refusal.cmd, state=JobState.ERROR, reason=refusal.reason)
        name = results_of(refusal.id)
        return [("RPUSH", name, msgspec.json.encode(result)), ("EXPIRE", name, self._results_s)]

    def _reject(self, raw: bytes, reason: str) -> list[Said]:
        found = raw[:_KEPT_BYTES].decode(errors="replace")
        log.warning("an entry in %s of Redis was rejected: %s", COMMANDS, reason)
        entry = msgspec.json.encode(RejectedCommand(time=self._clock(), reason=reason, command=found))
        return [("RPUSH", REJECTED, entry), ("LTRIM", REJECTED, -REJECTED_KEPT, -1)]


def _entry(target: str, *, result: str = "ok", detail: str) -> Entry:
    return Entry(ACTOR.name, ACTOR.role, ACTION, target, result, detail)
