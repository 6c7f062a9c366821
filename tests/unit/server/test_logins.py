"""Logins: who is signed in, until when, and that a code signs in once."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from quarterdeck.model.errors import BadInput, NotFound, Unauthenticated
from quarterdeck.model.logins import SignIn
from quarterdeck.model.tokens import ApiToken, CreateApiToken, Role
from quarterdeck.server.logins import CODE_S, LOGIN_S, Logins, NewLogin
from quarterdeck.server.signals import LocalSignals
from tests.services import Services


async def made_token(fleet: Services, name: str = "ann", *, expires_s: float | None = None) -> ApiToken:
    request = CreateApiToken(name=name, role=Role.OPERATOR, expires_s=expires_s)
    return (await fleet.tokens.create_api(request)).info


def other_logins(fleet: Services, **limits: int) -> Logins:
    """The logins of another server of the same state."""
    return Logins(
        fleet.database, tokens=fleet.tokens, audit=fleet.audit, signals=LocalSignals(), clock=fleet.clock, **limits
    )


async def signed_in(fleet: Services, token: ApiToken) -> NewLogin:
    code = await fleet.logins.create_code(token)
    return await fleet.logins.sign_in(SignIn(code=code.code), address="192.0.2.7", agent="Browser\x1b 1.0")


async def test_a_code_signs_in_once_with_the_role_of_its_token(fleet: Services) -> None:
    token = await made_token(fleet)
    code = await fleet.logins.create_code(token)
    assert code.expires_at == fleet.clock.now + CODE_S
    assert code.path == f"/ui/#code={code.code}"
    made = await fleet.logins.sign_in(SignIn(code=code.code), address="192.0.2.7", agent="Browser\x1b 1.0")
    assert (made.info.name, made.info.role, made.info.token_id) == ("ann", Role.OPERATOR, token.id)
    assert (made.info.address, made.info.agent) == ("192.0.2.7", "Browser 1.0")
    assert made.info.expires_at == fleet.clock.now + LOGIN_S
    assert await fleet.logins.verify(made.cookie) == (made.info, token)
    assert await fleet.logins.list() == [made.info]
    with pytest.raises(Unauthenticated, match="qd ui"):
        await fleet.logins.sign_in(SignIn(code=code.code))


async def test_of_several_who_use_a_code_at_the_same_time_one_is_signed_in(fleet: Services) -> None:
    code = await fleet.logins.create_code(await made_token(fleet))
    tries = (fleet.logins.sign_in(SignIn(code=code.code)) for _ in range(5))
    results = await asyncio.gather(*tries, return_exceptions=True)
    assert sum(isinstance(result, NewLogin) for result in results) == 1
    assert sum(isinstance(result, Unauthenticated) for result in results) == 4
    assert len(await fleet.logins.list()) == 1


async def test_a_code_expires(fleet: Services) -> None:
    token = await made_token(fleet)
    code = await fleet.logins.create_code(token)
    fleet.clock.now += CODE_S
    with pytest.raises(Unauthenticated):
        await fleet.logins.sign_in(SignIn(code=code.code))
    code = await fleet.logins.create_code(token)
    fleet.clock.now += CODE_S - 1
    assert await fleet.logins.sign_in(SignIn(code=code.code))


async def test_a_token_signs_in_as_its_code_does(fleet: Services) -> None:
    new = await fleet.tokens.create_api(CreateApiToken(name="ann", role=Role.VIEWER))
    made = await fleet.logins.sign_in(SignIn(token=new.token))
    assert (await fleet.logins.verify(made.cookie)).token == new.info
    with pytest.raises(Unauthenticated):
        await fleet.logins.sign_in(SignIn(token=new.token + "x"))


@pytest.mark.parametrize("request_", [SignIn(), SignIn(code="x", token="y")])
async def test_a_sign_in_names_a_code_or_a_token(fleet: Services, request_: SignIn) -> None:
    with pytest.raises(BadInput):
        await fleet.logins.sign_in(request_)


@pytest.mark.parametrize("code", ["x", "a\0b", "\ud800", "é" * 5000])
async def test_unknown_codes_are_refused(fleet: Services, code: str) -> None:
    with pytest.raises(Unauthenticated):
        await fleet.logins.sign_in(SignIn(code=code))


async def test_foreign_cookies_are_refused(fleet: Services) -> None:
    token = await made_token(fleet)
    made, other = await signed_in(fleet, token), await signed_in(fleet, token)
    prefix, login_id, secret = made.cookie.split("_", 2)
    wrong = [
        "",
        "qdl_",
        "qdl__",
        made.cookie[:-1],
        made.cookie + "x",
        f"{login_id}_{secret}",
        f"{prefix}_{other.info.id}_{secret}",
        f"{prefix}_{login_id}_",
        "qdl_a\0b_c",
        "é" * 100,
    ]
    for cookie in wrong:
        with pytest.raises(Unauthenticated):
            await fleet.logins.verify(cookie)


async def test_a_login_ends_after_its_time(fleet: Services) -> None:
    made = await signed_in(fleet, await made_token(fleet))
    fleet.clock.now += LOGIN_S - 1
    assert await fleet.logins.verify(made.cookie)
    fleet.clock.now += 1
    with pytest.raises(Unauthenticated):
        await fleet.logins.verify(made.cookie)
    assert await fleet.logins.list() == []


async def test_a_login_ends_when_it_is_ended(fleet: Services) -> None:
    made = await signed_in(fleet, await made_token(fleet))
    await fleet.logins.end(made.info.id)
    with pytest.raises(Unauthenticated):
        await fleet.logins.verify(made.cookie)
    for login_id in (made.info.id, "a\0b"):
        with pytest.raises(NotFound):
            await fleet.logins.end(login_id)


async def test_a_token_takes_its_logins_and_codes_with_it(fleet: Services) -> None:
    token, other = await made_token(fleet), await made_token(fleet, "bob")
    ends, stays = await signed_in(fleet, token), await signed_in(fleet, other)
    code = await fleet.logins.create_code(token)
    await fleet.tokens.revoke_api(token.id)
    with pytest.raises(Unauthenticated):
        await fleet.logins.verify(ends.cookie)
    with pytest.raises(Unauthenticated):
        await fleet.logins.sign_in(SignIn(code=code.code))
    assert await fleet.logins.verify(stays.cookie)


async def test_neither_a_code_nor_a_login_outlives_the_time_of_its_token(fleet: Services) -> None:
    token = await made_token(fleet, expires_s=60)
    made = await signed_in(fleet, token)
    code = await fleet.logins.create_code(token)
    assert made.info.expires_at == code.expires_at == token.expires_at
    fleet.clock.now += 60
    with pytest.raises(Unauthenticated):
        await fleet.logins.verify(made.cookie)
    with pytest.raises(Unauthenticated):
        await fleet.logins.sign_in(SignIn(code=code.code))


async def test_a_token_has_a_limited_number_of_logins(fleet: Services) -> None:
    token, few = await made_token(fleet), other_logins(fleet, kept=2)
    codes = [await few.create_code(token)]
    for _ in range(3):
        fleet.clock.now += 1
        codes.append(await few.create_code(token))
    for code in codes[:2]:
        with pytest.raises(Unauthenticated):
            await few.sign_in(SignIn(code=code.code))
    made = [await few.sign_in(SignIn(code=code.code)) for code in codes[2:]]
    fleet.clock.now += 1
    newest = await few.sign_in(SignIn(code=(await few.create_code(token)).code))
    listed = [login.id for login in await few.list()]
    assert len(listed) == 2
    assert listed[0] == newest.info.id
    assert listed[1] in {login.info.id for login in made}


async def test_a_login_and_its_token_say_when_they_were_last_used(fleet: Services) -> None:
    made = await signed_in(fleet, await made_token(fleet))
    fleet.clock.now += 5
    await fleet.logins.verify(made.cookie)
    assert [login.seen_at for login in await fleet.logins.list()] == [fleet.clock.now]
    assert [login.seen_at for login in await other_logins(fleet).list()] == [fleet.clock.now - 5]
    assert [token.used_at for token in await fleet.tokens.list_api()] == [fleet.clock.now]
    await fleet.logins.uses.write()
    assert [login.seen_at for login in await other_logins(fleet).list()] == [fleet.clock.now]


async def test_signing_in_is_audited(fleet: Services) -> None:
    made = await signed_in(fleet, await made_token(fleet))
    (entry,) = await fleet.audit.list()
    assert (entry.actor, entry.action, entry.target, entry.result) == ("ann", "signIn", made.info.id, "ok")
    assert "192.0.2.7" in entry.detail


async def test_no_secret_is_stored(fleet: Services, tmp_path: Path) -> None:
    token = await made_token(fleet)
    code, made = await fleet.logins.create_code(token), await signed_in(fleet, token)
    await fleet.database.close()
    stored = (tmp_path / "state.db").read_bytes()
    assert made.info.id.encode() in stored
    assert code.code.encode() not in stored
    assert made.cookie.split("_", 2)[2].encode() not in stored


async def test_another_server_of_the_same_state_knows_the_logins(fleet: Services) -> None:
    made = await signed_in(fleet, await made_token(fleet))
    other = other_logins(fleet)
    assert (await other.verify(made.cookie)).login == made.info
    await other.end(made.info.id)
    with pytest.raises(Unauthenticated):
        await fleet.logins.verify(made.cookie)
