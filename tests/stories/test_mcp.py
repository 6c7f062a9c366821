"""A language model's way through a fleet that is not well: it finds what fails, reads why, and looks on the node."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from quarterdeck.model.modules import InstanceState
from quarterdeck.model.nodes import AgentState, Selector
from quarterdeck.model.services import ApplyServices, Service, ServiceState
from quarterdeck.model.tokens import Role
from tests.fleet import Fleet, eventually
from tests.mcp_calls import READING, call, fail, opened, tools

FAILING = ("sh", "-c", "echo '9::cannot read /etc/shop.conf'; exit 3")


@pytest.fixture(scope="module", autouse=True)
def nodes(fleet: Fleet) -> Iterator[None]:
    fleet.join("shop-1", labels={"role": "shop"})
    fleet.join("db-1")
    yield
    for info in fleet.client.services.list():
        fleet.client.services.remove(info.service.name)


@pytest.fixture(scope="module")
def operator(fleet: Fleet) -> str:
    return fleet.client.api_tokens.create("olga", Role.OPERATOR).token


def _state(fleet: Fleet, service: str) -> ServiceState:
    return fleet.client.services.get(service).nodes[0].status.state


async def test_a_fleet_that_is_well_is_said_to_be(fleet: Fleet, operator: str) -> None:
    async with opened(fleet.client.endpoint, operator) as model:
        answer = await call(model, "why")
        assert (answer["well"], answer["findings"]) == (True, [])
        assert "2 of 2 nodes are ONLINE" in answer["summary"]


async def test_a_service_that_fails_is_found_with_its_reason_and_last_lines(fleet: Fleet, operator: str) -> None:
    shop = Service(name="shop", command=FAILING, max_restart=1, selector=Selector(roles=("shop",)))
    fleet.client.services.apply(ApplyServices(services=(shop,)))
    await asyncio.to_thread(
        eventually, lambda: _state(fleet, "shop") in {ServiceState.BACKOFF, ServiceState.FAILED}, "the service to fail"
    )
    async with opened(fleet.client.endpoint, operator) as model:
        found = (await call(model, "why"))["findings"]
        assert [(each["kind"], each["name"]) for each in found] == [("service", "shop")]
        assert found[0]["reason"].startswith("shop-1: ")
        answer = await call(model, "why", kind="service", name="shop")
        assert (answer["well"], answer["summary"]) == (False, "The service 'shop' is not well on 1 of 1 nodes.")
        (finding,) = answer["findings"]
        assert (finding["node"], finding["node_state"]) == ("shop-1", "ONLINE")
        assert finding["status"]["code"] == 3
        assert any("[9] cannot read /etc/shop.conf" in line for line in finding["lines"])
        on_node = await call(model, "why", kind="node", name="shop-1", lines=0)
        assert ("service", "shop") in {(each["kind"], each["name"]) for each in on_node["findings"]}
        lines = (await call(model, "read_logs", service="shop", text="cannot read", limit=1))["lines"]
        assert [(line["node"], line["job"], line["text"]) for line in lines] == [
            ("shop-1", "service/shop", "cannot read /etc/shop.conf")
        ]


async def test_a_command_looks_on_the_node_and_its_output_comes_back(fleet: Fleet, operator: str) -> None:
    async with opened(fleet.client.endpoint, operator) as model:
        ran = await call(
            model, "run_command", command=["ls", "/etc/shop.conf"], selector={"roles": ["shop"]}, env={"LC_ALL": "C"}
        )
        assert (ran["finished"], ran["states"]) == (True, {"ERROR": 1})
        assert ran["nodes"][0]["code"] == 2
        assert "No such file or directory" in ran["nodes"][0]["stderr"]
        ran = await call(model, "run_command", script="echo $0 | wc -l; echo done >&2", all_nodes=True)
        assert [(node["node"], node["state"], node["stdout"], node["stderr"]) for node in ran["nodes"]] == [
            ("db-1", "OK", "1\n", "done\n"),
            ("shop-1", "OK", "1\n", "done\n"),
        ]
        slow = await call(model, "run_command", script="echo begun; sleep 600", selector={"nodes": ["db-1"]}, wait_s=2)
        assert (slow["finished"], slow["nodes"][0]["state"]) == (False, "RUNNING")
        assert "begun" in slow["nodes"][0]["so_far"]
        fleet.client.commands.kill(slow["id"], [])
        again = await call(model, "why", kind="job", name=slow["id"])
        assert again["findings"][0]["node"] == "db-1"
    audited = [entry for entry in fleet.client.audit.list() if entry.action == "createCommand"]
    assert [(entry.actor, entry.result) for entry in audited[:3]] == [("olga", "ok")] * 3


async def test_what_a_module_sees_is_described_and_queried(fleet: Fleet, operator: str) -> None:
    fleet.client.modules.deploy("execs", Selector(nodes=("shop-1",)))
    fleet.wait_running("execs", "shop-1")
    async with opened(fleet.client.endpoint, operator) as model:
        answer = await call(model, "why", kind="module", name="execs")
        assert (answer["well"], answer["findings"][0]["state"]) == (True, str(InstanceState.SUCCEEDED))
        columns = {column["name"] for column in (await call(model, "describe_table", table="execs"))["columns"]}
        assert {"time", "gid", "nid", "comm"} <= columns
        await call(model, "run_command", command=["true"], selector={"nodes": ["shop-1"]})
        await asyncio.to_thread(fleet.wait_rows, "SELECT comm FROM execs WHERE comm = 'true' LIMIT 1")
        counted = await call(
            model, "query", sql="SELECT comm, count() > 0 FROM execs WHERE comm = {c:String} GROUP BY comm",
            parameters={"c": "true"},
        )  # fmt: skip
        assert counted["rows"] == [["true", 1]]


async def test_an_offline_node_is_named_and_what_it_said_last_is_marked(fleet: Fleet, operator: str) -> None:
    fleet.agents["shop-1"].kill()
    await asyncio.to_thread(fleet.wait_for, "shop-1", AgentState.OFFLINE)
    async with opened(fleet.client.endpoint, operator) as model:
        found = {(each["kind"], each["name"]) for each in (await call(model, "why"))["findings"]}
        assert ("node", "shop-1") in found
        answer = await call(model, "why", kind="service", name="shop")
        assert "The node is OFFLINE since" in answer["findings"][0]["reason"]
        logs = await call(model, "read_logs", service="shop")
        assert any("shop-1 is offline" in problem for problem in logs["problems"])
        assert "cannot read /etc/shop.conf" in {line["text"] for line in logs["lines"]}, "it was forwarded"
    fleet.agents["shop-1"].start()
    await asyncio.to_thread(fleet.wait_for, "shop-1", AgentState.ONLINE)


async def test_a_viewer_reads_and_runs_nothing(fleet: Fleet) -> None:
    viewer = fleet.client.api_tokens.create("vera", Role.VIEWER).token
    async with opened(fleet.client.endpoint, viewer) as model:
        assert await tools(model) == READING
        assert (await fail(model, "run_command", command=["true"], all_nodes=True))["code"] == "forbidden"
        assert len((await call(model, "list_nodes"))["nodes"]) == 2
