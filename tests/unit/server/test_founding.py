"""The CA and the state store belong together: a server with only one, or with another fleet's, does not start."""

from __future__ import annotations

import shutil
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from sqlalchemy import delete

from quarterdeck.model.errors import BadConfig
from quarterdeck.model.tokens import CreateApiToken, Role
from quarterdeck.server import founding
from quarterdeck.server.ca import CertificateAuthority
from quarterdeck.server.founding import open_authority
from quarterdeck.store.state import fleet as rows
from quarterdeck.store.state.database import Database
from quarterdeck.store.state.schema import fleet
from tests.services import Services
from tests.state import sqlite_url


@asynccontextmanager
async def opened(folder: Path) -> AsyncGenerator[Database]:
    database = await Database.open(sqlite_url(folder))
    try:
        yield database
    finally:
        await database.close()


async def start(folder: Path) -> bytes:
    """Start a server in this folder; return the fingerprint of its CA."""
    async with opened(folder) as database:
        return (await open_authority(database, folder, certificate_days=30)).fingerprint


def lose_state(folder: Path) -> None:
    for file in folder.glob("state.db*"):
        file.unlink()


async def test_both_are_made_together_and_found_again(tmp_path: Path) -> None:
    first = await start(tmp_path)
    assert await start(tmp_path) == first


@pytest.mark.parametrize("how", ["missing", "zero bytes"])
async def test_an_empty_state_beside_a_ca_is_refused(tmp_path: Path, how: str) -> None:
    first = await start(tmp_path)
    lose_state(tmp_path)
    if how == "zero bytes":
        (tmp_path / "state.db").touch()
    for _ in range(2):  # and stays so
        with pytest.raises(BadConfig, match="is empty") as caught:
            await start(tmp_path)
        assert "backup" in caught.value.hint
    assert CertificateAuthority.open(tmp_path, certificate_days=30).fingerprint == first


async def test_a_missing_ca_is_never_made_again(tmp_path: Path) -> None:
    await start(tmp_path)
    (tmp_path / "ca" / "ca.pem").unlink()
    for _ in range(2):
        with pytest.raises(BadConfig, match="there is none"):
            await start(tmp_path)
    assert not (tmp_path / "ca" / "ca.pem").exists()


async def test_the_state_of_another_fleet_is_refused(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    for folder in (one, other):
        await start(folder)
    lose_state(one)
    shutil.copy(other / "state.db", one / "state.db")
    with pytest.raises(BadConfig, match="another CA"):
        await start(one)


async def test_a_new_fleet_begins_where_both_are_gone(tmp_path: Path) -> None:
    first = await start(tmp_path)
    lose_state(tmp_path)
    shutil.rmtree(tmp_path / "ca")
    assert await start(tmp_path) != first


@pytest.mark.parametrize("step", ["open", "set_ca"])
async def test_killed_at_its_first_start_it_starts_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def killed(*_: object, **__: object) -> None:
        raise RuntimeError

    with monkeypatch.context() as patch:
        patch.setattr(founding.CertificateAuthority if step == "open" else founding.fleet, step, killed)
        with pytest.raises(RuntimeError):
            await start(tmp_path)
    first = await start(tmp_path)
    assert await start(tmp_path) == first


@pytest.mark.parametrize("ca", [True, False])
async def test_a_state_of_an_earlier_release_takes_the_ca_beside_it_and_none_else(tmp_path: Path, ca: bool) -> None:
    first = await start(tmp_path)
    async with opened(tmp_path) as database:
        await Services(database, tmp_path).tokens.create_api(CreateApiToken(name="local", role=Role.ADMIN))
        async with database.write() as transaction:
            await transaction.execute(delete(fleet))
    if ca:
        assert await start(tmp_path) == first
        async with opened(tmp_path) as database, database.read() as transaction:
            assert await rows.find_ca(transaction) == first.hex()
    else:
        (tmp_path / "ca" / "ca.pem").unlink()
        with pytest.raises(BadConfig, match="there is none"):
            await start(tmp_path)
