"""The server's connection to Redis: reconnected without limit, with each problem logged once.

Owns the client and the pauses between attempts. It never repeats a command, because Redis may have executed it although
the answer was lost: the caller checks what Redis has.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, cast

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import BusyLoadingError, ConnectionError, RedisError, TimeoutError  # noqa: A004

from quarterdeck.kit.backoff import Backoff
from quarterdeck.model.errors import BadConfig, Unavailable

log = logging.getLogger(__name__)

#: the longest time that a command blocks in Redis, in seconds
BLOCK_S = 5
#: seconds for an answer, in addition
_ANSWER_S = 10
#: seconds between attempts: at first, and at most
_BACKOFF = Backoff(0.1, 5.0)
#: seconds after which a task that ignored its cancellation is cancelled again
_CANCEL_AGAIN_S = 0.5

#: one command with its arguments
Said = tuple[str | bytes | float, ...]
_AWAY = (ConnectionError, TimeoutError, BusyLoadingError, OSError)


class Connection:
    """A connection to one Redis by its URL, or by host:port. Raise `BadConfig` when the URL is invalid."""

    def __init__(self, url: str) -> None:
        self._client = _client(url)
        self.address = _address(self._client)  #: without a password
        self._troubles: dict[
            str, str
        ] = {}  # task → why it cannot continue; "" is all tasks, because Redis is unreachable
        self._scripts: dict[str, str] = {}  # source → its hash in Redis

    async def close(self) -> None:
        """Close the connection."""
        await self._client.aclose()

    async def say(self, *words: str | bytes | float) -> Any:
        """Send one command and return the answer of Redis."""
        answer = await cast("Any", self._client).execute_command(*words)
        self._answered()
        return answer

    async def say_all(self, commands: Sequence[Said]) -> list[Any]:
        """Send commands that are executed all or not at all; return their answers, which may be a `RedisError`."""
        async with self._client.pipeline(transaction=True) as pipeline:
            for words in commands:
                cast("Any", pipeline).execute_command(*words)
            answers = await pipeline.execute(raise_on_error=False)
        self._answered()
        return answers

    async def run(self, script: str, keys: Sequence[str], arguments: Sequence[str | bytes | int]) -> Any:
        """Run a script, which is executed as a whole or not at all."""
        if script not in self._scripts:
            self._scripts[script] = await self.say("SCRIPT", "LOAD", script)
        words = (len(keys), *keys, *arguments)
        try:
            return await self.say("EVALSHA", self._scripts[script], *words)
        except RedisError as error:
            if not str(error).startswith(("NOSCRIPT", "No matching script")):
                raise
            return await self.say("EVAL", script, *words)  # Redis was restarted: this loads the script too

    # ── retrying ─────────────────────────────────────────────────────────────────────────────────────────────────────
    async def keep(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        """Run `work` repeatedly until cancelled; pause after a failure, longer each time."""
        failures = 0
        while True:
            try:
                await work()
            except (RedisError, OSError, Unavailable) as error:
                self._failed(name, error)
            except Exception:
                log.exception("%s through Redis failed; it will be retried", name)
            else:
                failures = 0
                self._went_well(name)
                continue
            failures += 1
            await asyncio.sleep(_BACKOFF.pause_s(failures, random.random()))  # noqa: S311

    def _failed(self, name: str, error: Exception) -> None:
        who = "" if isinstance(error, _AWAY) else name
        words = str(error) or type(error).__name__
        if who not in self._troubles:
            if who == "":
                log.warning("Redis at %s does not answer; data for it waits: %s", self.address, words)
            else:
                log.warning("%s through Redis at %s cannot continue now: %s", name, self.address, words)
        self._troubles[who] = words

    def _answered(self) -> None:
        if self._troubles.pop("", ""):
            log.info("Redis at %s answers again", self.address)

    def _went_well(self, name: str) -> None:
        if self._troubles.pop(name, ""):
            log.info("%s through Redis at %s continue", name, self.address)


async def end(tasks: Iterable[asyncio.Task[None]]) -> None:
    """Cancel tasks that talk to Redis until they have ended: the client may lose a cancellation to an answer."""
    left = set(tasks)
    while left:
        for task in left:
            task.cancel()
        _, left = await asyncio.wait(left, timeout=_CANCEL_AGAIN_S)


def _client(url: str) -> Redis:
    hint = "Write redis://:PASSWORD@HOST:PORT/DB, rediss://… for TLS, or unix:///PATH."
    try:
        client: Redis = cast("Any", Redis).from_url(
            url if "://" in url else f"redis://{url}",
            retry=Retry(NoBackoff(), 0),
            socket_timeout=BLOCK_S + _ANSWER_S,
            socket_connect_timeout=_ANSWER_S,
            decode_responses=False,
        )
    except (ValueError, TypeError) as error:  # its text may contain the URL with the password
        raise BadConfig("The URL of Redis (server.redis, QD_REDIS) is invalid.", hint=hint) from error
    return client


def _address(client: Redis) -> str:
    told: dict[str, Any] = client.connection_pool.connection_kwargs
    return str(told.get("path") or f"{told.get('host', 'localhost')}:{told.get('port', 6379)}")
