"""Full disks under a running fleet: acknowledged data is kept, the rest waits or is counted, and the fleet recovers."""

from __future__ import annotations

import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from quarterdeck.model.errors import StorageFull
from quarterdeck.model.jobs import CreateCommand, JobResult, JobState
from quarterdeck.model.losses import LossReason
from quarterdeck.model.messages import MessageFilter
from quarterdeck.model.nodes import AgentState, Selector
from tests.counted import call, counted, deploy, outcome, settled
from tests.disks import MB
from tests.faults.conftest import MakeDisk
from tests.fleet import Fleet, eventually

NAME = "calls"


@contextmanager
def working(folder: Path, **environments: dict[str, str]) -> Generator[Fleet]:
    """A server and a node on which the module runs; the environments of `server` and `agent`."""
    with Fleet(folder, server_environment=environments.get("server")) as fleet:
        fleet.join("one", environment=environments.get("agent"))
        deploy(fleet.client, counted(NAME), NAME)
        fleet.wait_running(NAME, "one")
        yield fleet


def test_full_below_the_telemetry_store(small_disk: MakeDisk, tmp_path: Path) -> None:
    disk = small_disk(tmp_path / "server" / "telemetry", 64 * MB)
    with working(tmp_path) as fleet:
        made = call(5_000)
        settled(fleet.client, NAME, made)
        with disk.full():
            stored, made = made, made + call(5_000)
            eventually(lambda: "disk is full" in fleet.server.tail(), "the server to say that its disk is full")
            assert outcome(fleet.client, NAME).rows == stored, "queries go on, and see all that was acknowledged"
            with pytest.raises(StorageFull):
                deploy(fleet.client, counted("another"), "another")  # its table cannot be made
            fleet.server.kill()
            fleet.start_server()
            fleet.wait_for("one", AgentState.ONLINE)
            assert outcome(fleet.client, NAME).rows == stored
        assert settled(fleet.client, NAME, made).distinct == made
        fleet.client.modules.deploy("another")
        fleet.wait_running("another", "one")


def test_full_below_the_outbox(small_disk: MakeDisk, tmp_path: Path) -> None:
    disk = small_disk(tmp_path / "one" / "agent" / "outbox", MB)
    small = {"QD_AGENT_OUTBOX__MEMORY_BYTES": "65536", "QD_AGENT_FLUSH_INTERVAL_S": "0.02"}
    with working(tmp_path, agent=small) as fleet:
        fleet.server.kill()
        made = call(400, bursts=20, pause_s=0.03)
        with disk.full():
            made += call(400, bursts=20, pause_s=0.03)
            eventually(lambda: "cannot spill to disk" in fleet.agents["one"].tail(), "the outbox to be full")
            fleet.start_server()
            found = settled(fleet.client, NAME, made)
        assert found.distinct == found.rows
        assert set(found.lost) == {LossReason.QUEUE_FULL}
        made += call(400)
        assert settled(fleet.client, NAME, made).lost == found.lost, "it goes on"


def test_full_below_the_agent(small_disk: MakeDisk, tmp_path: Path) -> None:
    disk = small_disk(tmp_path / "one" / "agent", 4 * MB)
    with working(tmp_path) as fleet, disk.full():
        made = call(1_000)
        settled(fleet.client, NAME, made)
        deploy(fleet.client, counted("another"), "another")
        fleet.wait_running("another", "one")
        agent = fleet.agents["one"]
        assert agent.stop() == 0
        stopped = time.time()
        agent.start()
        fleet.wait_for("one", AgentState.ONLINE)
        eventually(lambda: fleet.instances("another")["one"].status.since > stopped, "the module to start again")
        fleet.wait_running("another", "one")


def _messages(fleet: Fleet, job_id: str) -> tuple[list[str], tuple[str, ...]]:
    """All that a job printed, and why some may be missing."""
    texts: list[str] = []
    cursor: str | None = ""
    problems: tuple[str, ...] = ()
    while cursor is not None:
        page = fleet.client.messages.list(MessageFilter(job_id=job_id), cursor=cursor)
        texts += [message.data for message in page.messages]
        cursor, problems = page.cursor, page.problems
    return texts, problems


def test_programs_print_on_while_the_disk_below_their_messages_is_full(small_disk: MakeDisk, tmp_path: Path) -> None:
    disk = small_disk(tmp_path / "one" / "agent", 8 * MB)
    script = "n=0; while [ ! -e stop ]; do n=$((n+1)); echo $n; echo $n > count; sleep 0.005; done"
    count = tmp_path / "count"

    def ask(cmd: str, /, **arguments: object) -> str:
        request = CreateCommand(cmd=cmd, args=arguments, selector=Selector(nodes=("one",)))
        return fleet.client.commands.create(request).id

    def result(command_id: str) -> JobResult:
        return eventually(lambda: fleet.client.commands.get(command_id).jobs[0].result, f"the result of {command_id}")

    def counts_on() -> None:
        before = int(count.read_text() or 0)
        eventually(lambda: int(count.read_text() or 0) > before + 50, "the program to go on")

    with Fleet(tmp_path) as fleet:
        fleet.join("one")
        counting = ask("execute", cmd="sh", args=["-c", script], workingdir=str(tmp_path))
        eventually(count.exists, "the program to begin")
        counts_on()
        with disk.full():
            counts_on()
            eventually(
                lambda: "wait in memory" in str(_messages(fleet, counting)[1]), "the node to say that it is full"
            )
            late = ask("ping")
            counts_on()
        assert result(late).state is JobState.OK, "it is taken when there is room"
        counts_on()
        (tmp_path / "stop").touch()
        assert result(counting).state is JobState.OK
        texts, problems = _messages(fleet, counting)
        assert texts == [str(number) for number in range(1, len(texts) + 1)], "none is missing and none comes twice"
        assert (len(texts), problems) == (int(count.read_text()), ())


def test_full_below_the_state_store(small_disk: MakeDisk, tmp_path: Path) -> None:
    disk = small_disk(tmp_path / "state", 8 * MB)
    url = {"QD_SERVER_STATE_URL": f"sqlite:///{disk.folder}/state.db"}
    with working(tmp_path, server=url) as fleet:
        made = call(1_000)
        settled(fleet.client, NAME, made)
        with disk.full():
            stored, made = made, made + call(1_000)
            with pytest.raises(StorageFull, match="state store"):
                fleet.client.modules.create(counted("another"))
            assert outcome(fleet.client, NAME).rows >= stored, "queries go on"
        assert settled(fleet.client, NAME, made).distinct == made
        fleet.wait_for("one", AgentState.ONLINE)
        deploy(fleet.client, counted("another"), "another")
        fleet.wait_running("another", "one")
