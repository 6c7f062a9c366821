"""Tokens: who may join, and whose bearer token is good."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from msgspec.structs import replace

from quarterdeck.link.join_tokens import parse
from quarterdeck.model.errors import AlreadyExists, BadInput, NotFound, TokenExpired, Unauthenticated
from quarterdeck.model.tokens import CreateApiToken, CreateJoinToken, Role
from tests.services import Services

#: two servers of one store
HERE, THERE = "aaaaaaaaaaaa", "bbbbbbbbbbbb"


async def test_a_join_token_is_listed_without_its_secret(fleet: Services) -> None:
    new = await fleet.tokens.create_join(CreateJoinToken(labels={"role": "web"}))
    assert new.info.expires_at == fleet.clock.now + 3600
    assert await fleet.tokens.list_join() == [new.info]
    assert await fleet.tokens.join_certificates() == [parse(new.token).certificate_pem]
    assert fleet.sessions.token_changes == 1
    await fleet.tokens.revoke_join(new.info.id)
    assert fleet.sessions.token_changes == 2
    assert await fleet.tokens.list_join() == []
    assert await fleet.tokens.join_certificates() == []
    with pytest.raises(NotFound):
        await fleet.tokens.revoke_join(new.info.id)


async def test_an_id_that_cannot_be_one_is_not_found(fleet: Services) -> None:
    for revoke in (fleet.tokens.revoke_join, fleet.tokens.revoke_api):
        with pytest.raises(NotFound):
            await revoke("a\0b")


async def test_an_expired_join_token_is_refused_in_words_for_a_day(fleet: Services) -> None:
    await fleet.tokens.create_join(CreateJoinToken())
    fleet.clock.now += 3601
    assert len(await fleet.tokens.join_certificates()) == 1
    fleet.clock.now += 86400
    assert await fleet.tokens.join_certificates() == []


async def test_the_newest_join_token_comes_first_and_says_who_used_it(fleet: Services) -> None:
    agent = await fleet.join("web-1")
    fleet.clock.now += 1
    unused = await fleet.tokens.create_join(CreateJoinToken())
    newest, used = await fleet.tokens.list_join()
    assert newest == unused.info
    assert (used.used_by, used.used_at) == (agent.agent_id, fleet.clock.now - 1)


@pytest.mark.parametrize(
    "request_",
    [
        CreateJoinToken(gid=0),
        CreateJoinToken(gid=2**31),
        CreateJoinToken(expires_s=0),
        CreateJoinToken(expires_s=float("nan")),
        CreateJoinToken(expires_s=1e12),
        CreateJoinToken(labels={"": ""}),
    ],
)
async def test_join_tokens_that_make_no_sense_are_refused(fleet: Services, request_: CreateJoinToken) -> None:
    with pytest.raises(BadInput):
        await fleet.tokens.create_join(request_)


async def test_a_bearer_token_is_who_it_says_until_it_is_revoked(fleet: Services) -> None:
    new = await fleet.tokens.create_api(CreateApiToken(name="ci", role=Role.OPERATOR))
    assert await fleet.tokens.verify(new.token) == new.info
    assert await fleet.tokens.list_api() == [replace(new.info, used_at=fleet.clock.now)]
    await fleet.tokens.revoke_api(new.info.id)
    with pytest.raises(Unauthenticated):
        await fleet.tokens.verify(new.token)
    with pytest.raises(NotFound):
        await fleet.tokens.revoke_api(new.info.id)


async def test_no_secret_is_stored(fleet: Services, tmp_path: Path) -> None:
    join = await fleet.tokens.create_join(CreateJoinToken())
    api = await fleet.tokens.create_api(CreateApiToken(name="ci", role=Role.ADMIN))
    await fleet.database.close()
    stored = (tmp_path / "state.db").read_bytes()
    assert b"ci" in stored
    assert api.token.split("_", 2)[2].encode() not in stored
    assert join.token.encode() not in stored


async def test_foreign_bearer_tokens_are_refused(fleet: Services) -> None:
    new = await fleet.tokens.create_api(CreateApiToken(name="ci", role=Role.ADMIN))
    other = await fleet.tokens.create_api(CreateApiToken(name="other", role=Role.VIEWER))
    prefix, token_id, secret = new.token.split("_", 2)
    wrong = [
        "",
        "qda_",
        "qda__",
        new.token[:-1],
        new.token + "x",
        f"{token_id}_{secret}",
        f"{prefix}_{other.info.id}_{secret}",
        f"{prefix}_{token_id}_",
        "\ud800",
        "é" * 100,
    ]
    for token in wrong:
        with pytest.raises(Unauthenticated):
            await fleet.tokens.verify(token)


async def test_a_bearer_token_expires(fleet: Services) -> None:
    new = await fleet.tokens.create_api(CreateApiToken(name="ci", role=Role.VIEWER, expires_s=60))
    fleet.clock.now += 59
    assert await fleet.tokens.verify(new.token) == new.info
    fleet.clock.now += 1
    with pytest.raises(TokenExpired):
        await fleet.tokens.verify(new.token)


async def test_names_of_bearer_tokens_are_unique(fleet: Services) -> None:
    await fleet.tokens.create_api(CreateApiToken(name="ci", role=Role.VIEWER))
    with pytest.raises(AlreadyExists, match="'ci'"):
        await fleet.tokens.create_api(CreateApiToken(name="ci", role=Role.ADMIN))


async def test_the_local_admin_token_is_kept_while_it_is_good(fleet: Services, tmp_path: Path) -> None:
    path = tmp_path / "admin.token"
    token = await fleet.tokens.write_local_admin(path, server=HERE)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.read_text().strip() == token
    assert (await fleet.tokens.verify(token)).role is Role.ADMIN
    assert await fleet.tokens.write_local_admin(path, server=HERE) == token
    for damage in (b"", b"something else", b"\xff\xfe"):
        path.write_bytes(damage)
        fresh = await fleet.tokens.write_local_admin(path, server=HERE)
        assert fresh != token
        with pytest.raises(Unauthenticated):
            await fleet.tokens.verify(token)
        token = fresh
    assert [info.name for info in await fleet.tokens.list_api()] == ["local"]


async def test_servers_of_one_store_leave_each_other_their_local_tokens(fleet: Services, tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    first = await fleet.tokens.write_local_admin(here, server=HERE)
    second = await fleet.tokens.write_local_admin(there, server=THERE)
    assert (await fleet.tokens.verify(first)).name == "local"
    assert (await fleet.tokens.verify(second)).name == f"local-{THERE}"
    there.unlink()
    third = await fleet.tokens.write_local_admin(there, server=THERE)
    assert (await fleet.tokens.verify(first)).role is (await fleet.tokens.verify(third)).role is Role.ADMIN
    with pytest.raises(Unauthenticated):
        await fleet.tokens.verify(second)
