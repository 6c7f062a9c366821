"""The built-in commands: structured answers about this host, and errors for unknown arguments."""

from __future__ import annotations

import os
import platform
import socket
from typing import Any

import msgspec
import psutil
import pytest

from quarterdeck.agent.commands.builtin import builtin_commands
from quarterdeck.agent.commands.command import JSON_LEVEL, answer
from quarterdeck.model.errors import BadInput, NotFound
from quarterdeck.model.hosts import CpuInfo, DiskInfo, MemInfo, NicInfo, OsInfo, Pong
from quarterdeck.model.jobs import JobOffer, JobState

LOOKS: dict[str, type[msgspec.Struct]] = {
    "ping": Pong,
    "get_cpu_info": CpuInfo,
    "get_mem_info": MemInfo,
    "get_disk_info": DiskInfo,
    "get_nic_info": NicInfo,
    "get_os_info": OsInfo,
}


class Node:
    """The effects of commands on their node."""

    def __init__(self) -> None:
        self.jobs = {"long"}
        self.restarts: list[str] = []
        self.commands = builtin_commands(kill=self.kill, restart=self.restarts.append)

    def kill(self, id_: str, reason: str) -> bool:
        assert "by the job 'j'" in reason
        return id_ in self.jobs

    async def run(self, cmd: str, data: str = "", **arguments: Any) -> Any:
        return await self.commands[cmd].run(JobOffer(id="j", cmd=cmd, args=arguments, data=data))


async def look(cmd: str, kind: type[Any]) -> Any:
    outcome = await Node().run(cmd, queue="q", max_time=5)
    assert (outcome.state, outcome.level) == (JobState.OK, JSON_LEVEL)
    return msgspec.json.decode(outcome.data, type=kind)


async def test_ping() -> None:
    assert (await look("ping", Pong)).hostname == socket.gethostname()


async def test_cpus() -> None:
    info = await look("get_cpu_info", CpuInfo)
    assert info.cpus == psutil.cpu_count() == len(info.times_per_cpu_s)
    assert info.model
    assert info.times_s["user"] > 0


async def test_memory() -> None:
    info = await look("get_mem_info", MemInfo)
    assert info.total == psutil.virtual_memory().total
    assert 0 < info.available <= info.total
    assert info.swap_used + info.swap_free == info.swap_total


async def test_disks() -> None:
    info = await look("get_disk_info", DiskInfo)
    root = next(partition for partition in info.partitions if partition.mount_point == "/")
    assert root.size == os.statvfs("/").f_blocks * os.statvfs("/").f_frsize
    assert 0 < root.used <= root.size
    assert not any(partition.type == "proc" for partition in info.partitions)
    assert {disk.name for disk in info.disks} == set(psutil.disk_io_counters(perdisk=True) or {})


async def test_network_interfaces() -> None:
    info = await look("get_nic_info", NicInfo)
    loopback = next(nic for nic in info.nics if "127.0.0.1/8" in nic.addresses)
    assert loopback.up
    assert loopback.mtu > 0


async def test_system() -> None:
    info = await look("get_os_info", OsInfo)
    assert (info.type, info.kernel) == (platform.system(), platform.release())
    assert info.uptime_s > 0
    assert info.timezone


@pytest.mark.parametrize("cmd", [*LOOKS, "restart", "kill"])
async def test_an_unknown_argument_is_refused_in_words(cmd: str) -> None:
    with pytest.raises(BadInput, match=f"{cmd} takes the arguments .*queue, max_time; found 'colour'"):
        await Node().run(cmd, colour="red")
    with pytest.raises(BadInput, match="found 'colour'"):
        await Node().run(cmd, data='{"colour": "red"}')
    with pytest.raises(BadInput, match="JSON object in data"):
        await Node().run(cmd, data="hello")


async def test_kill_ends_another_job() -> None:
    assert (await Node().run("kill", id="long")).state is JobState.OK
    assert (await Node().run("kill", data='{"id": "long"}')).state is JobState.OK
    with pytest.raises(NotFound, match="No job 'none' waits or runs"):
        await Node().run("kill", id="none")
    with pytest.raises(BadInput, match="its own id"):
        await Node().run("kill", id="j")
    with pytest.raises(BadInput, match="id"):
        await Node().run("kill")
    with pytest.raises(BadInput, match="id"):
        await Node().run("kill", id=7)


async def test_restart_asks_for_it_and_is_ok_when_it_was_cut_short() -> None:
    node = Node()
    assert (await node.run("restart")).state is JobState.OK
    assert node.restarts == ["j"]
    resume = node.commands["restart"].resume
    assert resume is not None
    assert (await resume(JobOffer(id="j", cmd="restart"))).state is JobState.OK


def test_only_restart_survives_the_agents_end() -> None:
    assert {name for name, command in Node().commands.items() if command.resume} == {"restart"}


def test_names_that_are_no_text_are_answered_with_their_bytes() -> None:
    outcome = answer(Named(name="caf\udce9", inner={"\udcff": ["\udc80", 1]}))
    assert msgspec.json.decode(outcome.data) == {"name": "caf\\xe9", "inner": {"\\xff": ["\\x80", 1]}}


class Named(msgspec.Struct):
    name: str
    inner: dict[str, list[str | int]]
