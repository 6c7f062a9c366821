"""Slots: which queries run now and which wait, so that no token can block all others.

The number of running queries is limited, with lower limits for one token and for viewers, so that an operator of the
server can always run one. This module does not depend on queries.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from quarterdeck.model.errors import TooMany
from quarterdeck.model.tokens import ApiToken, Role


@dataclass(frozen=True, slots=True, eq=False)
class _Waiting:
    token: ApiToken
    turn: asyncio.Future[None]


class Slots:
    """`total` slots, of which viewers together may hold `of_viewers`, and one token `of_token`."""

    def __init__(self, total: int, *, of_viewers: int, of_token: int, waiting_of_token: int) -> None:
        self._total, self._of_viewers, self._of_token = total, of_viewers, of_token
        self._waiting_of_token = waiting_of_token
        self._taken = Counter[str]()  # by token id
        self._viewers = 0
        self._waiting: deque[_Waiting] = deque()

    @asynccontextmanager
    async def slot(self, token: ApiToken) -> AsyncGenerator[None]:
        """Wait for this token's turn and hold one slot; raise `TooMany` when too many of its queries wait already."""
        await self._take(token)
        try:
            yield
        finally:
            self._give_back(token)

    async def _take(self, token: ApiToken) -> None:
        if sum(waiting.token.id == token.id for waiting in self._waiting) >= self._waiting_of_token:
            raise TooMany(
                f"{self._waiting_of_token} queries of the token '{token.name}' are waiting already.",
                hint="Try again when some of them have finished.",
            )
        mine = _Waiting(token, asyncio.get_running_loop().create_future())
        self._waiting.append(mine)
        self._admit()
        try:
            await mine.turn
        except asyncio.CancelledError:
            if mine.turn.done() and not mine.turn.cancelled():
                self._give_back(token)
            else:
                self._waiting.remove(mine)
            raise

    def _give_back(self, token: ApiToken) -> None:
        self._taken[token.id] -= 1
        self._taken += Counter()  # removes counts of zero
        self._viewers -= token.role is Role.VIEWER
        self._admit()

    def _admit(self) -> None:
        """Admit waiting queries in the order in which they came."""
        for waiting in [each for each in self._waiting if not each.turn.done()]:
            if self._may_begin(waiting.token):
                self._taken[waiting.token.id] += 1
                self._viewers += waiting.token.role is Role.VIEWER
                self._waiting.remove(waiting)
                waiting.turn.set_result(None)

    def _may_begin(self, token: ApiToken) -> bool:
        free = self._taken.total() < self._total and self._taken[token.id] < self._of_token
        return free and (token.role is not Role.VIEWER or self._viewers < self._of_viewers)
