"""Logins: browsers that are signed in to the web UI, each with an API token, and the single-use codes of links.

Owns who is signed in and until when. A login has the role of its token and ends with it. It never stores a secret, but
only its SHA-256: a code is returned once, when it is created, and a cookie once, when the browser signs in.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections.abc import Callable
from typing import NamedTuple

import msgspec

from quarterdeck.model.errors import BadInput, NotFound, Unauthenticated
from quarterdeck.model.logins import Login, SignIn, SignInCode
from quarterdeck.model.tokens import ApiToken
from quarterdeck.server.audit import Audit
from quarterdeck.server.credentials import REVOKED
from quarterdeck.server.last_uses import LastUses
from quarterdeck.server.signals import Signals
from quarterdeck.server.tokens import Tokens
from quarterdeck.store.state import logins as rows
from quarterdeck.store.state.audit import Entry
from quarterdeck.store.state.database import Database

LoginList = list[Login]

#: the page that signs in; the code is in the fragment, which browsers do not send and no log contains
SIGN_IN_PATH = "/ui/#code="
PREFIX = "qdl_"
#: seconds for which a code can be used
CODE_S = 300.0
#: seconds after which a login ends
LOGIN_S = 12 * 3600.0
#: logins, and codes, of one token; the oldest end for new ones
KEPT = 100
#: characters that are kept of what a browser calls itself
AGENT_LIMIT = 300


class NewLogin(NamedTuple):
    """A new login, and the text of its cookie."""

    info: Login
    cookie: str


class Signed(NamedTuple):
    """A login and the API token whose role it has."""

    login: Login
    token: ApiToken


class Logins:
    """Signs browsers in, recognises them by their cookies, lists them and signs them out."""

    def __init__(
        self,
        database: Database,
        *,
        tokens: Tokens,
        audit: Audit,
        signals: Signals,
        clock: Callable[[], float] = time.time,
        kept: int = KEPT,
    ) -> None:
        self._database = database
        self._tokens = tokens
        self._audit = audit
        self._signals = signals
        self._clock = clock
        self._kept = kept
        self.uses = LastUses(database, rows.set_seen, what="logins", clock=clock)

    async def create_code(self, token: ApiToken) -> SignInCode:
        """Create a code that signs in one browser with the role of `token`."""
        code, now = secrets.token_urlsafe(32), self._clock()
        expires_at = _earliest(now + CODE_S, token.expires_at)
        async with self._database.write() as transaction:
            await rows.add_code(transaction, _hash(code), token_id=token.id, expires_at=expires_at)
            await rows.remove_surplus(transaction, token.id, now=now, kept=self._kept)
        return SignInCode(code=code, path=SIGN_IN_PATH + code, expires_at=expires_at)

    async def sign_in(self, request: SignIn, *, address: str = "", agent: str = "") -> NewLogin:
        """Sign in a browser with a code or with the text of an API token.

        Raise `Unauthenticated`, also when a code was used, or `BadInput`.
        """
        if bool(request.code) == bool(request.token):
            raise BadInput("Expected either a code or an API token.")
        now, code_sha256 = self._clock(), _hash(request.code)
        # unknown codes are refused without a write, because anybody can send them
        token = await self._of_code(code_sha256) if request.code else await self._tokens.verify(request.token)
        secret = secrets.token_urlsafe(32)
        info = Login(
            id=secrets.token_hex(6),
            token_id=token.id,
            name=token.name,
            role=token.role,
            create_time=now,
            expires_at=_earliest(now + LOGIN_S, token.expires_at),
            seen_at=now,
            address=address,
            agent=_printable(agent)[:AGENT_LIMIT],
        )
        entry = Entry(token.name, token.role, "signIn", info.id, detail=f"from {address or 'this machine'}")
        async with self._database.write() as transaction:
            if request.code and not await rows.remove_code(transaction, code_sha256):
                raise _code_refused()
            await rows.add(transaction, info, secret_sha256=_hash(secret))
            await rows.remove_surplus(transaction, token.id, now=now, kept=self._kept)
            await self._audit.add(transaction, [entry])
        self._signals.send(REVOKED, [token.id])  # the oldest login may have ended for this one
        return NewLogin(info, f"{PREFIX}{info.id}_{secret}")

    async def verify(self, cookie: str) -> Signed:
        """Return the login with this cookie; raise `Unauthenticated` when there is none, or when it has ended."""
        login_id, _, secret = cookie.removeprefix(PREFIX).partition("_")
        now = self._clock()
        async with self._database.read() as transaction:
            stored = await rows.find(transaction, login_id, now=now)
        # the comparison is made for an unknown id too, so that its duration reveals nothing
        matches = hmac.compare_digest(_hash(secret), stored.secret_sha256 if stored else _hash(""))
        if stored is None or not matches or not cookie.startswith(PREFIX):
            raise Unauthenticated("The browser is not signed in, or no longer.", hint="Sign in again: `qd ui`.")
        self.uses.note(login_id)
        self._tokens.uses.note(stored.token.id)
        return Signed(stored.info, stored.token)

    async def list(self) -> LoginList:
        """Return every login, the newest first."""
        async with self._database.read() as transaction:
            found = await rows.find_all(transaction, now=self._clock())
        return [msgspec.structs.replace(info, seen_at=self.uses.latest(info.id, info.seen_at)) for info in found]

    async def end(self, login_id: str) -> None:
        """End a login, whose cookie is refused from now on; raise `NotFound`."""
        async with self._database.write() as transaction:
            if not await rows.remove(transaction, login_id):
                raise NotFound(f"There is no login {login_id}.", hint="It may have ended; list the logins again.")
        self._signals.send(REVOKED, [login_id])

    async def _of_code(self, code_sha256: str) -> ApiToken:
        async with self._database.read() as transaction:
            token = await rows.find_code(transaction, code_sha256, now=self._clock())
        if token is None:
            raise _code_refused()
        return token


def _code_refused() -> Unauthenticated:
    return Unauthenticated(
        "This link was used already, or has expired: it signs in one browser, within five minutes.",
        hint="Get a new one with `qd ui`.",
    )


def _earliest(moment: float, other: float | None) -> float:
    return moment if other is None else min(moment, other)


def _printable(text: str) -> str:
    return "".join(character for character in text if character.isprintable())


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode(errors="surrogatepass")).hexdigest()
