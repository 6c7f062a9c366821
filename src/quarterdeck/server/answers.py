"""Memory of answers that wait to be read, bounded so that clients that do not read cannot exhaust it.

An answer counts from its creation until nothing refers to it any more, however its request ended (one that
nobody reads is cancelled, see `api.send_timeout`). A token that has more than its share waiting starts no further query
until some of it was read. This module does not depend on queries.
"""

from __future__ import annotations

import asyncio
import weakref
from collections import Counter
from contextlib import suppress

from quarterdeck.model.tokens import ApiToken, Role

_OF_TOKEN = 0.5


class Answers:
    """Counts the bytes of waiting answers: at most `limit_bytes` for viewers, the same for all others, half per token.

    The limit is checked before a query runs. The answers of queries that were admitted can exceed it.
    """

    def __init__(self, limit_bytes: int) -> None:
        self._limit = limit_bytes
        self._held = Counter[str]()  # bytes, by token id
        self._of = Counter[bool]()  # bytes, by whether the token is a viewer's
        self._news = asyncio.Event()

    async def room(self, token: ApiToken) -> None:
        """Wait until this token may start a query."""
        while not self.may_ask(token):
            self._news.clear()
            await self._news.wait()

    def hold(self, answer: object, size: int, token: ApiToken) -> None:
        """Count the answer until it is garbage-collected. Call it in the event loop."""
        self._add(size, token)
        weakref.finalize(answer, self._gone, asyncio.get_running_loop(), size, token).atexit = False

    def may_ask(self, token: ApiToken) -> bool:
        """Return whether this token, and all tokens of its kind together, are within their shares."""
        return self._of[token.role is Role.VIEWER] < self._limit and self._held[token.id] < self._limit * _OF_TOKEN

    def _add(self, size: int, token: ApiToken) -> None:
        self._held[token.id] += size
        self._held += Counter()  # removes counts of zero
        self._of[token.role is Role.VIEWER] += size

    def _gone(self, loop: asyncio.AbstractEventLoop, size: int, token: ApiToken) -> None:
        """Release the answer's bytes, in whichever thread the last reference was dropped."""
        with suppress(RuntimeError):  # the event loop is closed: nothing waits any more
            loop.call_soon_threadsafe(self._freed, size, token)

    def _freed(self, size: int, token: ApiToken) -> None:
        self._add(-size, token)
        self._news.set()
