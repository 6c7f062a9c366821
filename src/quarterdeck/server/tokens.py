"""Tokens: a join token admits one node once; an API token authenticates users and programs.

Owns which join tokens are unused and which bearer tokens are valid. It never stores a secret, but only its public half
(join) or its SHA-256 (API); the text is returned once, when the token is created.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from quarterdeck.kit.files import write_private
from quarterdeck.link.join_tokens import new_join_token
from quarterdeck.model.errors import AlreadyExists, BadInput, NotFound, TokenExpired, Unauthenticated
from quarterdeck.model.nodes import NodeKey
from quarterdeck.model.tokens import (
    ApiToken,
    CreateApiToken,
    CreateJoinToken,
    JoinToken,
    NewApiToken,
    NewJoinToken,
    Role,
)
from quarterdeck.server.credentials import REVOKED
from quarterdeck.server.labels import check_patterns
from quarterdeck.server.last_uses import LastUses
from quarterdeck.server.names import check_gid, check_name, check_nid, check_selectable
from quarterdeck.server.sessions.links import Links
from quarterdeck.server.signals import Signals
from quarterdeck.store.state import nodes as node_rows
from quarterdeck.store.state import tokens as rows
from quarterdeck.store.state.database import Database

JoinTokens = list[JoinToken]
ApiTokens = list[ApiToken]

PREFIX = "qda_"
#: seconds after which a new or revoked API token of another server takes effect here
CACHE_S = 5.0
#: seconds for which an expired join token is refused with a message; later its handshake fails
REFUSE_S = 86400.0
#: name of the token that the CLI on the server's own machine uses; of a second server with the server's name added
LOCAL_NAME = "local"
#: the longest time to live that a token may be given: ten years, in seconds
MAX_EXPIRES_S = 10 * 365 * 86400.0


class Tokens:
    """Creates, lists, verifies and revokes tokens.

    Join tokens pin `ca_fingerprint`; `gid` is the grid of those without one.
    """

    def __init__(
        self,
        database: Database,
        *,
        ca_fingerprint: bytes,
        gid: int,
        links: Links,
        signals: Signals,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._database = database
        self._ca_fingerprint = ca_fingerprint
        self._gid = gid
        self._links = links
        self._signals = signals
        self._clock = clock
        self.uses = LastUses(database, rows.set_used_api, what="API tokens", clock=clock)
        self._known: dict[str, rows.StoredApiToken] = {}
        self._known_at = float("-inf")

    # ── join tokens ──────────────────────────────────────────────────────────────────────────────────────────────────
    async def create_join(self, request: CreateJoinToken) -> NewJoinToken:
        """Create a token for one node; raise `NotFound` when it names a node that does not exist."""
        _check_expiry(request.expires_s)
        gid = check_gid(self._gid if request.gid is None else request.gid)
        text, token_id, certificate_pem = new_join_token(self._ca_fingerprint)
        now = self._clock()
        info = JoinToken(
            id=token_id,
            gid=gid,
            nid=None if request.nid is None else check_nid(request.nid),
            labels=check_selectable(request.labels),
            allow_labels=check_patterns(request.allow_labels),
            created_at=now,
            expires_at=now + request.expires_s,
        )
        async with self._database.write() as transaction:
            if request.nid is not None and await node_rows.find(transaction, NodeKey(gid, request.nid)) is None:
                raise NotFound(
                    f"There is no node {gid}/{request.nid} whose place could be taken.", hint="See `qd node ls`."
                )
            await rows.add_join(transaction, info, certificate_pem=certificate_pem)
        await self._links.tokens_changed()
        return NewJoinToken(token=text, info=info)

    async def list_join(self) -> JoinTokens:
        """Return every join token, the newest first."""
        async with self._database.read() as transaction:
            return await rows.find_all_join(transaction)

    async def revoke_join(self, token_id: str) -> None:
        """Revoke a join token; raise `NotFound`."""
        async with self._database.write() as transaction:
            if not await rows.remove_join(transaction, token_id):
                raise NotFound(f"There is no join token {token_id}.", hint="See `qd token ls`.")
        await self._links.tokens_changed()

    async def join_certificates(self) -> list[bytes]:
        """Return the certificates to accept in a handshake, so that their holders can join or learn why not."""
        async with self._database.read() as transaction:
            return await rows.join_certificates(transaction, expired_after=self._clock() - REFUSE_S)

    # ── API tokens ───────────────────────────────────────────────────────────────────────────────────────────────────
    async def create_api(self, request: CreateApiToken) -> NewApiToken:
        """Create a bearer token with a role; raise `AlreadyExists` when its name is used."""
        if request.expires_s is not None:
            _check_expiry(request.expires_s)
        name = check_name(request.name, "token")
        now = self._clock()
        expires_at = None if request.expires_s is None else now + request.expires_s
        info = ApiToken(id=secrets.token_hex(6), name=name, role=request.role, created_at=now, expires_at=expires_at)
        async with self._database.write() as transaction:
            if any(stored.info.name == name for stored in await rows.find_all_api(transaction)):
                raise AlreadyExists(
                    f"There is already an API token named '{name}'.", hint="Revoke it, or take another name."
                )
            new = await self._add_api(transaction, info)
        self._known_at = float("-inf")
        return new

    async def list_api(self) -> ApiTokens:
        """Return every API token, by name."""
        async with self._database.read() as transaction:
            found = [stored.info for stored in await rows.find_all_api(transaction)]
        return [msgspec.structs.replace(info, used_at=self.uses.latest(info.id, info.used_at)) for info in found]

    async def revoke_api(self, token_id: str) -> None:
        """Revoke an API token, which is refused from now on; raise `NotFound`."""
        async with self._database.write() as transaction:
            removed = await rows.remove_api(transaction, token_id)
        self._known_at = float("-inf")
        self._signals.send(REVOKED, [token_id])
        if not removed:
            raise NotFound(f"There is no API token {token_id}.", hint="See `qd token ls`.")

    async def verify(self, token: str) -> ApiToken:
        """Return the token with this text, and note that it was used.

        Raise `Unauthenticated` when no token has this text, `TokenExpired` when it expired.
        """
        info = await self._check(token)
        self.uses.note(info.id)
        return info

    async def _check(self, token: str) -> ApiToken:
        token_id, _, secret = token.removeprefix(PREFIX).partition("_")
        stored = (await self._all_api()).get(token_id)
        # the comparison is made for an unknown id too, so that its duration reveals nothing
        expected = stored.secret_sha256 if stored is not None else _hash("")
        matches = hmac.compare_digest(_hash(secret), expected)
        if stored is None or not matches or not token.startswith(PREFIX):
            raise Unauthenticated(
                "The bearer token is not one of this server's.",
                hint="Make one where the server runs (`qd token api create`), and set QD_TOKEN to it.",
            )
        if stored.info.expires_at is not None and stored.info.expires_at <= self._clock():
            raise TokenExpired(f"The API token '{stored.info.name}' has expired.", hint="Ask for a new one.")
        return stored.info

    async def _all_api(self) -> dict[str, rows.StoredApiToken]:
        if self._clock() - self._known_at > CACHE_S or self._clock() < self._known_at:
            async with self._database.read() as transaction:
                self._known = {stored.info.id: stored for stored in await rows.find_all_api(transaction)}
            self._known_at = self._clock()
        return self._known

    async def write_local_admin(self, path: Path, *, server: str) -> str:
        """Return the admin token of this machine's CLI: the one in `path` if it is valid, or a new one (mode 0600).

        `server` names this server among those that share the state store. It is the id of the token, so that a new one
        replaces only this server's.
        """
        kept = _read(path)
        if kept and await self._is_admin(kept):
            return kept
        async with self._database.write() as transaction:
            await rows.remove_api(transaction, server)
            names = {stored.info.name for stored in await rows.find_all_api(transaction)}
            name = f"{LOCAL_NAME}-{server}" if LOCAL_NAME in names else LOCAL_NAME
            info = ApiToken(id=server, name=name, role=Role.ADMIN, created_at=self._clock())
            new = await self._add_api(transaction, info)
        self._known_at = float("-inf")
        write_private(path, new.token.encode() + b"\n")
        return new.token

    async def _add_api(self, transaction: AsyncConnection, info: ApiToken) -> NewApiToken:
        secret = secrets.token_urlsafe(32)
        await rows.add_api(transaction, info, secret_sha256=_hash(secret))
        return NewApiToken(token=f"{PREFIX}{info.id}_{secret}", info=info)

    async def _is_admin(self, token: str) -> bool:
        try:
            return (await self._check(token)).role is Role.ADMIN
        except Unauthenticated:  # of an earlier store, or revoked
            return False


def _read(path: Path) -> str:
    return path.read_text(errors="replace").strip() if path.exists() else ""


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode(errors="surrogatepass")).hexdigest()


def _check_expiry(expires_s: float) -> None:
    if not 0 < expires_s <= MAX_EXPIRES_S:
        raise BadInput(f"A token must expire after more than 0 s and at most ten years; {expires_s} s was asked for.")
