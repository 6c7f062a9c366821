"""A fleet that is asked through Redis: each command has exactly its results, whatever is killed in between."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from quarterdeck.client.redis import RedisClient, RedisCommand
from quarterdeck.model.errors import TimedOut
from quarterdeck.model.jobs import JobState
from tests.fleet import Fleet
from tests.redis_server import RedisServer

JOBS = 60


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with RedisServer(tmp_path_factory.mktemp("redis")) as running:
        yield running


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory, redis: RedisServer) -> Iterator[Fleet]:
    with Fleet(tmp_path_factory.mktemp("fleet"), server_environment={"QD_REDIS": redis.url}) as running:
        running.join("one", labels={"role": "web"})
        yield running


@pytest.fixture
def client(fleet: Fleet, redis: RedisServer) -> Iterator[RedisClient]:
    with RedisClient(redis.url) as asked:
        yield asked


def _each_has_one(commands: list[RedisCommand]) -> None:
    for command in commands:
        (result,) = command.wait(timeout=60)
        assert result.state is JobState.OK, result
    for command in commands:
        with pytest.raises(TimedOut):
            command.get_next_result(timeout=0.001)


def test_a_node_is_asked_and_answers(client: RedisClient) -> None:
    commands = [client.ping(1, 1), client.get_os_info(1, 1), client.ping(None, None, roles=["web"], fanout=True)]
    _each_has_one(commands)
    (result,) = client.execute(1, 1, "/bin/echo", ["hello", "world"]).wait(timeout=60)
    assert (result.state, result.code, result.streams[0].strip()) == (JobState.OK, 0, "hello world")


@pytest.mark.parametrize("late_s", [0.0, 0.1])
def test_the_server_is_killed_while_commands_come_and_results_go(
    client: RedisClient, fleet: Fleet, late_s: float
) -> None:
    commands = [client.get_disk_info(1, 1) for _ in range(JOBS)]
    time.sleep(late_s)  # at another moment each time
    fleet.server.kill()
    commands += [client.get_disk_info(1, 1) for _ in range(JOBS)]
    fleet.start_server()
    _each_has_one(commands)


@pytest.mark.parametrize("late_s", [0.0, 0.1])
def test_redis_is_killed_while_commands_come_and_results_go(
    client: RedisClient, redis: RedisServer, late_s: float
) -> None:
    commands = [client.get_disk_info(1, 1) for _ in range(JOBS)]
    time.sleep(late_s)  # at another moment each time
    redis.kill()
    redis.start()
    commands += [client.get_disk_info(1, 1) for _ in range(JOBS)]
    _each_has_one(commands)
