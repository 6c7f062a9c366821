"""Every state of join and API tokens, through restarts and kills of the server, to every next use."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from quarterdeck.link.certificates import new_key, new_request
from quarterdeck.link.messages import JoinReply, JoinRequest
from quarterdeck.model.errors import NotFound, QuarterdeckError, TokenExpired, TokenUsed, Unauthenticated
from quarterdeck.model.tokens import CreateApiToken, CreateJoinToken, Role
from quarterdeck.server.tokens import LOCAL_NAME
from quarterdeck.store.state.database import Database
from tests.services import Services

LIFE_S = 100.0
EVENTS = ("server restarted", "server killed")
WORDS = ("it joins", "another joins", "it is revoked")
#: what each state of a join token answers to each word; `it` is the node that used it, if one did
JOINS: dict[str, tuple[type[QuarterdeckError] | None, type[QuarterdeckError] | None, type[QuarterdeckError] | None]] = {
    "fresh": (None, None, None),
    "used": (None, TokenUsed, None),
    "used and expired": (None, TokenUsed, None),
    "used by a node that was removed": (TokenUsed, TokenUsed, None),
    "expired": (TokenExpired, TokenExpired, None),
    "revoked": (Unauthenticated, Unauthenticated, NotFound),
}


class Deck:
    """A server in several lives."""

    def __init__(self, url: str, folder: Path, stack: AsyncExitStack) -> None:
        self._url, self._folder, self._stack = url, folder, stack
        self.key = new_key()

    async def begin(self) -> None:
        self.database = await Database.open(self._url)
        self._stack.push_async_callback(self.database.close)
        self.server = Services(self.database, self._folder)

    async def meets(self, event: str) -> None:
        if event == "server restarted":
            await self.database.close()
        now = self.server.clock.now
        await self.begin()
        self.server.clock.now = now

    async def join(self, token_id: str, *, other: bool = False) -> JoinReply:
        name = "other" if other else "one"
        key = new_key() if other else self.key
        return await self.server.joins.join(token_id, JoinRequest(csr_pem=new_request(key, name), name=name))

    async def token_in(self, state: str) -> str:
        token = await self.server.tokens.create_join(CreateJoinToken(expires_s=LIFE_S))
        if state.startswith("used"):
            await self.join(token.info.id)
        if state.endswith("removed"):
            await self.server.nodes.remove("one")
        if state.endswith("expired"):
            self.server.clock.now += LIFE_S
        if state == "revoked":
            await self.server.tokens.revoke_join(token.info.id)
        return token.info.id


@pytest.fixture
async def deck(state_url: str, tmp_path: Path) -> AsyncGenerator[Deck]:
    async with AsyncExitStack() as stack:
        made = Deck(state_url, tmp_path, stack)
        await made.begin()
        yield made


@pytest.mark.parametrize("event", EVENTS)
@pytest.mark.parametrize("word", WORDS)
@pytest.mark.parametrize("state", list(JOINS))
async def test_a_join_token_goes_on_from_every_state(deck: Deck, state: str, word: str, event: str) -> None:
    token_id = await deck.token_in(state)
    before = {node.name: node.agent_id for node in await deck.server.nodes.list()}
    await deck.meets(event)
    refused = JOINS[state][WORDS.index(word)]

    async def say() -> None:
        if word == "it is revoked":
            await deck.server.tokens.revoke_join(token_id)
        else:
            await deck.join(token_id, other=word == "another joins")

    if refused is not None:
        with pytest.raises(refused):
            await say()
    else:
        await say()
    after = {node.name: node.agent_id for node in await deck.server.nodes.list()}
    new = {"it joins": "one", "another joins": "other"}.get(word) if refused is None else None
    assert after.keys() == before.keys() | ({new} if new else set())
    assert before.items() <= after.items(), "who joined is still who it was"
    if word == "it is revoked":
        with pytest.raises(Unauthenticated):
            await deck.join(token_id, other=True)


@pytest.mark.parametrize("event", EVENTS)
@pytest.mark.parametrize("state", ["good", "expired", "revoked"])
async def test_an_api_token_is_after_a_restart_what_it_was(deck: Deck, state: str, event: str) -> None:
    made = await deck.server.tokens.create_api(CreateApiToken(name="ci", role=Role.VIEWER, expires_s=LIFE_S))
    assert await deck.server.tokens.verify(made.token) == made.info
    if state == "expired":
        deck.server.clock.now += LIFE_S
    if state == "revoked":
        await deck.server.tokens.revoke_api(made.info.id)
    await deck.meets(event)
    if state == "good":
        assert await deck.server.tokens.verify(made.token) == made.info
    else:
        with pytest.raises(TokenExpired if state == "expired" else Unauthenticated):
            await deck.server.tokens.verify(made.token)
    if state == "revoked":
        await deck.server.tokens.create_api(CreateApiToken(name="ci", role=Role.ADMIN))
    else:
        await deck.server.tokens.revoke_api(made.info.id)
        with pytest.raises(Unauthenticated):
            await deck.server.tokens.verify(made.token)


@pytest.mark.parametrize("cut", ["before it is revoked", "before another is made", "before the file is written"])
async def test_a_server_killed_while_it_makes_its_own_token_makes_one_in_its_next_life(
    deck: Deck, tmp_path: Path, cut: str
) -> None:
    path = tmp_path / "admin.token"
    first = await deck.server.tokens.write_local_admin(path, server="here")
    path.write_text("qda_of_another_store")
    if cut != "before it is revoked":
        (info,) = await deck.server.tokens.list_api()
        await deck.server.tokens.revoke_api(info.id)
    if cut == "before the file is written":
        await deck.server.tokens.write_local_admin(tmp_path / "lost", server="here")
    await deck.meets("server killed")
    again = await deck.server.tokens.write_local_admin(path, server="here")
    assert path.read_text().strip() == again != first
    assert (await deck.server.tokens.verify(again)).role is Role.ADMIN
    assert [info.name for info in await deck.server.tokens.list_api()] == [LOCAL_NAME]
