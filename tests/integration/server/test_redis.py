"""Commands through a real Redis, to an agent that is a test, and their results back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import update

from quarterdeck.link.messages import JobOffers, JobResults, JobsTaken
from quarterdeck.model.config import RedisConfig, ServerConfig
from quarterdeck.model.errors import BadConfig
from quarterdeck.model.jobs import JobResult, JobState
from quarterdeck.model.queue import COMMANDS, REJECTED, QueuedResult, RejectedCommand, results_of
from quarterdeck.server.redis.connection import Connection
from quarterdeck.server.redis.queue import ACTOR
from quarterdeck.server.server import Server
from quarterdeck.store.state.database import Database
from quarterdeck.store.state.schema import redis_command
from tests.integration.server.agent import connected, joined
from tests.redis_server import RedisServer
from tests.support import until


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    with RedisServer(tmp_path / "redis", password="se:cret") as running:
        yield running


@pytest.fixture
async def server(config: ServerConfig, redis: RedisServer) -> AsyncGenerator[Server]:
    running = Server(msgspec.structs.replace(config, redis=RedisConfig(url=redis.url)))
    await running.start()
    yield running
    await running.stop()


def ask(redis: RedisServer, **fields: Any) -> None:
    redis.client.rpush(COMMANDS, msgspec.json.encode({"cmd": "ping", "gid": 1, "nid": 1, **fields}))


async def results(redis: RedisServer, command_id: str, count: int = 1) -> list[QueuedResult]:
    async def there() -> bool:
        return redis.client.llen(results_of(command_id)) >= count

    await until(there)
    return [msgspec.json.decode(each, type=QueuedResult) for each in redis.client.lrange(results_of(command_id), 0, -1)]


def ok(command_id: str) -> JobResults:
    return JobResults(results=(JobResult(id=command_id, state=JobState.OK),))


def taken(redis: RedisServer) -> list[bytes]:
    return [each for key in redis.client.keys(f"{COMMANDS}.taken.*") for each in redis.client.lrange(key, 0, -1)]


async def settled(redis: RedisServer) -> None:
    async def done() -> bool:
        return not redis.client.llen(COMMANDS) and not taken(redis)

    await until(done)


async def test_a_command_comes_and_its_result_goes(server: Server, redis: RedisServer) -> None:
    agent = await connected(server)
    ask(redis, id="one", data={"a": 1}, tags="blue")
    (offer,) = (await agent.expect(JobOffers)).jobs
    assert (offer.id, offer.cmd, offer.data) == ("one", "ping", '{"a":1}')
    result = JobResult(
        id="one", state=JobState.OK, data="{}", level=20, starttime=5, time=7, streams=("a", "b"), code=0
    )
    await agent.say(JobsTaken(ids=("one",)))
    await agent.say(JobResults(results=(result,)))
    (found,) = await results(redis, "one")
    assert found == QueuedResult(
        id="one", gid=1, nid=1, cmd="ping", state=JobState.OK, data="{}", level=20, starttime=5, time=7,
        streams=("a", "b"), code=0, tags="blue", jobs=1,
    )  # fmt: skip
    assert 0 < redis.client.ttl(results_of("one")) <= 86400
    entries = [(each.actor, each.role, each.action, each.target, each.detail) for each in await server.audit.list()]
    assert ("redis", "operator", "createCommand", "one", "ping on web-1") in entries
    assert ("redis", "operator", "endCommand", "one", "ping: OK 1") in entries
    await agent.close()


async def test_what_is_no_command_is_answered_where_an_id_can_be_read(server: Server, redis: RedisServer) -> None:
    redis.client.rpush(COMMANDS, b"not json", b'{"cmd":"ping"}', b'{"id":"extra","cmd":"ping","gid":1,"nid":1,"x":1}')
    ask(redis, id="nobody", nid=77)
    ask(redis, id="roles", gid=None, nid=None, roles=["web"])
    ask(redis, id="both", roles=["web"])
    ask(redis, id="fanout", fanout=True)
    found = {name: (await results(redis, name))[0] for name in ("extra", "nobody", "roles", "both", "fanout")}
    assert {result.state for result in found.values()} == {JobState.ERROR}
    assert "`x`" in found["extra"].reason
    assert "1/77" in found["nobody"].reason or "No node has joined" in found["nobody"].reason
    assert "found both" in found["both"].reason
    assert "fanout" in found["fanout"].reason
    await settled(redis)
    rejected = [msgspec.json.decode(each, type=RejectedCommand) for each in redis.client.lrange(REJECTED, 0, -1)]
    assert [each.command for each in rejected] == ["not json", '{"cmd":"ping"}']


async def test_roles_choose_one_node_or_with_fanout_all(server: Server, redis: RedisServer) -> None:
    await joined(server, "web-2")
    agent = await connected(server)
    for node in await server.nodes.list():
        await server.nodes.label(f"{node.gid}/{node.nid}", {"role": "web,db" if node.nid == 2 else "web"})
    ask(redis, id="any", gid=None, nid=None, roles=["*"])
    ask(redis, id="all", gid=None, nid=None, roles=["web"], fanout=True)
    ask(redis, id="both", gid=1, nid=None, roles=["db", "web"])
    ask(redis, id="none", gid=None, nid=None, roles=["cache"])
    assert "no agents with role cache" in (await results(redis, "none"))[0].reason
    await settled(redis)
    nodes = {name: {job.nid for job in (await server.commands.show(name)).jobs} for name in ("any", "all", "both")}
    assert nodes == {"any": {2}, "all": {1, 2}, "both": {2}}, "one that is online, where one is meant"
    await agent.close()


async def test_the_same_once_more_is_the_same_and_another_with_its_id_is_refused(
    server: Server, redis: RedisServer
) -> None:
    agent = await connected(server)
    for _ in range(3):
        ask(redis, id="one")
    ask(redis, id="one", cmd="restart")
    redis.client.rpush(COMMANDS, b'{"id":"one","cmd":7}')
    await settled(redis)
    ask(redis, id="one")
    await settled(redis)
    await agent.say(ok("one"))
    assert [each.state for each in await results(redis, "one")] == [JobState.OK]
    assert (await server.commands.show("one")).cmd == "ping"
    assert len(await server.commands.list()) == 1
    assert redis.client.llen(REJECTED) == 2
    await agent.close()


async def test_what_a_killed_server_had_taken_is_taken_up_and_what_it_had_made_is_not_made_again(
    config: ServerConfig, redis: RedisServer
) -> None:
    config = msgspec.structs.replace(config, redis=RedisConfig(url=redis.url))
    first = Server(config)
    await first.start()
    agent = await connected(first)
    ask(redis, id="made")
    await settled(redis)
    await agent.say(ok("made"))
    await results(redis, "made")
    await agent.close()
    await first.stop()

    (key,) = redis.client.keys(f"{COMMANDS}.logged.*")
    mine = key.decode().replace(".logged.", ".taken.")
    for name in ("made", "taken"):
        redis.client.rpush(mine, msgspec.json.encode({"cmd": "ping", "gid": 1, "nid": 1, "id": name}))
    second = Server(config)
    await second.start()
    await settled(redis)
    assert {command.id for command in await second.commands.list()} == {"made", "taken"}
    assert len(await results(redis, "made")) == 1
    assert redis.client.llen(REJECTED) == 0
    await second.stop()


async def test_a_result_is_there_once_when_it_was_put_there_and_never_noted(
    config: ServerConfig, redis: RedisServer
) -> None:
    config = msgspec.structs.replace(config, redis=RedisConfig(url=redis.url))
    first = Server(config)
    await first.start()
    agent = await connected(first)
    ask(redis, id="one")
    await settled(redis)
    await agent.say(ok("one"))
    await results(redis, "one")
    ask(redis, id="two")
    await settled(redis)
    await agent.close()
    await first.stop()

    database = await Database.open(f"sqlite:///{config.home}/state.db")
    async with database.write() as transaction:
        await transaction.execute(update(redis_command).values(delivered=0))
    await database.close()
    second = Server(config)
    await second.start()
    await second.commands.kill("two", (), ACTOR)
    agent.address = (await second.about.info()).link
    await agent.connect()
    await agent.say(ok("two"))
    await results(redis, "two")
    assert len(await results(redis, "one")) == 1
    await agent.close()
    await second.stop()


async def test_redis_may_be_away_at_the_start_and_later_and_what_was_under_way_goes_on(
    config: ServerConfig, redis: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    redis.kill()
    server = Server(msgspec.structs.replace(config, redis=RedisConfig(url=redis.url)))
    await server.start()
    agent = await connected(server)
    await asyncio.to_thread(redis.start)
    ask(redis, id="one")
    assert (await agent.expect(JobOffers)).jobs[0].id == "one"
    await settled(redis)
    redis.kill()
    await agent.say(ok("one"))

    async def over() -> bool:
        return JobState.OK in (await server.commands.show("one")).states

    await until(over)
    await asyncio.to_thread(redis.start)
    assert len(await results(redis, "one")) == 1
    ask(redis, id="two")
    await settled(redis)
    assert {command.id for command in await server.commands.list()} == {"one", "two"}
    assert "se:cret" not in caplog.text
    assert sum("does not answer" in record.getMessage() for record in caplog.records) == 2, caplog.text
    await agent.close()
    await server.stop()


async def test_a_list_that_is_none_keeps_no_other_result_away(server: Server, redis: RedisServer) -> None:
    agent = await connected(server)
    redis.client.set(results_of("one"), "mine")
    for name in ("one", "two"):
        ask(redis, id=name)
    await settled(redis)
    await agent.say(ok("one"))
    await agent.say(ok("two"))
    assert len(await results(redis, "two")) == 1
    assert redis.client.get(results_of("one")) == b"mine"
    await agent.close()


def test_a_url_that_is_none_is_refused_without_showing_it() -> None:
    with pytest.raises(BadConfig) as caught:
        Connection("http://user:se:cret@host")
    assert "cret" not in str(caught.value)
