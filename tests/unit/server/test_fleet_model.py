"""The services against a model of the fleet that fits on a page: whatever is done, in whatever order, each node's
desired set is what the selectors say, its revision changes exactly when the set does, and reports never lie."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, multiple, rule

from quarterdeck.model.errors import NoSuchNodes, Revoked
from quarterdeck.model.modules import MODULE, DeployModule, InstanceState, InstanceStatus, ModuleState
from quarterdeck.model.nodes import AgentIdentity, AgentState, NodeKey, Selector
from quarterdeck.model.selection import unknown
from quarterdeck.store.state.database import Database
from tests.services import Services
from tests.state import sqlite_url

T = TypeVar("T")
MODULES = ("execs", "opens", "cpu")
LABELS = st.dictionaries(st.sampled_from(["role", "zone"]), st.sampled_from(["a", "b"]), max_size=2)
SELECTORS = st.builds(
    Selector,
    labels=st.sampled_from([{}, {}, {"role": "a"}, {"role": "b"}, {"role": "a", "zone": "b"}]),
    nodes=st.sampled_from([(), (), (), ("node-1",), ("2", "1/3")]),
    gid=st.sampled_from([None, None, 1]),
)


@dataclass
class ModelModule:
    version: str = "1"
    state: ModuleState = ModuleState.CREATED
    selector: Selector = field(default_factory=Selector)
    pid: int = 0


@dataclass
class ModelNode:
    agent: AgentIdentity
    name: str
    free: bool = False
    own: dict[str, str] = field(default_factory=dict)
    agents: dict[str, str] = field(default_factory=dict)
    online: bool = False
    acted: int = 0
    revision: int = 0
    content: dict[str, tuple[str, int]] = field(default_factory=dict)
    changed_at: dict[str, int] = field(default_factory=dict)
    reported: dict[str, int] = field(default_factory=dict)

    @property
    def key(self) -> NodeKey:
        return self.agent.key


class FleetMachine(RuleBasedStateMachine):
    nodes: Bundle[ModelNode] = Bundle("nodes")

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.folder = tempfile.TemporaryDirectory()
        self.fleet = Services(self.run(Database.open(sqlite_url(Path(self.folder.name)))), Path(self.folder.name))
        self.model: dict[NodeKey, ModelNode] = {}
        self.modules = {name: ModelModule() for name in MODULES}
        self.gone: list[AgentIdentity] = []
        self.joined = 0

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(work)

    def teardown(self) -> None:
        self.run(self.fleet.database.close())
        self.runner.close()
        self.folder.cleanup()

    # ── what may happen ──────────────────────────────────────────────────────────────────────────────────────────────
    @initialize(target=nodes)
    def begin(self) -> Any:
        """Two nodes; of three modules one everywhere, one by label."""
        nodes = [self.join({"role": "a"}, free=False), self.join({}, free=True)]
        for name in MODULES:
            self.run(self.fleet.create(name, version="1"))
        self.deploy(MODULES[0], Selector(), 0)
        self.deploy(MODULES[1], Selector(labels={"role": "a"}), 0)
        return multiple(*nodes)

    @rule(target=nodes, labels=LABELS, free=st.booleans())
    def join_one(self, labels: dict[str, str], free: bool) -> ModelNode:
        return self.join(labels, free=free)

    def join(self, labels: dict[str, str], *, free: bool) -> ModelNode:
        """With a token that lets its agent say labels at any time, or only now."""
        self.joined += 1
        name = f"node-{self.joined}"
        agent = self.run(self.fleet.join(name, labels=labels, allow_labels=("*",) if free else None))
        node = ModelNode(agent, name, free=free, own={} if free else dict(labels))
        self.model[node.key] = node
        return node

    @rule(node=nodes)
    def rejoin(self, node: ModelNode) -> None:
        self.gone.append(node.agent)
        node.agent = self.run(self.fleet.join(node.name, labels={"role": "a", "zone": "a"}, nid=node.key.nid))
        node.online, node.acted, node.reported, node.agents = False, 0, {}, {}

    @rule(node=nodes, labels=LABELS, restarted=st.booleans())
    def connect(self, node: ModelNode, labels: dict[str, str], restarted: bool) -> None:
        acted = 0 if restarted else node.acted
        self.run(self.fleet.connect(node.agent, acted=acted, labels=labels))
        node.reported = {}  # whatever it said over an earlier connection is void
        node.online, node.acted = True, acted
        if node.free:
            node.agents = labels

    @rule(node=nodes)
    def disconnect(self, node: ModelNode) -> None:
        self.run(self.fleet.nodes.disconnected(node.agent))
        node.online = False

    @rule()
    def restart_the_server(self) -> None:
        self.run(self.fleet.database.close())
        folder = Path(self.folder.name)
        self.fleet = Services(self.run(Database.open(sqlite_url(folder))), folder)
        self.run(self.fleet.nodes.set_all_offline())
        for node in self.model.values():
            node.online = False

    @rule(node=nodes, key=st.sampled_from(["role", "zone"]), value=st.sampled_from(["a", "b", None]))
    def label(self, node: ModelNode, key: str, value: str | None) -> None:
        if value is None and key in node.agents and key not in node.own:
            return
        self.run(self.fleet.nodes.label(f"{node.key.gid}/{node.key.nid}", {key: value}))
        node.own.pop(key, None)
        if value is not None:
            node.own[key] = value

    @rule(node=consumes(nodes))
    def remove(self, node: ModelNode) -> None:
        self.run(self.fleet.nodes.remove(f"{node.key.gid}/{node.key.nid}"))
        self.gone.append(self.model.pop(node.key).agent)

    @rule(name=st.sampled_from(MODULES), selector=SELECTORS, pid=st.integers(0, 2))
    def deploy_one(self, name: str, selector: Selector, pid: int) -> None:
        self.deploy(name, selector, pid)

    def deploy(self, name: str, selector: Selector, pid: int) -> None:
        request = DeployModule(selector=selector, settings={"targ_pid": pid})
        nodes = [(node.key, node.name) for node in self.model.values()]
        if unknown(nodes, selector.nodes) or not any(self.matches(selector, node) for node in self.model.values()):
            with pytest.raises(NoSuchNodes):
                self.run(self.fleet.modules.deploy(name, request))
            return
        self.run(self.fleet.modules.deploy(name, request))
        module = self.modules[name]
        module.state, module.selector, module.pid = ModuleState.DEPLOYED, selector, pid

    @rule(name=st.sampled_from(MODULES))
    def undeploy(self, name: str) -> None:
        if self.modules[name].state is not ModuleState.CREATED:
            self.run(self.fleet.modules.undeploy(name))
            self.modules[name].state = ModuleState.UNDEPLOYED

    @rule(name=st.sampled_from(MODULES), version=st.sampled_from(["1", "2"]))
    def replace(self, name: str, version: str) -> None:
        self.run(self.fleet.create(name, version=version, replace=True))
        self.modules[name].version = version

    @rule(name=st.sampled_from(MODULES))
    def delete_and_create_again(self, name: str) -> None:
        if self.modules[name].state is not ModuleState.DEPLOYED:
            self.run(self.fleet.modules.delete(name))
            self.run(self.fleet.create(name, version="1"))
            self.modules[name] = ModelModule()

    @rule(node=nodes)
    def act(self, node: ModelNode) -> None:
        node.acted = self.run(self.fleet.act(node.agent))
        node.reported = dict.fromkeys(node.content, node.acted)

    @rule(node=nodes, age=st.integers(1, 3))
    def report_late(self, node: ModelNode, age: int) -> None:
        """An old report that says FAILED of everything arrives; it must change nothing."""
        revision = node.acted - age
        statuses = tuple(
            InstanceStatus(instance_id=instance.id, state=InstanceState.FAILED, revision=revision)
            for instance in self.run(self.fleet.wanted_modules(node.key))
        )
        self.run(self.fleet.report(node.agent, MODULE, *statuses, revision=revision))

    @rule()
    def the_gone_speak(self) -> None:
        for agent in self.gone:
            with pytest.raises(Revoked):
                self.run(self.fleet.connect(agent))
            self.run(self.fleet.report(agent, MODULE, revision=1))

    # ── what must always hold ────────────────────────────────────────────────────────────────────────────────────────
    def matches(self, selector: Selector, node: ModelNode) -> bool:
        labels = {**node.agents, **node.own}
        return selector.matches(node.key, name=node.name, labels=labels)

    @invariant()
    def desired_sets_are_what_the_selectors_say(self) -> None:
        for node in self.model.values():
            expected = {
                name: (module.version, module.pid)
                for name, module in self.modules.items()
                if module.state is ModuleState.DEPLOYED and self.matches(module.selector, node)
            }
            desired = self.run(self.fleet.placements.desired(node.key))
            found: dict[str, tuple[str, object]] = {
                i.build.manifest.name: (i.build.manifest.version, i.settings["targ_pid"])
                for i in self.run(self.fleet.wanted_modules(node.key))
            }
            assert found == expected
            assert (desired.revision != node.revision) == (expected != node.content), (desired.revision, node)
            for name, content in expected.items():
                if node.content.get(name) != content:
                    node.changed_at[name] = desired.revision
            node.revision, node.content = desired.revision, expected

    @invariant()
    def instances_are_as_wanted_and_as_reported(self) -> None:
        shown = self.run(self.fleet.modules.instances())
        wanted = {(i.module_name, i.gid, i.nid) for i in shown if i.desire_state is ModuleState.DEPLOYED}
        assert wanted == {(name, *node.key) for node in self.model.values() for name in node.content}
        for instance in shown:
            if instance.desire_state is ModuleState.DEPLOYED:
                node = self.model[instance.key]
                told = node.reported.get(instance.module_name, 0) >= node.changed_at[instance.module_name]
                assert instance.status.state is (InstanceState.SUCCEEDED if told else InstanceState.IN_PROGRESS)
                assert ("OFFLINE" in instance.status.reason) is not node.online

    @invariant()
    def nodes_and_agents_are_as_they_should(self) -> None:
        listed = {node.key: node for node in self.run(self.fleet.nodes.list())}
        assert listed.keys() == self.model.keys()
        for key, node in self.model.items():
            assert listed[key].labels == {**node.agents, **node.own}
            assert listed[key].state is (AgentState.ONLINE if node.online else AgentState.OFFLINE)
            assert (listed[key].revision, listed[key].acted_revision) == (node.revision, node.acted)
        states = {agent.agent_id: agent.state for agent in self.run(self.fleet.nodes.agents())}
        assert {i for i, state in states.items() if state is AgentState.TERMINATED} == {a.agent_id for a in self.gone}


FleetMachine.TestCase.settings = settings(
    max_examples=10,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
)
TestFleet = FleetMachine.TestCase
