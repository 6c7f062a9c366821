"""Modules: created, deployed to the nodes that match, replaced, undeployed, deleted; and their instances."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import pytest

from quarterdeck.link.messages import StatsReport
from quarterdeck.model.errors import (
    AlreadyExists,
    BadManifest,
    BadSetting,
    Conflict,
    IllegalTransition,
    InUse,
    NoSuchNodes,
    NotFound,
)
from quarterdeck.model.modules import (
    MODULE,
    CreateModule,
    DeployModule,
    DroppedProgram,
    InstanceState,
    InstanceStats,
    InstanceStatus,
    ModuleState,
)
from quarterdeck.model.nodes import NodeKey, Selector
from quarterdeck.store.state.database import Database
from tests.services import FakeBuiltins, Services, make_build

EVERYWHERE = DeployModule()
ON_WEB = DeployModule(selector=Selector(labels={"role": "web"}))


async def test_a_created_module_is_listed_and_found_by_name_and_id(fleet: Services) -> None:
    module = await fleet.create("execs")
    assert module.desire_state is ModuleState.CREATED
    assert await fleet.modules.list() == [module]
    assert await fleet.modules.show("execs") == await fleet.modules.show(module.id) == module


async def test_unknown_modules_are_named_with_what_is_near(fleet: Services) -> None:
    await fleet.create("execs")
    with pytest.raises(NotFound) as caught:
        await fleet.modules.show("exec")
    assert "execs" in caught.value.hint
    with pytest.raises(NotFound):
        await fleet.modules.deploy("a\0b", EVERYWHERE)


async def test_what_the_builder_refuses_is_not_kept(fleet: Services) -> None:
    with pytest.raises(BadManifest):
        await fleet.modules.create(CreateModule(files={}), sender="")
    assert await fleet.modules.list() == []


async def test_a_name_is_taken_once_unless_it_is_replaced(fleet: Services) -> None:
    first = await fleet.create("execs")
    with pytest.raises(AlreadyExists, match="'execs'"):
        await fleet.create("execs", version="2")
    second = await fleet.create("execs", version="2", replace=True)
    assert second.id == first.id
    assert second.build.digest != first.build.digest
    assert await fleet.modules.list() == [second]


async def test_a_table_belongs_to_one_module(fleet: Services) -> None:
    await fleet.create("execs", table="programs")
    with pytest.raises(AlreadyExists, match=r"'programs'.*'execs'"):
        await fleet.create("other", table="programs")
    with pytest.raises(AlreadyExists, match=r"'losses'.*the server"):
        await fleet.create("other", table="losses")


async def test_a_deploy_reaches_the_nodes_that_match_and_wakes_only_them(fleet: Services) -> None:
    web, db = await fleet.join("web-1", labels={"role": "web"}), await fleet.join("db-1", labels={"role": "db"})
    await fleet.create("execs")
    module = await fleet.modules.deploy("execs", ON_WEB)
    assert module.desire_state is ModuleState.DEPLOYED
    assert fleet.ensured == ["execs"]
    assert fleet.sessions.woken == [NodeKey(1, 1)]
    assert await fleet.runs_on(web) == ["execs"]
    assert await fleet.runs_on(db) == []
    desired = await fleet.placements.desired(NodeKey(1, 1))
    assert desired.revision == 1
    assert (await fleet.wanted_modules(NodeKey(1, 1)))[0].build == module.build


async def test_the_same_deploy_again_changes_nothing(fleet: Services) -> None:
    await fleet.join("web-1")
    await fleet.create("execs")
    once = await fleet.modules.deploy("execs", EVERYWHERE)
    before = await fleet.placements.desired(NodeKey(1, 1))
    fleet.clock.now += 5
    assert await fleet.modules.deploy("execs", EVERYWHERE) == once
    assert await fleet.placements.desired(NodeKey(1, 1)) == before
    assert len(fleet.sessions.woken) == 1


async def test_changed_settings_are_a_new_revision_of_the_same_instance(fleet: Services) -> None:
    agent = await fleet.join("web-1")
    await fleet.create("execs")
    await fleet.modules.deploy("execs", EVERYWHERE)
    revision, (before,) = await fleet.revision(agent), await fleet.wanted_modules(agent.key)
    (listed,) = await fleet.modules.instances()
    await fleet.modules.deploy("execs", DeployModule(settings={"targ_pid": 7}))
    assert await fleet.revision(agent) == revision + 1
    assert await fleet.wanted_modules(agent.key) == [msgspec.structs.replace(before, settings={"targ_pid": 7})]
    assert [instance.id for instance in await fleet.modules.instances()] == [listed.id]


async def test_a_changed_selector_moves_the_module(fleet: Services) -> None:
    web, db = await fleet.join("web-1", labels={"role": "web"}), await fleet.join("db-1", labels={"role": "db"})
    await fleet.create("execs")
    await fleet.modules.deploy("execs", ON_WEB)
    await fleet.modules.deploy("execs", DeployModule(selector=Selector(nodes=("db-1",))))
    assert await fleet.runs_on(web) == []
    assert await fleet.runs_on(db) == ["execs"]
    assert fleet.sessions.woken[1:] in ([NodeKey(1, 1), NodeKey(1, 2)], [NodeKey(1, 2), NodeKey(1, 1)])


async def test_a_deploy_to_no_node_is_refused(fleet: Services) -> None:
    await fleet.create("execs")
    with pytest.raises(NoSuchNodes, match="joined"):
        await fleet.modules.deploy("execs", EVERYWHERE)
    await fleet.join("web-1")
    with pytest.raises(NoSuchNodes, match="role web"):
        await fleet.modules.deploy("execs", ON_WEB)
    with pytest.raises(NoSuchNodes, match="'web-9'"):
        await fleet.modules.deploy("execs", DeployModule(selector=Selector(nodes=("web-1", "web-9"))))
    assert (await fleet.modules.show("execs")).desire_state is ModuleState.CREATED


async def test_a_wrong_setting_is_refused_before_anything_changes(fleet: Services) -> None:
    await fleet.join("web-1")
    await fleet.create("execs")
    with pytest.raises(BadSetting, match="'targ_pd'") as caught:
        await fleet.modules.deploy("execs", DeployModule(settings={"targ_pd": 7}))
    assert "targ_pid" in caught.value.hint
    with pytest.raises(BadSetting, match="whole number"):
        await fleet.modules.deploy("execs", DeployModule(settings={"targ_pid": "x"}))
    assert fleet.ensured == []
    assert (await fleet.modules.show("execs")).desire_state is ModuleState.CREATED


async def test_a_node_that_joins_later_and_one_that_is_labelled_get_the_module(fleet: Services) -> None:
    first = await fleet.join("web-1", labels={"role": "web"})
    plain = await fleet.join("plain")
    await fleet.create("execs")
    await fleet.modules.deploy("execs", ON_WEB)
    later = await fleet.join("web-2", labels={"role": "web"})
    for agent, expected in ((first, ["execs"]), (plain, []), (later, ["execs"])):
        assert await fleet.runs_on(agent) == expected
    await fleet.nodes.label("plain", {"role": "web"})
    assert await fleet.runs_on(plain) == ["execs"]
    await fleet.nodes.label("plain", {"role": None})
    assert await fleet.runs_on(plain) == []
    assert fleet.sessions.woken[-2:] == [NodeKey(1, 2)] * 2
    await fleet.connect(plain, labels={"role": "web"})
    assert await fleet.runs_on(plain) == []
    free = await fleet.join("web-3", allow_labels=("role",))
    await fleet.connect(free, labels={"role": "web"})
    assert await fleet.runs_on(free) == ["execs"]


async def test_a_replaced_module_rolls_out_where_it_is_deployed(fleet: Services) -> None:
    agent = await fleet.join("web-1")
    await fleet.create("execs")
    await fleet.modules.deploy("execs", DeployModule(settings={"targ_pid": 7}))
    revision, (old,) = await fleet.revision(agent), await fleet.wanted_modules(agent.key)
    await fleet.create("execs", version="2", table="programs", replace=True)
    (new,) = await fleet.wanted_modules(agent.key)
    assert await fleet.revision(agent) == revision + 1
    assert new.id == old.id
    assert new.build.manifest.version == "2"
    assert new.settings == {"targ_pid": 7}
    assert fleet.ensured == ["execs", "programs"]
    with pytest.raises(NotFound):
        await fleet.artefacts.chunk(old.build.object.sha256, 0)
    chunk = await fleet.artefacts.chunk(new.build.object.sha256, 0)
    assert chunk.data == b"object of execs 2"


async def test_undeploy_stops_and_waits_for_the_agent_to_say_so(fleet: Services) -> None:
    agent = await fleet.join("web-1")
    await fleet.connect(agent)
    await fleet.create("execs")
    await fleet.modules.deploy("execs", EVERYWHERE)
    await fleet.act(agent)
    module = await fleet.modules.undeploy("execs")
    assert module.desire_state is ModuleState.UNDEPLOYED
    assert await fleet.modules.undeploy("execs") == module
    (instance,) = await fleet.modules.instances("execs")
    assert instance.desire_state is ModuleState.UNDEPLOYED
    await fleet.act(agent)
    assert await fleet.modules.instances() == []


async def test_states_that_cannot_follow_are_refused(fleet: Services) -> None:
    await fleet.join("web-1")
    await fleet.create("execs")
    with pytest.raises(IllegalTransition, match="CREATED"):
        await fleet.modules.undeploy("execs")
    await fleet.modules.deploy("execs", EVERYWHERE)
    with pytest.raises(InUse, match="deployed"):
        await fleet.modules.delete("execs")
    await fleet.modules.undeploy("execs")
    await fleet.modules.delete("execs")
    assert await fleet.modules.list() == await fleet.modules.instances() == []
    with pytest.raises(NotFound):
        await fleet.modules.undeploy("execs")


async def test_an_instance_is_init_then_in_progress_then_as_its_agent_says(fleet: Services) -> None:
    agent = await fleet.join("web-1")
    await fleet.connect(agent)
    await fleet.create("execs")
    await fleet.modules.deploy("execs", EVERYWHERE)

    async def state() -> InstanceState:
        (instance,) = await fleet.modules.instances("execs")
        return instance.status.state

    assert await state() is InstanceState.INIT
    await fleet.placements.desired(NodeKey(1, 1))
    assert await state() is InstanceState.IN_PROGRESS
    await fleet.act(agent, state=InstanceState.FAILED)
    assert await state() is InstanceState.FAILED
    await fleet.act(agent)
    assert await state() is InstanceState.SUCCEEDED
    await fleet.modules.deploy("execs", DeployModule(settings={"targ_pid": 1}))
    assert await state() is InstanceState.INIT


async def test_a_stale_report_never_overwrites_a_newer_one(fleet: Services) -> None:
    agent = await fleet.join("web-1")
    await fleet.connect(agent)
    await fleet.create("execs")
    await fleet.modules.deploy("execs", EVERYWHERE)
    await fleet.modules.deploy("execs", DeployModule(settings={"targ_pid": 1}))
    revision = await fleet.act(agent)
    (instance,) = await fleet.modules.instances()
    for stale in (revision - 1, revision + 1_000):
        status = InstanceStatus(instance_id=instance.module_id, state=InstanceState.FAILED, revision=stale)
        await fleet.report(agent, MODULE, status, revision=stale)
    ahead = InstanceStatus(instance_id=instance.module_id, state=InstanceState.FAILED, revision=revision + 1)
    await fleet.report(agent, MODULE, ahead, revision=revision)
    assert await fleet.modules.instances() == [instance]
    assert instance.status.state is InstanceState.SUCCEEDED


async def test_what_an_agent_says_of_an_instance_is_kept_within_limits(fleet: Services) -> None:
    agent = await fleet.join("web-1")
    await fleet.create("execs")
    await fleet.modules.deploy("execs", EVERYWHERE)
    (instance,) = await fleet.modules.instances()
    status = InstanceStatus(
        instance_id=instance.module_id,
        state=InstanceState.FAILED,
        revision=1,
        reason="r" * 10**6,
        log=("l" * 10**6,) * 500,
        attached=("a" * 10**5,) * 2000,
        dropped=(DroppedProgram(program="p" * 10**5, reason="d" * 10**5),) * 2000,
    )
    await fleet.connect(agent)
    await fleet.report(agent, MODULE, status, revision=1)
    (instance,) = await fleet.modules.instances()
    assert instance.status.reason == "r" * 2000
    assert (len(instance.status.log), len(instance.status.attached), len(instance.status.dropped)) == (400, 400, 400)


async def test_an_agent_speaks_only_for_its_own_node(fleet: Services) -> None:
    first, second = await fleet.join("web-1"), await fleet.join("web-2")
    await fleet.create("execs")
    await fleet.modules.deploy("execs", EVERYWHERE)
    await fleet.act(first)
    await fleet.placements.desired(NodeKey(1, 2))
    (own, _) = await fleet.modules.instances()
    status = InstanceStatus(instance_id=own.module_id, state=InstanceState.FAILED, revision=1)
    await fleet.report(second, MODULE, status, revision=1)
    await fleet.instances.counted(second, StatsReport(stats=(InstanceStats(instance_id=own.module_id, rows=5),)))
    (first_again, other) = await fleet.modules.instances()
    assert first_again == own
    assert (other.nid, other.status.state) == (2, InstanceState.FAILED)


async def test_a_lost_agent_is_said_and_its_instance_returns_with_it(fleet: Services) -> None:
    agent = await fleet.join("web-1")
    await fleet.connect(agent)
    await fleet.create("execs")
    await fleet.modules.deploy("execs", EVERYWHERE)
    revision = await fleet.act(agent)
    await fleet.nodes.disconnected(agent)
    (instance,) = await fleet.modules.instances()
    assert instance.status.state is InstanceState.SUCCEEDED
    assert "OFFLINE" in instance.status.reason
    await fleet.connect(agent, acted=revision)  # it may have been restarted meanwhile: what it said before is void
    (instance,) = await fleet.modules.instances()
    assert instance.status.state is InstanceState.INIT
    assert "not told yet" in instance.status.reason
    await fleet.act(agent)
    (instance,) = await fleet.modules.instances()
    assert (instance.status.state, instance.status.reason) == (InstanceState.SUCCEEDED, "")


async def test_a_restarted_agent_has_nothing_running_until_it_says_so(fleet: Services) -> None:
    agent = await fleet.join("web-1")
    await fleet.connect(agent)
    await fleet.create("execs")
    await fleet.modules.deploy("execs", EVERYWHERE)
    await fleet.act(agent)
    await fleet.nodes.disconnected(agent)
    await fleet.connect(agent, acted=0)
    assert (await fleet.modules.instances())[0].status.state is InstanceState.INIT
    await fleet.act(agent)
    assert (await fleet.modules.instances())[0].status.state is InstanceState.SUCCEEDED


async def test_statistics_are_kept_with_their_instance(fleet: Services) -> None:
    agent = await fleet.join("web-1")
    await fleet.create("execs")
    await fleet.modules.deploy("execs", EVERYWHERE)
    (instance,) = await fleet.modules.instances()
    assert instance.stats is None
    stats = InstanceStats(instance_id=instance.module_id, rows=5, kernel_ns=7)
    await fleet.instances.counted(agent, StatsReport(stats=(stats,)))
    assert (await fleet.modules.instances())[0].stats == msgspec.structs.replace(stats, instance_id=instance.id)


async def test_a_removed_node_takes_its_instances_along(fleet: Services) -> None:
    await fleet.join("web-1")
    await fleet.create("execs")
    await fleet.modules.deploy("execs", EVERYWHERE)
    await fleet.nodes.remove("web-1")
    assert await fleet.modules.instances() == []


async def test_changes_at_the_same_time_follow_each_other(fleet: Services) -> None:
    agents = [await fleet.join(f"node-{number}") for number in range(4)]
    for number in range(5):
        await fleet.create(f"module{number}")
    await asyncio.gather(
        *(fleet.modules.deploy(f"module{number}", EVERYWHERE) for number in range(5)),
        *(fleet.nodes.label(f"node-{number}", {"n": str(number)}) for number in range(4)),
        *(fleet.create("module0", version=str(version), replace=True) for version in range(5)),
    )
    for agent in agents:
        assert await fleet.runs_on(agent) == [f"module{number}" for number in range(5)]
    digests = {module.name: module.build.digest for module in await fleet.modules.list()}
    for agent in agents:
        wanted = await fleet.wanted_modules(agent.key)
        assert {each.build.manifest.name: each.build.digest for each in wanted} == digests


# ── built-in modules ─────────────────────────────────────────────────────────────────────────────────────────────────
@pytest.fixture
def builtin_fleet(database: Database, tmp_path: Path) -> Services:
    return Services(database, tmp_path, builtins=FakeBuiltins(make_build("execs"), make_build("opens")))


async def test_built_in_modules_are_there_without_create(builtin_fleet: Services) -> None:
    fleet = builtin_fleet
    await fleet.modules.register_builtins()
    assert [(module.name, module.builtin) for module in await fleet.modules.list()] == [
        ("execs", True),
        ("opens", True),
    ]
    before = await fleet.modules.list()
    await fleet.modules.register_builtins()
    assert await fleet.modules.list() == before


async def test_a_built_in_module_can_be_deployed_before_it_was_registered(builtin_fleet: Services) -> None:
    fleet = builtin_fleet
    agent = await fleet.join("web-1")
    await asyncio.gather(fleet.modules.deploy("execs", EVERYWHERE), fleet.modules.show("execs"))
    assert await fleet.runs_on(agent) == ["execs"]
    assert "opens" not in fleet.builtins.loaded


async def test_a_newer_server_brings_newer_built_in_modules(builtin_fleet: Services) -> None:
    fleet = builtin_fleet
    await fleet.join("web-1")
    await fleet.modules.deploy("execs", EVERYWHERE)
    fleet.builtins.builds["execs"] = make_build("execs", version="2")
    await fleet.modules.register_builtins()
    assert (await fleet.wanted_modules(NodeKey(1, 1)))[0].build.manifest.version == "2"


async def test_ones_own_module_takes_an_unused_built_in_ones_name_and_tables(builtin_fleet: Services) -> None:
    fleet = builtin_fleet
    await fleet.join("web-1")
    await fleet.modules.register_builtins()
    own = await fleet.create("execs", version="own")
    assert not own.builtin
    await fleet.modules.register_builtins()
    assert (await fleet.modules.show("execs")).build.manifest.version == "own"
    await fleet.create("files", table="opens")
    with pytest.raises(AlreadyExists, match=r"'opens'.*'files'"):
        await fleet.modules.deploy("opens", EVERYWHERE)
    await fleet.modules.delete("execs")
    assert (await fleet.modules.show("execs")).builtin


async def test_a_built_in_module_is_undeployed_not_deleted(builtin_fleet: Services) -> None:
    await builtin_fleet.modules.register_builtins()
    with pytest.raises(Conflict, match="built in"):
        await builtin_fleet.modules.delete("execs")
