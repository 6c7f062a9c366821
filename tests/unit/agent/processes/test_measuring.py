"""What is fed to statsd of processes: those of one command, domain and name as one, however they began."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from quarterdeck.agent.processes.cgroups import TreeUsage
from quarterdeck.agent.processes.measuring import Measuring
from quarterdeck.agent.processes.supervised_process import Process, SupervisedProcess
from quarterdeck.model.messages import Level
from quarterdeck.model.processes import ProcessSettings, UsualSettings
from quarterdeck.model.stats import StatSource


class Counted:
    """A kernel that counts so many bytes read by each tree, and knows of no process in it."""

    def __init__(self) -> None:
        self.read: dict[str, int] = {}

    def usage(self, process_id: str) -> TreeUsage:
        return TreeUsage(cpu_s=1.0, read_bytes=self.read[process_id])

    def pids(self, process_id: str) -> tuple[int, ...]:
        assert process_id
        return ()


class NoLauncher:
    """Nothing is started here."""

    usual = UsualSettings(stats_interval=30)

    def launch(self, process: SupervisedProcess) -> None: ...

    def end(self, process: SupervisedProcess) -> None: ...

    def note(self, process: SupervisedProcess, level: Level, text: str) -> None: ...


class Node:
    """Processes that run, and what was fed of them."""

    def __init__(self) -> None:
        self.kernel = Counted()
        self.fed: list[tuple[str, dict[str, str]]] = []
        self.measuring = Measuring(self.kernel, feed=self._feed)
        self.running: dict[str, SupervisedProcess] = {}

    def begin(self, process_id: str, read: int, *, cmd: str = "execute", **settings: object) -> None:
        given = ProcessSettings(**{"domain": "d", "name": "n", **settings})  # type: ignore[arg-type]
        kept = self.running[process_id] = SupervisedProcess(
            Process(id=process_id, argv=("x",), settings=given, cmd=cmd), launcher=NoLauncher()
        )
        kept.run.pid = 1
        self.kernel.read[process_id] = read

    async def look(self, now: float) -> list[tuple[str, str]]:
        """Whose sums were fed at this time, and how much they had read."""
        self.fed.clear()
        await self.measuring.look_around(self.running.values(), now=now)
        return [(prefix, gauges["_read_bytes_"]) for prefix, gauges in self.fed]

    def _feed(self, source: StatSource, lines: bytes) -> None:
        gauges = dict(line.split(":") for line in lines.decode().splitlines())
        self.fed.append((source.prefix(gid=1, nid=1), gauges))


@pytest.fixture
async def node() -> AsyncIterator[Node]:
    node = Node()
    yield node
    for kept in node.running.values():
        kept.stop()


async def test_processes_of_one_domain_and_name_are_one_sum_though_they_are_looked_at_apart(node: Node) -> None:
    node.begin("a", 1)
    assert await node.look(0) == []
    node.begin("b", 10)
    node.begin("other", 100, name="m")
    node.begin("script", 1000, cmd="execute_js_py")
    assert await node.look(15) == []
    assert await node.look(30) == [("1.1.execute.d.n.", "11|g")]
    assert sorted(await node.look(45)) == [
        ("1.1.execute.d.m.", "100|g"), ("1.1.execute.d.n.", "11|g"), ("1.1.execute_js_py.d.n.", "1000|g"),
    ]  # fmt: skip


async def test_one_that_ended_is_in_no_sum(node: Node) -> None:
    node.begin("a", 1)
    node.begin("b", 10)
    await node.look(0)
    node.running.pop("b")
    assert await node.look(30) == [("1.1.execute.d.n.", "1|g")]
    node.measuring.forget("a")
    assert await node.look(60) == [], "what was forgotten is looked at for the first time"


async def test_a_process_may_be_looked_at_as_often_as_it_says(node: Node) -> None:
    node.begin("a", 1)
    node.begin("seldom", 10, name="m", stats_interval=120)
    await node.look(0)
    assert await node.look(29) == []
    assert await node.look(119) == [("1.1.execute.d.n.", "1|g")]
    assert await node.look(120) == [("1.1.execute.d.m.", "10|g")]
