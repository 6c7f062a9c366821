"""The telemetry store for tests: embedded, and by URL. A process can open one folder, so each test has a database."""

from __future__ import annotations

import secrets
from collections.abc import AsyncGenerator, Generator
from pathlib import Path

import pytest

from quarterdeck.server.ingest.ingest import INSERTS, Ingest
from quarterdeck.server.ingest.inserts import Inserts
from quarterdeck.server.queries import Queries
from quarterdeck.server.signals import LocalSignals
from quarterdeck.server.tables import Tables
from quarterdeck.server.tail import Tail
from quarterdeck.store.telemetry.clickhouse import TelemetryStore, open_store
from quarterdeck.store.telemetry.sessions import embedded
from quarterdeck.testing.journal import MemoryJournal
from tests.clickhouse_front import clickhouse_front
from tests.telemetry import EXECS, MEMORY


@pytest.fixture(scope="session")
def engine_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("chdb")


def _embedded_store(folder: Path) -> TelemetryStore:
    return TelemetryStore(embedded(folder, 1_000_000_000), database=f"test_{secrets.token_hex(6)}", kind="chdb")


@pytest.fixture
def embedded_store(engine_folder: Path) -> Generator[TelemetryStore]:
    store = _embedded_store(engine_folder)
    yield store
    store.close()


@pytest.fixture(params=["chdb", "clickhouse"])
def store(request: pytest.FixtureRequest, engine_folder: Path, tmp_path: Path) -> Generator[TelemetryStore]:
    """The store, embedded and by URL."""
    if request.param == "chdb":
        opened = _embedded_store(engine_folder)
        yield opened
        opened.close()
        return
    with clickhouse_front(engine_folder) as url:
        opened = open_store(url=f"{url}/test_{secrets.token_hex(6)}", path=tmp_path)
        yield opened
        opened.close()


@pytest.fixture
def journal() -> MemoryJournal:
    return MemoryJournal()


@pytest.fixture
async def tables(embedded_store: TelemetryStore, journal: MemoryJournal) -> Tables:
    opened = Tables(embedded_store, journal)
    await opened.start()
    await opened.ensure(EXECS)
    return opened


@pytest.fixture
def signals() -> LocalSignals:
    return LocalSignals()


@pytest.fixture
async def ingest(
    embedded_store: TelemetryStore, journal: MemoryJournal, tables: Tables, signals: LocalSignals
) -> AsyncGenerator[Ingest]:
    opened = Ingest(Inserts(embedded_store, journal), tables, signals=signals, interval_s=0.01)
    await opened.start()
    yield opened
    await opened.stop()


@pytest.fixture
async def queries(
    embedded_store: TelemetryStore, tables: Tables, ingest: Ingest, signals: LocalSignals
) -> AsyncGenerator[Queries]:
    async def offline(_: object) -> tuple[str, ...]:
        return ()

    opened = Queries(embedded_store, tables, offline=offline, memory=MEMORY)
    signals.listen(INSERTS, opened.arrived)
    yield opened
    await opened.stop()


@pytest.fixture
def tail(embedded_store: TelemetryStore, tables: Tables, ingest: Ingest, signals: LocalSignals) -> Tail:
    opened = Tail(embedded_store, tables)
    signals.listen(INSERTS, opened.arrived)
    return opened
