"""What stays open learns that its token or login has ended: by a signal, by the time, or by a look at the store."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import ExitStack

import pytest

from quarterdeck.kit.tasks import cancel
from quarterdeck.model.errors import TokenExpired, Unauthenticated, Unavailable
from quarterdeck.model.logins import SignIn
from quarterdeck.model.tokens import ApiToken, CreateApiToken, Role
from quarterdeck.server.credentials import Credentials
from quarterdeck.server.logins import LOGIN_S
from quarterdeck.server.signals import LocalSignals
from tests.services import Services

#: longer than any test
NEVER_S = 1e6


@pytest.fixture
def credentials(fleet: Services) -> Credentials:
    return Credentials(fleet.database, signals=fleet.signals, clock=fleet.clock, look_s=NEVER_S)


@pytest.fixture
async def running(credentials: Credentials) -> AsyncGenerator[Credentials]:
    task = asyncio.create_task(credentials.run())
    yield credentials
    assert not task.done()
    await cancel(task)


async def made(fleet: Services, name: str = "vera", *, expires_s: float | None = None) -> ApiToken:
    request = CreateApiToken(name=name, role=Role.VIEWER, expires_s=expires_s)
    return (await fleet.tokens.create_api(request)).info


async def test_a_revoked_token_ends_what_it_opened_and_nothing_else(fleet: Services, running: Credentials) -> None:
    one, other = await made(fleet), await made(fleet, "otto")
    with running.held(one, None) as first, running.held(one, None) as second, running.held(other, None) as kept:
        await fleet.tokens.revoke_api(one.id)
        for ended in (first, second):
            with pytest.raises(Unauthenticated, match="The API token 'vera' was revoked"):
                raise await ended
        assert not kept.done()


async def test_a_login_that_ends_leaves_its_token_alone(fleet: Services, running: Credentials) -> None:
    token = await made(fleet)
    code = await fleet.logins.create_code(token)
    login = (await fleet.logins.sign_in(SignIn(code=code.code))).info
    with running.held(token, login) as browser, running.held(token, None) as program:
        await fleet.logins.end(login.id)
        with pytest.raises(Unauthenticated, match="was signed out"):
            raise await browser
        assert not program.done()


async def test_what_another_server_revoked_is_found_by_a_look(fleet: Services, credentials: Credentials) -> None:
    token = await made(fleet)
    elsewhere = Credentials(fleet.database, signals=LocalSignals(), clock=fleet.clock)
    with credentials.held(token, None) as here, elsewhere.held(token, None) as there:
        await fleet.tokens.revoke_api(token.id)
        await elsewhere.look()
        assert isinstance(there.result(), Unauthenticated)
        assert not here.done()  # nobody looked


async def test_looks_are_repeated_while_something_is_open(fleet: Services) -> None:
    elsewhere = Credentials(fleet.database, signals=LocalSignals(), clock=fleet.clock, look_s=0.01)
    task = asyncio.create_task(elsewhere.run())
    token = await made(fleet)
    with elsewhere.held(token, None) as ended:
        await fleet.tokens.revoke_api(token.id)
        assert isinstance(await ended, Unauthenticated)
    await cancel(task)


async def test_the_end_of_a_token_or_a_login_by_time(fleet: Services, credentials: Credentials) -> None:
    token, brief = await made(fleet), await made(fleet, "brief", expires_s=60.0)
    code = await fleet.logins.create_code(token)
    login = (await fleet.logins.sign_in(SignIn(code=code.code))).info
    with credentials.held(brief, None) as first, credentials.held(token, login) as second:
        await credentials.look()
        assert not first.done()
        fleet.clock.now += 60.0
        await credentials.look()
        assert isinstance(first.result(), TokenExpired)
        assert not second.done()
        fleet.clock.now += LOGIN_S
        await credentials.look()
        with pytest.raises(Unauthenticated, match="login of this browser has expired"):
            raise second.result()


async def test_a_time_of_expiry_is_waited_for(fleet: Services, running: Credentials) -> None:
    token = await made(fleet, "brief", expires_s=0.05)
    with running.held(token, None) as ended:
        fleet.clock.now += 0.05
        assert isinstance(await ended, TokenExpired)


async def test_what_is_closed_is_not_watched(fleet: Services, credentials: Credentials) -> None:
    token = await made(fleet)
    with ExitStack() as opened:
        ended = opened.enter_context(credentials.held(token, None))
    await fleet.tokens.revoke_api(token.id)
    await credentials.look()
    assert not ended.done()


async def test_a_store_that_cannot_be_read_ends_nothing(fleet: Services, credentials: Credentials) -> None:
    token = await made(fleet)
    with credentials.held(token, None) as ended:
        await fleet.database.close()
        with pytest.raises(Unavailable):
            await credentials.look()
        assert not ended.done()
