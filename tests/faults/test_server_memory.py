"""A server limited to 1 GB: large queries are refused or wait, and it stays alive and healthy."""

from __future__ import annotations

import threading
from collections.abc import Generator
from pathlib import Path

import httpx
import pytest

from quarterdeck.client import Client, Endpoint
from quarterdeck.model.errors import QuarterdeckError, TimedOut, TooLarge
from quarterdeck.model.tokens import Role
from tests.fleet import Fleet
from tests.memory_groups import memory_group

LIMIT_BYTES = 1 << 30
TOO_MUCH = (
    "SELECT groupArray(number) FROM numbers(100000000)",
    "SELECT groupArray(toString(number)) FROM numbers(30000000)",
    "SELECT number, toString(number) FROM numbers(10000000)",
    "SELECT uniqExact(number) FROM numbers(1000000000)",
    "SELECT count() FROM numbers(50000000) a JOIN numbers(50000000) b ON a.number = b.number",
)
LONG = (
    "SELECT number FROM numbers(200000000) ORDER BY rand() LIMIT 199999999",
    "SELECT number, count() FROM numbers(500000000) GROUP BY number ORDER BY 2",
)
#: 10 MB of values, as JSON six times as much
LARGE = "SELECT repeat('\\0', 1000000) FROM numbers(10)"


@pytest.fixture
def fleet(tmp_path: Path) -> Generator[Fleet]:
    with memory_group(LIMIT_BYTES) as members, Fleet(tmp_path, server_group=members) as made:
        yield made


def well(fleet: Fleet) -> bool:
    return fleet.server.running and httpx.get(f"http://{fleet.http}/healthz", timeout=30).status_code == 200


def viewer(fleet: Fleet, name: str) -> Client:
    token = fleet.client.api_tokens.create(name, Role.VIEWER).token
    return Client(Endpoint.find(http=fleet.http, token=token, home=fleet.server.home))


def test_queries_that_want_more_than_there_is_are_refused(fleet: Fleet) -> None:
    for sql in TOO_MUCH:
        with pytest.raises(TooLarge):
            fleet.client.queries.run(sql, max_rows=10_000_000)
        assert well(fleet), sql

    def ask(client: Client, sql: str) -> None:
        try:
            client.queries.run(sql, max_rows=10_000_000, timeout_s=3)
        except (TooLarge, TimedOut) as error:
            refused.append(error)

    refused: list[QuarterdeckError] = []
    clients = [viewer(fleet, f"viewer {number}") for number in range(2)]
    asking = [threading.Thread(target=ask, args=(client, sql)) for client in clients for sql in LONG]
    for thread in asking:
        thread.start()
    for thread in asking:
        thread.join()
    for client in clients:
        client.close()
    assert len(refused) == len(asking)
    assert well(fleet)
    assert fleet.rows("SELECT 1") == [[1]]


def test_who_does_not_read_its_answers_is_made_to_wait(fleet: Fleet) -> None:
    token = fleet.client.api_tokens.create("mallory", Role.VIEWER).token
    question = {"sql": LARGE, "timeout_s": 2}
    statuses: list[int] = []
    with httpx.Client(base_url=f"http://{fleet.http}", headers={"Authorization": f"Bearer {token}"}) as mallory:
        unread = [mallory.stream("POST", "/api/v1/query", json=question, timeout=30) for _ in range(6)]
        for each in unread:
            statuses.append(each.__enter__().status_code)
            assert well(fleet)
        assert fleet.rows("SELECT 1") == [[1]], "others are not held up"
        for each in unread:
            each.__exit__(None, None, None)
    assert statuses[0] == 200
    assert statuses[-1] == TimedOut.http_status
