"""A server whose state is lost, empty or older than its nodes reports it, and no node ends a program because of it."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from quarterdeck.model.errors import BadConfig, Revoked
from quarterdeck.model.nodes import AgentState, Selector
from quarterdeck.model.services import ApplyServices, Service, ServiceState
from quarterdeck.model.tokens import CreateJoinToken
from tests.fleet import Fleet, Process, eventually


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    with Fleet(tmp_path) as running:
        yield running


def _state(fleet: Fleet) -> Path:
    return fleet.server.home / "state.db"


def _lose(fleet: Fleet) -> None:
    for file in _state(fleet).parent.glob("state.db*"):
        file.unlink()


def _backup(fleet: Fleet, to: Path) -> None:
    with sqlite3.connect(_state(fleet)) as source, sqlite3.connect(to) as copy:
        source.backup(copy)


def _sleeper(fleet: Fleet, name: str, node: str) -> str:
    """The process id of a service that runs on the node."""
    sign = fleet.folder / f"{name}.pid"
    service = Service(
        name=name, command=("sh", "-c", f"echo $$ > {sign}; exec sleep 86400"), selector=Selector(nodes=(node,))
    )
    fleet.client.services.apply(ApplyServices(services=(service,)))
    eventually(lambda: _is(fleet, name, ServiceState.RUNNING), f"{name} to run")
    return eventually(lambda: sign.read_text().strip() if sign.exists() else "", f"{name} to say its process id")


def _is(fleet: Fleet, name: str, state: ServiceState) -> bool:
    return [one.status.state for one in fleet.client.services.get(name).nodes] == [state]


def _runs(pid: str) -> bool:
    return Path(f"/proc/{pid}").exists()


@pytest.mark.parametrize("how", ["no file", "zero bytes", "empty database"])
def test_a_server_whose_state_is_empty_does_not_start_beside_the_ca_of_a_fleet(fleet: Fleet, how: str) -> None:
    agent = fleet.join("web-1")
    pid = _sleeper(fleet, "sleeper", "web-1")
    kept = fleet.folder / "kept.db"
    _backup(fleet, kept)
    fleet.server.stop()
    environment = dict(fleet.server.environment)
    if how == "empty database":
        fleet.server.environment["QD_SERVER_STATE_URL"] = f"sqlite:///{fleet.folder}/other.db"
    else:
        _lose(fleet)
    if how == "zero bytes":
        _state(fleet).touch()
    assert fleet.server.start().wait() == BadConfig.exit_code
    said = fleet.server.tail()
    assert "is empty" in said
    assert "Traceback" not in said
    assert _runs(pid)
    fleet.server.environment = environment
    _lose(fleet)
    shutil.copy(kept, _state(fleet))
    fleet.start_server()
    fleet.wait_for("web-1", AgentState.ONLINE)
    assert agent.running
    assert _runs(pid)


def test_a_server_without_its_ca_does_not_make_another(fleet: Fleet) -> None:
    fleet.join("web-1")
    authority = fleet.server.home / "ca" / "ca.pem"
    fleet.server.stop()
    content = authority.read_bytes()
    authority.unlink()
    assert fleet.server.start().wait() == BadConfig.exit_code
    assert "there is none" in fleet.server.tail()
    assert not authority.exists()
    authority.write_bytes(content)
    fleet.start_server()
    fleet.wait_for("web-1", AgentState.ONLINE)


def test_a_node_that_joined_after_the_backup_keeps_what_it_runs(fleet: Fleet) -> None:
    earlier, later = fleet.folder / "earlier.db", fleet.folder / "later.db"
    _backup(fleet, earlier)
    agent = fleet.join("web-1")
    pid = _sleeper(fleet, "sleeper", "web-1")
    fleet.server.stop()
    shutil.copy(_state(fleet), later)
    _lose(fleet)
    shutil.copy(earlier, _state(fleet))
    fleet.start_server()
    eventually(lambda: "does not know this node" in agent.tail(), "the agent to be told that it is not known")
    assert agent.running
    assert _runs(pid)
    assert "no record of the node 1/1" in fleet.server.tail()
    # and it joins anew where that is wanted, under a number that nobody had
    token = fleet.client.tokens.create(CreateJoinToken()).token
    agent.stop()
    agent.environment["QD_AGENT_TOKEN"] = token
    agent.start()
    assert fleet.wait_for("web-1", AgentState.ONLINE).nid == 2


def test_a_node_that_was_told_more_than_the_backup_knows_keeps_it_until_a_sync(fleet: Fleet) -> None:
    earlier = fleet.folder / "earlier.db"
    agent = fleet.join("web-1")
    old = _sleeper(fleet, "old", "web-1")
    _backup(fleet, earlier)
    new = _sleeper(fleet, "new", "web-1")
    fleet.server.stop()
    _lose(fleet)
    shutil.copy(earlier, _state(fleet))
    fleet.start_server()
    node = fleet.wait_for("web-1", AgentState.ONLINE)
    assert node.held_revision > node.revision
    eventually(lambda: "qd node sync web-1" in agent.tail(), "the agent to say what its server knows")
    assert "older" in fleet.server.tail()
    agent.stop()
    agent.start()  # keeps it also in its next life
    fleet.wait_for("web-1", AgentState.ONLINE)
    other = _sleeper_placed(fleet)
    assert _runs(old)
    assert _runs(new)
    assert not other.exists()
    assert fleet.client.nodes.sync("web-1").held_revision == 0
    eventually(lambda: not _runs(new), "what this state does not know of to end")
    eventually(other.exists, "what it wants to begin")
    assert _runs(old)


def _sleeper_placed(fleet: Fleet) -> Path:
    """Apply a new service; return the file that it creates once the node runs it."""
    sign = fleet.folder / "placed"
    fleet.client.services.apply(
        ApplyServices(services=(Service(name="placed", command=("sh", "-c", f"touch {sign}; exec sleep 86400")),))
    )
    return sign


def test_a_removed_nodes_agent_ends_with_all_it_ran_and_joins_again_with_a_new_token(fleet: Fleet) -> None:
    agent = fleet.join("web-1")
    pid = _sleeper(fleet, "sleeper", "web-1")
    fleet.client.nodes.remove("web-1")
    assert agent.wait() == Revoked.exit_code
    assert not _runs(pid)
    assert "was removed from its fleet; its programs have ended" in agent.tail()
    del agent.environment["QD_AGENT_TOKEN"]
    assert agent.start().wait() == Revoked.exit_code, agent.tail()
    token = fleet.client.tokens.create(CreateJoinToken()).token
    again = Process(agent.home, agent.arguments, {"QD_AGENT_TOKEN": token}).start()
    fleet.agents["web-1"] = again
    assert fleet.wait_for("web-1", AgentState.ONLINE).nid == 2
