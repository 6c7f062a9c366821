"""Tokens: with a join token a node joins once; with an API token people and programs ask.

Owns who may still join and whose bearer token is good. Of a secret only the public half (join) or the SHA-256 (API) is
kept; the text is shown once, when it is made.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections.abc import Callable
from pathlib import Path

from quarterdeck.link.join_tokens import new_join_token
from quarterdeck.link.private_files import write_private
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
from quarterdeck.server.names import check_gid, check_labels, check_name, check_nid
from quarterdeck.server.sessions.links import Links
from quarterdeck.store.state import nodes as node_rows
from quarterdeck.store.state import tokens as rows
from quarterdeck.store.state.database import Database

JoinTokens = list[JoinToken]
ApiTokens = list[ApiToken]

PREFIX = "qda_"
#: how long another server's new or revoked API token may go unnoticed here, in seconds
CACHE_S = 5.0
#: how long the holder of an expired join token is told so in words, in seconds; later the handshake fails
REFUSE_S = 86400.0
#: name of the token that the CLI on the server's own machine uses
LOCAL_NAME = "local"
#: the longest time to live that a token may be given: ten years, in seconds
MAX_EXPIRES_S = 10 * 365 * 86400.0


class Tokens:
    """Makes, lists, checks and revokes tokens.

    `ca_fingerprint` is what join tokens pin, `gid` the grid of those that name none.
    """

    def __init__(
        self,
        database: Database,
        *,
        ca_fingerprint: bytes,
        gid: int,
        links: Links,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._database = database
        self._ca_fingerprint = ca_fingerprint
        self._gid = gid
        self._links = links
        self._clock = clock
        self._known: dict[str, rows.StoredApiToken] = {}
        self._known_at = float("-inf")

    # ── join tokens ──────────────────────────────────────────────────────────────────────────────────────────────────
    async def create_join(self, request: CreateJoinToken) -> NewJoinToken:
        """A token for one node. `NotFound` when it names a node that there is not."""
        _check_expiry(request.expires_s)
        gid = check_gid(self._gid if request.gid is None else request.gid)
        text, token_id, certificate_pem = new_join_token(self._ca_fingerprint)
        now = self._clock()
        info = JoinToken(
            id=token_id,
            gid=gid,
            nid=None if request.nid is None else check_nid(request.nid),
            labels=check_labels(request.labels),
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
        """Every join token, the newest first."""
        async with self._database.read() as transaction:
            return await rows.find_all_join(transaction)

    async def revoke_join(self, token_id: str) -> None:
        """No node can join with it any more."""
        async with self._database.write() as transaction:
            if not await rows.remove_join(transaction, token_id):
                raise NotFound(f"There is no join token {token_id}.", hint="See `qd token ls`.")
        await self._links.tokens_changed()

    async def join_certificates(self) -> list[bytes]:
        """The certificates to let through a handshake so that their holders can join, or be told why not."""
        async with self._database.read() as transaction:
            return await rows.join_certificates(transaction, expired_after=self._clock() - REFUSE_S)

    # ── API tokens ───────────────────────────────────────────────────────────────────────────────────────────────────
    async def create_api(self, request: CreateApiToken) -> NewApiToken:
        """A bearer token with a role. `AlreadyExists` when its name is taken."""
        if request.expires_s is not None:
            _check_expiry(request.expires_s)
        name = check_name(request.name, "token")
        now = self._clock()
        expires_at = None if request.expires_s is None else now + request.expires_s
        info = ApiToken(id=secrets.token_hex(6), name=name, role=request.role, created_at=now, expires_at=expires_at)
        secret = secrets.token_urlsafe(32)
        async with self._database.write() as transaction:
            if any(stored.info.name == name for stored in await rows.find_all_api(transaction)):
                raise AlreadyExists(
                    f"There is already an API token named '{name}'.", hint="Revoke it, or take another name."
                )
            await rows.add_api(transaction, info, secret_sha256=_hash(secret))
        self._known_at = float("-inf")
        return NewApiToken(token=f"{PREFIX}{info.id}_{secret}", info=info)

    async def list_api(self) -> ApiTokens:
        """Every API token, by name."""
        async with self._database.read() as transaction:
            return [stored.info for stored in await rows.find_all_api(transaction)]

    async def revoke_api(self, token_id: str) -> None:
        """It is refused from now on."""
        async with self._database.write() as transaction:
            removed = await rows.remove_api(transaction, token_id)
        self._known_at = float("-inf")
        if not removed:
            raise NotFound(f"There is no API token {token_id}.", hint="See `qd token ls`.")

    async def verify(self, token: str) -> ApiToken:
        """Whose bearer token this is. `Unauthenticated` when nobody's, `TokenExpired` when its time is over."""
        token_id, _, secret = token.removeprefix(PREFIX).partition("_")
        stored = (await self._all_api()).get(token_id)
        # the comparison is made for an unknown id too, so that its time tells nothing
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

    async def write_local_admin(self, path: Path) -> str:
        """The admin token of this machine's own CLI: the one in `path` if it is good, else a new one (mode 0600)."""
        kept = _read(path)
        if kept and await self._is_admin(kept):
            return kept
        for info in await self.list_api():
            if info.name == LOCAL_NAME:
                await self.revoke_api(info.id)
        new = await self.create_api(CreateApiToken(name=LOCAL_NAME, role=Role.ADMIN))
        write_private(path, new.token.encode() + b"\n")
        return new.token

    async def _is_admin(self, token: str) -> bool:
        try:
            return (await self.verify(token)).role is Role.ADMIN
        except Unauthenticated:  # of an earlier store, or revoked
            return False


def _read(path: Path) -> str:
    return path.read_text(errors="replace").strip() if path.exists() else ""


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode(errors="surrogatepass")).hexdigest()


def _check_expiry(expires_s: float) -> None:
    if not 0 < expires_s <= MAX_EXPIRES_S:
        raise BadInput(f"A token must expire after more than 0 s and at most ten years; {expires_s} s was asked for.")
