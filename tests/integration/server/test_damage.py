"""Damaged telemetry is reported, counted once, and kept; undamaged tables stay usable."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from quarterdeck.api.app import create_app
from quarterdeck.api.serve import HttpServer
from quarterdeck.model.config import ServerConfig
from quarterdeck.server.ingest.batches import from_agent
from quarterdeck.server.server import Server
from tests.support import until
from tests.telemetry import EXECS, agent, batch, execs


@asynccontextmanager
async def running(config: ServerConfig) -> AsyncIterator[Server]:
    server = Server(config)
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


def counted(server: Server) -> list[list[object]]:
    store = server._stores.telemetry
    sql = f"SELECT table, sum(rows), count() FROM `{store.database}`.losses WHERE reason = 'damaged' GROUP BY ALL"
    return store._rows(sql)


def rows(server: Server) -> int:
    return server._stores.telemetry._rows(f"SELECT count() FROM `{server._stores.telemetry.database}`.execs")[0][0]


def tree(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*.bin")}


def one_part_is_damaged(folder: Path) -> None:
    part = next(path for path in folder.glob("store/*/*/*/count.txt") if path.read_text() == "100").parent
    (part / "data.bin").write_bytes(b"short")


def a_definition_is_gone(folder: Path) -> None:
    next(folder.glob("store/*/*/execs.sql")).unlink()


def all_definitions_are_gone(folder: Path) -> None:
    shutil.rmtree(folder / "metadata")


@pytest.mark.parametrize(
    ("harm", "left", "lost"),
    [(one_part_is_damaged, 30, 100), (a_definition_is_gone, 0, 130), (all_definitions_are_gone, 0, 130)],
)
async def test_damage_is_said_and_counted_once_and_what_is_there_is_kept(
    config: ServerConfig, harm: Callable[[Path], None], left: int, lost: int, caplog: pytest.LogCaptureFixture
) -> None:
    folder = Path(config.home) / "telemetry"
    async with running(config) as server:
        await server.tables.ensure(EXECS)
        assert server.about.problems == ()
        store = server._sessions._intake._store
        await store(from_agent(agent(), batch(execs(100), 100)))
        await store(from_agent(agent(), batch(execs(30), 30, seq=1)))
    before = tree(folder)
    harm(folder)
    for _ in range(2):
        async with running(config) as server:
            await until(lambda: ["execs", lost] in [found[:2] for found in counted(server)])
            assert [found for found in counted(server) if found[0] == "execs"] == [["execs", lost, 1]]
            assert rows(server) == left
            assert any("'execs'" in problem and str(folder) in problem for problem in server.about.problems)
            assert server.about.problems[0] in caplog.text
            assert (await server.about.info()).problems == server.about.problems
    assert len(tree(folder)) >= len(before) > 0


async def test_health_is_shown_to_everybody(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    http = HttpServer(create_app(server), "127.0.0.1:0")
    await http.start()
    async with httpx.AsyncClient(base_url=f"http://{http.address}") as client:
        for path in ("/healthz", "/readyz"):
            head = await client.head(path)
            assert (head.status_code, head.content) == (200, b"")
        assert (await client.get("/readyz")).json() == {"status": "ready", "problems": []}
        monkeypatch.setattr(server.about, "problems", ("a part is damaged",))
        assert (await client.get("/readyz")).json()["problems"] == ["a part is damaged"]
    await http.stop()


async def test_a_state_store_that_cannot_be_changed_is_not_ready_and_says_why(server: Server) -> None:
    http = HttpServer(create_app(server), "127.0.0.1:0")
    await http.start()
    async with httpx.AsyncClient(base_url=f"http://{http.address}") as client:
        async with server._stores.database.write() as transaction:
            await transaction.exec_driver_sql("PRAGMA query_only = ON")

        async def unready() -> bool:
            return (await client.get("/readyz")).status_code == 503

        await until(unready)
        answer = (await client.get("/readyz")).json()
        assert answer["code"] == "unavailable"
        assert "readonly" in answer["detail"]
        assert (await client.head("/readyz")).status_code == 503
        assert (await client.head("/healthz")).status_code == 200
    await http.stop()
