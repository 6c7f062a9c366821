"""Recovery: after a kill, a restart or a cut link everything runs again, without another deploy."""

from __future__ import annotations

import json
import signal
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from quarterdeck.model.nodes import AgentState, Selector
from tests.fleet import Cable, Fleet, eventually


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    """A separate fleet for each story, because the stories kill it."""
    with Fleet(tmp_path) as running:
        yield running


def _seen(fleet: Fleet) -> bool:
    """Return whether programs started now are found in the table."""
    mark = uuid.uuid4().hex

    def look() -> bool:
        subprocess.run(["/bin/true", mark], check=True)
        return bool(fleet.rows(f"SELECT 1 FROM execs WHERE args LIKE '%{mark}%'"))

    return eventually(look, "the row of a program")


def test_a_server_that_is_killed_finds_its_agents_and_modules_again(fleet: Fleet) -> None:
    fleet.join("one")
    fleet.client.modules.deploy("execs")
    fleet.wait_running("execs", "one")
    since = fleet.instances("execs")["one"].status.since
    agent_pid = fleet.agents["one"].pid
    fleet.server.kill()
    mark = uuid.uuid4().hex
    subprocess.run(["/bin/true", mark], check=True)
    fleet.start_server()
    fleet.wait_for("one", AgentState.ONLINE)
    fleet.wait_running("execs", "one")
    assert fleet.agents["one"].running
    assert fleet.agents["one"].pid == agent_pid
    assert fleet.instances("execs")["one"].status.since == since, "the module ran on while the server was away"
    assert fleet.wait_rows(f"SELECT 1 FROM execs WHERE args LIKE '%{mark}%'"), "what happened meanwhile is not lost"
    assert _seen(fleet)


def test_an_agent_that_is_killed_comes_back_as_the_same_node_with_its_modules(fleet: Fleet) -> None:
    agent = fleet.join("one")
    before = fleet.wait_for("one", AgentState.ONLINE)
    fleet.client.modules.deploy("execs")
    fleet.wait_running("execs", "one")
    agent.kill()
    fleet.wait_for("one", AgentState.OFFLINE)
    agent.environment.pop("QD_AGENT_TOKEN")
    agent.start()
    after = fleet.wait_for("one", AgentState.ONLINE)
    assert (after.agent_id, after.gid, after.nid) == (before.agent_id, before.gid, before.nid)
    fleet.wait_running("execs", "one")
    assert _seen(fleet)


def test_a_restarted_agent_runs_its_modules_while_the_server_is_away(fleet: Fleet) -> None:
    agent = fleet.join("one")
    fleet.client.modules.deploy("execs")
    fleet.wait_running("execs", "one")
    fleet.server.kill()
    agent.kill()
    agent.start()
    programs = ["bpftool", "prog", "show", "name", "exec_btf"]
    eventually(
        lambda: subprocess.run(programs, capture_output=True, check=False).stdout.count(b"exec_btf") > 0,
        "the program to be loaded",
    )
    fleet.start_server()
    fleet.wait_for("one", AgentState.ONLINE)
    assert _seen(fleet)


def test_a_node_that_joins_later_gets_what_its_labels_say(fleet: Fleet) -> None:
    fleet.join("one", labels={"role": "web"})
    fleet.client.modules.deploy("execs", Selector(labels={"role": "web"}))
    fleet.wait_running("execs", "one")
    fleet.join("two", labels={"role": "web"})
    fleet.join("three", labels={"role": "db"})
    fleet.wait_running("execs", "two")
    assert "three" not in fleet.instances("execs")


def test_a_label_moves_a_module_from_node_to_node(fleet: Fleet) -> None:
    fleet.join("one")
    fleet.join("two")
    fleet.client.nodes.label("one", {"tier": "front"})
    fleet.client.modules.deploy("execs", Selector(labels={"tier": "front"}))
    fleet.wait_running("execs", "one")
    fleet.client.nodes.label("two", {"tier": "front"})
    fleet.client.nodes.label("one", {"tier": None})
    fleet.wait_running("execs", "two")
    eventually(lambda: "one" not in fleet.instances("execs"), "the module to leave the node")


def test_a_link_that_is_cut_comes_back_with_what_happened_meanwhile(fleet: Fleet) -> None:
    with Cable(fleet.link) as cable:
        fleet.join("one", server=cable.address)
        fleet.client.modules.deploy("execs")
        fleet.wait_running("execs", "one")
        assert _seen(fleet)
        cable.cut()
        mark = uuid.uuid4().hex
        subprocess.run(["/bin/true", mark], check=True)
        fleet.wait_for("one", AgentState.OFFLINE)
        cable.restore()
        fleet.wait_for("one", AgentState.ONLINE)
        assert fleet.wait_rows(f"SELECT 1 FROM execs WHERE args LIKE '%{mark}%'")


def test_sigterm_ends_both_cleanly_and_leaves_nothing_attached(fleet: Fleet) -> None:
    agent = fleet.join("one")
    fleet.client.modules.deploy("oom_kills")
    fleet.wait_running("oom_kills", "one")
    loaded = ["bpftool", "prog", "show", "name", "mark_victim"]
    agent.signal(signal.SIGTERM)
    assert agent.wait() == 0, agent.tail()
    fleet.server.signal(signal.SIGTERM)
    assert fleet.server.wait() == 0, fleet.server.tail()
    maps = Path("/proc/self/mounts").read_text()
    assert str(fleet.folder) not in maps
    assert agent.pid not in _holders(subprocess.run([*loaded, "--json", "-p"], capture_output=True, check=False).stdout)


def _holders(output: bytes) -> set[int]:
    found = json.loads(output.strip() or b"[]")
    programs = found if isinstance(found, list) else [found]
    return {process["pid"] for program in programs for process in program.get("pids", [])}
