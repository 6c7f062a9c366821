"""Services: applied, placed like modules, reported on, removed; and invalid requests refused."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from quarterdeck.model.errors import BadInput, Conflict, InUse, NoSuchNodes, NotFound, TooLarge
from quarterdeck.model.modules import DeployModule
from quarterdeck.model.nodes import AgentIdentity, NodeKey, Selector
from quarterdeck.model.services import (
    SERVICE,
    AppliedServices,
    ApplyServices,
    Change,
    HealthCheck,
    Service,
    ServiceOnNode,
    ServiceState,
    ServiceStatus,
)
from quarterdeck.model.tokens import ApiToken, Role
from tests.services import Services

OLGA = ApiToken(id="1", name="olga", role=Role.OPERATOR)
WEB = Selector(labels={"role": "web"})


def service(name: str, *after: str, **more: Any) -> Service:
    return Service(name=name, command=("/bin/sleep", "9"), after=after, **more)


async def apply(fleet: Services, *services: Service, **more: Any) -> AppliedServices:
    return await fleet.services.apply(ApplyServices(services=services, **more), OLGA)


def changes(applied: AppliedServices) -> dict[str, Change]:
    return {change.name: change.change for change in applied.changes}


async def kept_on(fleet: Services, agent: AgentIdentity) -> list[str]:
    return [each.name for each in await fleet.wanted_services(agent.key)]


async def revision(fleet: Services, agent: AgentIdentity) -> int:
    return await fleet.revision(agent)


async def report(fleet: Services, agent: AgentIdentity, *, revision: int | None = None, **states: ServiceState) -> None:
    """Report these states of services from the agent."""
    acted = await fleet.revision(agent) if revision is None else revision
    statuses = tuple(ServiceStatus(name=name, state=state, revision=acted) for name, state in states.items())
    await fleet.report(agent, SERVICE, *statuses, revision=acted)


async def on(fleet: Services, name: str) -> dict[str, ServiceOnNode]:
    return {one.node_name: one for one in (await fleet.services.show(name)).nodes}


async def test_a_file_reaches_the_nodes_that_match_and_wakes_only_them(fleet: Services) -> None:
    web, db = await fleet.join("web-1", labels={"role": "web"}), await fleet.join("db-1")
    applied = await apply(fleet, service("cache"), service("site", "cache", selector=WEB))
    assert changes(applied) == {"cache": Change.ADDED, "site": Change.ADDED}
    assert {change.name: change.nodes for change in applied.changes} == {"cache": 2, "site": 1}
    assert await kept_on(fleet, web) == ["cache", "site"]
    assert await kept_on(fleet, db) == ["cache"]
    assert sorted(fleet.sessions.woken) == [NodeKey(1, 1), NodeKey(1, 2)]
    (told,) = await fleet.wanted_services(NodeKey(1, 2))
    assert told.read() == service("cache")
    fleet.sessions.woken.clear()
    await apply(fleet, service("cache"), service("site", "cache", selector=WEB, grace=1.0))
    assert fleet.sessions.woken == [NodeKey(1, 1)]
    assert (await revision(fleet, web), await revision(fleet, db)) == (2, 1)


async def test_the_same_again_changes_nothing(fleet: Services) -> None:
    web = await fleet.join("web-1")
    await apply(fleet, service("site"))
    before, info = await revision(fleet, web), await fleet.services.list()
    fleet.clock.now += 5
    assert changes(await apply(fleet, service("site"))) == {"site": Change.UNCHANGED}
    assert await revision(fleet, web) == before
    assert await fleet.services.list() == info
    assert len(fleet.sessions.woken) == 1


async def test_a_change_names_its_settings_and_a_dry_run_changes_nothing(fleet: Services) -> None:
    web = await fleet.join("web-1")
    await apply(fleet, service("site"))
    dry = await apply(fleet, service("site", env={"A": "1"}), service("new"), dry_run=True)
    assert [(c.name, c.change, c.fields) for c in dry.changes] == [
        ("new", Change.ADDED, ()),
        ("site", Change.CHANGED, ("env",)),
    ]
    assert await kept_on(fleet, web) == ["site"]
    assert (await fleet.services.show("site")).service == service("site")
    with pytest.raises(BadInput, match="no service of that name"):
        await apply(fleet, service("new", "missing"), dry_run=True)


async def test_the_list_says_why_one_is_not_well(fleet: Services) -> None:
    web = await fleet.join("web-1")
    await apply(fleet, service("site"), service("well"), service("done"))
    at = await revision(fleet, web)
    told = (("site", ServiceState.BACKOFF, "exit code 3"), ("well", ServiceState.RUNNING, ""))
    over = ("done", ServiceState.STOPPED, "It ran to its end.")
    statuses = tuple(ServiceStatus(name=n, state=s, reason=r, revision=at) for n, s, r in (*told, over))
    await fleet.report(web, SERVICE, *statuses, revision=at)
    found = {each.service.name: each.reason for each in await fleet.services.list()}
    assert found["site"].startswith("web-1: ")
    assert found["site"].endswith("exit code 3")
    assert found["done"] == ""


@pytest.mark.parametrize(
    ("command", "more", "notes"),
    [
        (
            ("web", "--at=$tmp/x", "$tmp"),
            {},
            ["'$tmp' in command is passed as it is. For the folder, write {agent.tmp}."],
        ),
        (("web",), {"env": {"A": "$agentroot"}}, ["'$agentroot' in env.A is passed as it is."]),
        (("web",), {"health": HealthCheck(command=("look", "$root/x"))}, ["'$root' in health is passed as it is."]),
        (("/bin/sh", "-c", "$tmp/x"), {}, []),  # a shell's own
        (("$tmp/web", "a $tmp", "$tmpfs", "{agent.tmp}"), {}, []),
    ],
)
async def test_words_that_services_once_had_for_folders_are_noted(
    fleet: Services, command: tuple[str, ...], more: dict[str, Any], notes: list[str]
) -> None:
    applied = await apply(fleet, Service(name="site", command=command, **more), dry_run=True)
    assert len(applied.notes) == len(notes)
    assert all(found.startswith(f"site: {note}") for found, note in zip(applied.notes, notes, strict=True))


async def test_what_one_comes_after_must_be_there_and_no_circle(fleet: Services) -> None:
    with pytest.raises(BadInput, match="'site' comes after 'db'"):
        await apply(fleet, service("site", "db"))
    assert await fleet.services.list() == []
    await apply(fleet, service("db"), service("site", "db"))
    await apply(fleet, service("more", "site"))  # what was applied before counts too
    with pytest.raises(BadInput, match="wait for one another"):
        await apply(fleet, service("db", "more"))
    with pytest.raises(BadInput, match="twice"):
        await apply(fleet, service("db"), service("db"))


async def test_prune_removes_those_of_its_group_that_are_not_named(fleet: Services) -> None:
    web = await fleet.join("web-1")
    await apply(fleet, service("other"))
    await apply(fleet, service("a"), service("b", "a"), group="shop")
    with pytest.raises(Conflict, match="'a' belongs to the group 'shop', not to no group"):
        await apply(fleet, service("a"))
    with pytest.raises(InUse, match="'b' comes after 'a'"):
        await apply(fleet, service("b", "a"), group="shop", prune=True)
    applied = await apply(fleet, service("b"), group="shop", prune=True)
    assert changes(applied) == {"a": Change.REMOVED, "b": Change.CHANGED}
    assert await kept_on(fleet, web) == ["b", "other"]


async def test_one_that_others_come_after_is_not_removed(fleet: Services) -> None:
    web = await fleet.join("web-1")
    await apply(fleet, service("db"), service("site", "db"))
    with pytest.raises(InUse, match="'site' comes after 'db'"):
        await fleet.services.remove("db")
    await fleet.services.remove("site")
    await fleet.services.remove("db")
    assert await kept_on(fleet, web) == []
    with pytest.raises(NotFound):
        await fleet.services.remove("db")
    with pytest.raises(NotFound):
        await fleet.services.show("a\0b")


async def test_a_label_and_a_join_move_services_and_modules_by_one_rule(fleet: Services) -> None:
    one = await fleet.join("one")
    await fleet.create("execs")
    await apply(fleet, service("site", selector=WEB))
    await fleet.nodes.label("one", {"role": "web"})
    assert await kept_on(fleet, one) == ["site"]
    before = await revision(fleet, one)
    await fleet.modules.deploy("execs", DeployModule(selector=WEB))
    assert await revision(fleet, one) == before + 1
    await fleet.nodes.label("one", {"role": None})
    assert await revision(fleet, one) == before + 2  # one step for both
    assert await kept_on(fleet, one) == []
    two = await fleet.join("two", labels={"role": "web"})
    assert await kept_on(fleet, two) == ["site"]
    assert await fleet.runs_on(two) == ["execs"]
    assert await revision(fleet, two) == 1


async def test_what_agents_say_is_shown_and_what_they_have_not_said_too(fleet: Services) -> None:
    web = await fleet.join("web-1")
    await fleet.connect(web)
    await apply(fleet, service("site"))
    shown = (await on(fleet, "site"))["web-1"]
    assert shown.status.state is ServiceState.WAITING
    assert "not told yet" in shown.status.reason
    await report(fleet, web, site=ServiceState.RUNNING)
    assert (await on(fleet, "site"))["web-1"].status.state is ServiceState.RUNNING
    assert (await fleet.services.list())[0].states == {ServiceState.RUNNING: 1}
    await apply(fleet, service("site", grace=1.0))
    assert (await on(fleet, "site"))["web-1"].status.state is ServiceState.WAITING  # of the new set it said nothing
    await report(fleet, web, revision=1, site=ServiceState.FAILED)  # late
    assert (await on(fleet, "site"))["web-1"].status.state is ServiceState.WAITING
    await report(fleet, web, site=ServiceState.RUNNING)
    await fleet.nodes.disconnected(web)
    offline = (await on(fleet, "site"))["web-1"].status
    assert offline.state is ServiceState.RUNNING
    assert "OFFLINE" in offline.reason
    await fleet.connect(web, acted=2)
    assert (await on(fleet, "site"))["web-1"].status.state is ServiceState.WAITING  # everything anew


async def test_one_that_is_to_go_is_shown_until_its_node_says_that_it_is_gone(fleet: Services) -> None:
    one, two = await fleet.join("one", labels={"role": "web"}), await fleet.join("two", labels={"role": "web"})
    for agent in (one, two):
        await fleet.connect(agent, labels={"role": "web"})
    await apply(fleet, service("site", selector=WEB))
    for agent in (one, two):
        await report(fleet, agent, site=ServiceState.RUNNING)
    await apply(fleet, service("site", selector=Selector(nodes=("one",))))
    before = await on(fleet, "site")
    assert (before["one"].wanted, before["two"].wanted) == (True, False)
    assert before["two"].status.state is ServiceState.STOPPING
    assert (await fleet.services.list())[0].states == {ServiceState.RUNNING: 1}
    await report(fleet, two, site=ServiceState.STOPPING)
    assert "two" in await on(fleet, "site")
    await report(fleet, two)
    assert set(await on(fleet, "site")) == {"one"}


async def test_nobody_is_believed_about_a_set_that_was_never_made_or_another_node(fleet: Services) -> None:
    one, two = await fleet.join("one"), await fleet.join("two")
    await apply(fleet, service("site", selector=Selector(nodes=("one",))))
    await report(fleet, one, revision=7, site=ServiceState.RUNNING)
    await report(fleet, two, site=ServiceState.RUNNING)
    stranger = msgspec.structs.replace(one, agent_id="stranger")
    await report(fleet, stranger, site=ServiceState.RUNNING)
    assert (await on(fleet, "site"))["one"].status.state is ServiceState.WAITING
    long = ServiceStatus(name="site", state=ServiceState.FAILED, revision=1, reason="x" * 10**6)
    await fleet.report(one, SERVICE, long, revision=1)
    assert len((await on(fleet, "site"))["one"].status.reason) < 3000


async def test_a_service_that_is_given_back_before_it_is_gone_is_wanted_again(fleet: Services) -> None:
    one = await fleet.join("one")
    await apply(fleet, service("site"))
    await report(fleet, one, site=ServiceState.RUNNING)
    await fleet.services.remove("site")
    await apply(fleet, service("site"))
    assert await kept_on(fleet, one) == ["site"]
    assert (await on(fleet, "site"))["one"].wanted
    await report(fleet, one, revision=2)  # of the set without it
    assert set(await on(fleet, "site")) == {"one"}


async def test_a_restart_is_a_command_on_the_nodes_that_run_it(fleet: Services) -> None:
    await fleet.join("one")
    await fleet.join("two")
    await fleet.join("three")
    await apply(fleet, service("site", selector=Selector(nodes=("one", "two"))))
    made = await fleet.services.restart("site", (), OLGA)
    assert (made.cmd, made.args, made.actor) == ("restart_service", {"name": "site"}, "olga")
    assert sorted(job.node_name for job in made.jobs) == ["one", "two"]
    (job,) = (await fleet.services.restart("site", ("two",), OLGA)).jobs
    assert job.node_name == "two"
    with pytest.raises(NoSuchNodes, match="'three'"):
        await fleet.services.restart("site", ("three",), OLGA)
    with pytest.raises(NotFound, match="site"):
        await fleet.services.restart("sit", (), OLGA)


async def test_what_would_burden_every_set_is_refused(fleet: Services) -> None:
    with pytest.raises(TooLarge, match="bytes"):
        await apply(fleet, service("site", env={"A": "x" * 70_000}))
    with pytest.raises(TooLarge, match="at most 1000"):
        await apply(fleet, *(service(f"s{number}") for number in range(1001)))
    with pytest.raises(BadInput, match="Unicode"):
        await apply(fleet, service("site", env={"A": "\ud800"}))


async def test_a_removed_node_takes_its_services_along(fleet: Services) -> None:
    await fleet.join("one")
    await apply(fleet, service("site"))
    await fleet.nodes.remove("one")
    assert await on(fleet, "site") == {}


async def test_a_mistyped_node_in_a_file_is_an_error_and_nothing_is_applied(fleet: Services) -> None:
    await fleet.join("web-1")
    named = service("site", selector=Selector(nodes=("web-1", "web-9")))
    for dry_run in (True, False):
        with pytest.raises(NoSuchNodes, match="'web-9'"):
            await apply(fleet, service("cache"), named, dry_run=dry_run)
    assert await fleet.services.list() == []


async def test_a_restart_on_a_mistyped_node_among_others_restarts_nothing(fleet: Services) -> None:
    await fleet.join("web-1")
    await apply(fleet, service("cache"))
    with pytest.raises(NoSuchNodes, match="'web-9'"):
        await fleet.services.restart("cache", ("web-1", "web-9"), OLGA)
    assert await fleet.commands.list() == []


async def test_nothing_at_all_prunes_nothing(fleet: Services) -> None:
    await apply(fleet, service("cache"))
    await apply(fleet, service("site"), group="shop")
    with pytest.raises(BadInput, match="no service and no group"):
        await apply(fleet, prune=True)
    assert changes(await apply(fleet, group="shop", prune=True)) == {"site": Change.REMOVED}
    assert [each.service.name for each in await fleet.services.list()] == ["cache"]
