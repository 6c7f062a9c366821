"""Credentials of what stays open: tells a live stream when the API token or the login that opened it has ended.

A revocation by this server is signalled, and a time of expiry is waited for. What another server revoked is found by a
look at the state store, one for everything that is open. This module never verifies a credential, and never closes
anything itself.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass

from quarterdeck.kit.race import within
from quarterdeck.model.errors import QuarterdeckError, TokenExpired, Unauthenticated
from quarterdeck.model.logins import Login
from quarterdeck.model.tokens import ApiToken
from quarterdeck.server.signals import Signal, Signals
from quarterdeck.store.state import logins, tokens
from quarterdeck.store.state.database import Database

log = logging.getLogger(__name__)

#: ids of API tokens and of logins that were revoked
REVOKED = Signal("credentials", str)
#: seconds between two looks at the state store, while anything is open
LOOK_S = 5.0

#: the reason why a credential has ended, once it has
Ended = asyncio.Future[QuarterdeckError]


@dataclass(frozen=True, eq=False)
class _Held:
    """The credential of something that is open."""

    token: ApiToken
    login: Login | None
    ended: Ended

    @property
    def expires_at(self) -> float:
        own = self.login.expires_at if self.login else float("inf")
        return own if self.token.expires_at is None else min(own, self.token.expires_at)


class Credentials:
    """Watches the credentials of everything that is open, in its own task (`run`)."""

    def __init__(
        self,
        database: Database,
        *,
        signals: Signals,
        clock: Callable[[], float] = time.time,
        look_s: float = LOOK_S,
    ) -> None:
        self._database = database
        self._clock = clock
        self._look_s = look_s
        self._looked_at = float("-inf")
        self._held: set[_Held] = set()
        self._news = asyncio.Event()
        self._revoked = False
        signals.listen(REVOKED, lambda _: self._changed())

    @contextmanager
    def held(self, token: ApiToken, login: Login | None) -> Generator[Ended]:
        """Watch a token, and the login if a browser uses it, until the context ends. The future tells why it ended."""
        held = _Held(token, login, asyncio.get_running_loop().create_future())
        self._held.add(held)
        self._news.set()
        try:
            yield held.ended
        finally:
            self._held.discard(held)

    async def run(self) -> None:
        """Run until cancelled: look when something was revoked, when something expires, and every `look_s`."""
        while True:
            in_time = await within(self._wait_s(), self._news.wait())
            self._news.clear()
            if in_time and not self._revoked:
                continue  # something was opened: the wait may be shorter from now on
            self._revoked = False
            try:
                await self.look()
            except QuarterdeckError as error:
                log.warning("whether the credentials of live streams are revoked cannot be read now: %s", error)

    async def look(self) -> None:
        """End what has expired, then what the state store has no more. Raise `Unavailable` when it cannot be read."""
        now = self._looked_at = self._clock()
        for held in tuple(self._held):
            if held.expires_at <= now:
                self._end(held, _expired(held, now))
        if not (open_ := tuple(self._held)):
            return
        async with self._database.read() as transaction:
            valid = await tokens.find_ids_api(transaction, {held.token.id for held in open_})
            signed_in = await logins.find_ids(transaction, {held.login.id for held in open_ if held.login})
        for held in open_:
            if held.token.id not in valid:
                self._end(held, Unauthenticated(f"The API token '{held.token.name}' was revoked."))
            elif held.login and held.login.id not in signed_in:
                self._end(held, Unauthenticated("This browser was signed out.", hint="Sign in again: `qd ui`."))

    def _changed(self) -> None:
        self._revoked = True
        self._news.set()

    def _wait_s(self) -> float | None:
        """Return the seconds until the next look; None while nothing is open."""
        if not self._held:
            return None
        now = self._clock()
        due = min(self._looked_at + self._look_s, *(held.expires_at for held in self._held))
        return min(self._look_s, max(0.0, due - now))  # the clock may have been set back

    def _end(self, held: _Held, error: QuarterdeckError) -> None:
        self._held.discard(held)
        if not held.ended.done():
            held.ended.set_result(error)


def _expired(held: _Held, now: float) -> QuarterdeckError:
    if held.token.expires_at is not None and held.token.expires_at <= now:
        return TokenExpired(f"The API token '{held.token.name}' has expired.", hint="Ask for a new one.")
    return Unauthenticated("The login of this browser has expired.", hint="Sign in again: `qd ui`.")
