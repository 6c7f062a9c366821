"""When API tokens were last used: seen at once, and stored at most once in a while."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from quarterdeck.model.errors import Unauthenticated, Unavailable
from quarterdeck.model.tokens import ApiToken, CreateApiToken, Role
from quarterdeck.server.last_uses import LastUses
from quarterdeck.store.state import tokens as rows
from quarterdeck.store.state.database import Database
from tests.services import Services
from tests.support import until


def uses_of(database: Database, *, clock: Callable[[], float], **limits: float) -> LastUses:
    return LastUses(database, rows.set_used_api, what="API tokens", clock=clock, **limits)


async def stored(database: Database) -> dict[str, float | None]:
    """Return the stored times by the names of tokens."""
    async with database.read() as transaction:
        return {each.info.name: each.info.used_at for each in await rows.find_all_api(transaction)}


async def listed(fleet: Services) -> dict[str, float | None]:
    return {token.name: token.used_at for token in await fleet.tokens.list_api()}


async def test_a_use_is_listed_at_once_and_stored_with_the_next_write(fleet: Services) -> None:
    ci = await fleet.tokens.create_api(CreateApiToken(name="ci", role=Role.VIEWER))
    await fleet.tokens.create_api(CreateApiToken(name="idle", role=Role.VIEWER))
    assert await listed(fleet) == {"ci": None, "idle": None}
    await fleet.tokens.verify(ci.token)
    used_at = fleet.clock.now
    assert await listed(fleet) == {"ci": used_at, "idle": None}
    assert await stored(fleet.database) == {"ci": None, "idle": None}
    await fleet.tokens.uses.write()
    assert await listed(fleet) == await stored(fleet.database) == {"ci": used_at, "idle": None}


async def test_a_refused_token_was_not_used(fleet: Services) -> None:
    ci = await fleet.tokens.create_api(CreateApiToken(name="ci", role=Role.VIEWER, expires_s=60))
    with pytest.raises(Unauthenticated):
        await fleet.tokens.verify(ci.token + "x")
    fleet.clock.now += 60
    with pytest.raises(Unauthenticated):
        await fleet.tokens.verify(ci.token)
    assert await listed(fleet) == {"ci": None}


async def test_a_server_that_starts_does_not_use_its_own_token(fleet: Services, tmp_path: Path) -> None:
    for _ in range(2):
        await fleet.tokens.write_local_admin(tmp_path / "admin.token", server="here")
    assert await listed(fleet) == {"local": None}


async def test_the_later_of_two_servers_uses_counts(fleet: Services) -> None:
    ci = await fleet.tokens.create_api(CreateApiToken(name="ci", role=Role.VIEWER))
    other = uses_of(fleet.database, clock=lambda: fleet.clock.now + 5)
    for _ in range(2):
        other.note(ci.info.id)
        await fleet.tokens.verify(ci.token)
        await other.write()
        await fleet.tokens.uses.write()
        assert await stored(fleet.database) == {"ci": fleet.clock.now + 5}


async def test_a_removed_token_is_not_stored_again(fleet: Services) -> None:
    ci = await fleet.tokens.create_api(CreateApiToken(name="ci", role=Role.VIEWER))
    await fleet.tokens.verify(ci.token)
    await fleet.tokens.revoke_api(ci.info.id)
    await fleet.tokens.uses.write()
    assert await stored(fleet.database) == {}


@pytest.fixture
async def token(fleet: Services) -> ApiToken:
    return (await fleet.tokens.create_api(CreateApiToken(name="ci", role=Role.VIEWER))).info


async def test_the_first_use_is_written_at_once_and_later_ones_after_a_pause(fleet: Services, token: ApiToken) -> None:
    now = 1.0
    uses = uses_of(fleet.database, clock=lambda: now, write_s=3600)
    running = asyncio.create_task(uses.run())
    uses.note(token.id)
    await until(lambda: uses.latest(token.id, None) is None)  # it is not in memory any more
    now = 2.0
    uses.note(token.id)
    for _ in range(100):
        await asyncio.sleep(0)
    assert await stored(fleet.database) == {"ci": 1.0}
    assert uses.latest(token.id, None) == 2.0
    running.cancel()
    await asyncio.wait((running,))
    await uses.write()
    assert await stored(fleet.database) == {"ci": 2.0}


async def test_a_store_that_cannot_be_written_is_tried_again(
    fleet: Services, token: ApiToken, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    uses = uses_of(fleet.database, clock=lambda: 7.0, write_s=0)
    with monkeypatch.context() as patched:

        def refuse(_: Database) -> None:
            raise Unavailable("The disk is away.")

        patched.setattr(Database, "write", refuse)
        uses.note(token.id)
        running = asyncio.create_task(uses.run())
        await until(lambda: "The disk is away." in caplog.text)
        assert uses.latest(token.id, None) == 7.0
    await until(lambda: uses.latest(token.id, None) is None)
    running.cancel()
    await asyncio.wait((running,))
    assert await stored(fleet.database) == {"ci": 7.0}
