"""A fleet that gets commands through Redis: each command has exactly one result per job, whatever is killed."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import pytest

from quarterdeck.client.redis import RedisClient, RedisCommand
from quarterdeck.model.errors import TimedOut
from quarterdeck.model.jobs import JobState
from quarterdeck.model.queue import QueuedResult
from tests.fleet import Fleet, eventually
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


SETTINGS = {
    "max_time": 60,
    "max_restart": 0,
    "domain": "shop",
    "name": "backup",
    "loglevels": "*",
    "loglevels_db": "1,3-9,20",
    "loglevels_ac": "7",
    "recurring_period": 0,
    "stats_interval": 120,
}


def _one(command: RedisCommand) -> QueuedResult:
    (result,) = command.wait(timeout=60)
    return result


def test_every_command_of_the_document_with_its_arguments(client: RedisClient) -> None:
    looks = (client.get_nic_info, client.get_mem_info, client.get_disk_info, client.get_cpu_info, client.get_os_info)
    for result in [_one(each) for each in [look(1, 1) for look in looks]]:
        assert (result.state, result.level, result.gid, result.nid) == (JobState.OK, 20, 1, 1), result
        assert json.loads(result.data)

    script = "import sys\nprint('7::' + sys.stdin.read())\nprint('2::kept nowhere')\nprint('20::[1, 2]')"
    program = "cat; echo; echo 7::low; pwd; echo '20::[1, 2]'"
    before = int(time.time() * 1000)
    ran = [
        client.execute_js_py(1, 1, script, args=SETTINGS, data={"of": "py"}),
        client.execute_js_lua(1, 1, "print('7::' .. io.read('a'))\nprint('20::[1, 2]')", args=SETTINGS, data="of lua"),
        client.execute(1, 1, "/bin/sh", ["-c", program], args={**SETTINGS, "workingdir": "$root"}, data="of sh"),
    ]
    results = [_one(each) for each in ran]
    for result in results:
        assert (result.state, result.code, result.data, result.level) == (JobState.OK, 0, "[1, 2]", 20), result
        assert result.args["stats_interval"] == 120, "the result says what was asked"
        assert before <= result.starttime
        assert result.time >= 0
    assert results[2].streams[0].splitlines() == ["of sh", "7::low", "/", "20::[1, 2]"]


def _texts(client: RedisClient, data: dict[str, object]) -> list[str]:
    result = _one(client.cmd(1, 1, "get_msgs", data=data))
    return [message["data"] for message in json.loads(result.data)["messages"]]


def test_messages_are_got_deleted_and_forwarded_as_the_document_says(client: RedisClient) -> None:
    lines = "echo out; echo 2::err; echo 7::warned; echo 10::hits:1|c; echo 20::{}"
    job = client.execute(1, 1, "/bin/sh", ["-c", lines], args={**SETTINGS, "name": "said"})
    _one(job)
    assert _texts(client, {"jobid": job.id, "levels": "*"}) == ["out", "warned", "{}"], "as loglevels_db says"
    assert _texts(client, {"jobid": job.id, "levels": "1-6"}) == ["out"]
    assert _texts(client, {"jobid": job.id, "timeto": 1000}) == []
    assert json.loads(_one(client.del_msgs(1, 1, {"jobid": job.id, "levels": "1,2"})).data)["deleted"] == 1
    assert _texts(client, {"jobid": job.id}) == ["warned", "{}"]
    forwarded = eventually(lambda: client.messages("shop", "said"), "messages in log.shop.said")
    assert [(each.level, each.data, each.jobid) for each in forwarded] == [(7, "warned", job.id)]


def test_processes_are_measured_and_ended_as_the_document_says(client: RedisClient, fleet: Fleet) -> None:
    lasting = client.execute(1, 1, "/bin/sleep", ["600"], args={"max_time": -1, "domain": "d", "name": "lasting"})
    once = client.execute(1, 1, "/bin/sleep", ["600"], args={"domain": "d", "name": "once"})

    def running(**chosen: str) -> set[str]:
        result = _one(client.get_processes_stats(1, 1, **chosen))
        return {each["id"] for each in json.loads(result.data)["processes"]}

    eventually(lambda: running(domain="d") == {lasting.id, once.id}, "both to run")
    assert running(domain="d", name="once") == {once.id}
    stats = json.loads(_one(client.cmd(1, 1, "get_process_stats", data={"id": lasting.id})).data)
    assert stats["rss"] > 0
    assert json.loads(_one(client.killall(1, 1)).data)["killed"] >= 2
    assert _one(once).state is JobState.KILLED
    eventually(lambda: running(domain="d") == {lasting.id}, "what is remembered to run again")

    agent = fleet.agents["one"]
    assert client.restart(1, 1)
    assert agent.wait() == 0
    agent.start()
    eventually(lambda: running(domain="d") == {lasting.id}, "what is remembered to run in the agent's next life")
    assert _one(client.cmd(1, 1, "kill", data={"id": lasting.id})).state is JobState.OK
    assert _one(lasting).state is JobState.KILLED
