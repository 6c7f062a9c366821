"""The tool `why`: what is said of things that are not well, with a server that is a fake."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from quarterdeck.api.mcp.bounds import ANSWER_LIMIT_BYTES
from quarterdeck.api.mcp.why import AskWhy, why
from quarterdeck.api.mcp.why.findings import FINDINGS, LINES_CHARS, WITH_LINES, Why, status_of
from quarterdeck.model.errors import BadInput, NoSuchNodes, NotFound, QuarterdeckError, Unavailable
from quarterdeck.model.jobs import CommandWithJobs, Job, JobResult, JobState
from quarterdeck.model.messages import FoundMessages, MessageFilter, NodeMessage
from quarterdeck.model.modules import Instance, InstanceState, InstanceStats, InstanceStatus, ModuleState
from quarterdeck.model.nodes import AgentState, Node, Selector
from quarterdeck.model.queries import Answer, AnswerColumn, Completeness, Query
from quarterdeck.model.services import (
    Service,
    ServiceInfo,
    ServiceOnNode,
    ServiceState,
    ServiceStatus,
    ServiceWithNodes,
)
from quarterdeck.server.queries import Reply
from tests.telemetry import VIEWER


def node(nid: int, state: AgentState = AgentState.ONLINE, **more: Any) -> Node:
    return Node(gid=1, nid=nid, name=f"n{nid}", agent_id="a", state=state, seen_at=60.0, **more)


def service(nid: int, state: ServiceState, **more: Any) -> ServiceOnNode:
    status = ServiceStatus(name="shop", state=state, revision=1, since=120.0, **more)
    return ServiceOnNode(name="shop", gid=1, nid=nid, node_name=f"n{nid}", status=status)


def instance(nid: int, state: InstanceState, **more: Any) -> Instance:
    return Instance(
        id="i", module_id="m", module_name="execs", gid=1, nid=nid, node_name=f"n{nid}", agent_id="a",
        desire_state=ModuleState.DEPLOYED, status=InstanceStatus(instance_id="i", state=state, revision=1, **more),
        stats=InstanceStats(instance_id="i", lost=9),
    )  # fmt: skip


def job(nid: int, state: JobState, **more: Any) -> Job:
    return Job(id="c", gid=1, nid=nid, node_name=f"n{nid}", cmd="execute", state=state, **more)


class Fleet:
    """A server with these things."""

    def __init__(
        self,
        *,
        nodes: tuple[Node, ...] = (),
        services: tuple[ServiceOnNode, ...] = (),
        instances: tuple[Instance, ...] = (),
        jobs: tuple[Job, ...] = (),
        losses: tuple[tuple[object, ...], ...] = (),
        fault: QuarterdeckError | None = None,
    ) -> None:
        self.known = nodes
        self.on_nodes = services
        self.found_instances = instances
        self.found_jobs = jobs
        self.lost = losses
        self.fault = fault
        self.read: list[tuple[Selector, MessageFilter]] = []
        self.queried: list[Query] = []
        self.backend: Any = SimpleNamespace(
            about=SimpleNamespace(info=self.info),
            nodes=SimpleNamespace(list=self.list_nodes, show=self.show_node),
            services=SimpleNamespace(list=self.list_services, show=self.show_service),
            modules=SimpleNamespace(show=self.show_module, instances=self.list_instances),
            commands=SimpleNamespace(show=self.show_command, jobs=self.list_jobs),
            messages=SimpleNamespace(select=self.select),
            queries=SimpleNamespace(run=self.run),
        )

    async def why(self, **asked: Any) -> Why:
        answer = await why(self.backend, AskWhy(**asked), VIEWER)
        assert isinstance(answer, Why)
        return answer

    async def info(self) -> Any:
        return SimpleNamespace(problems=("Telemetry is damaged.",) if self.fault else ())

    async def list_nodes(self) -> list[Node]:
        return list(self.known)

    async def show_node(self, name: str) -> Node:
        for each in self.known:
            if each.name == name:
                return each
        raise NotFound(f"There is no node '{name}'.")

    async def list_services(self) -> list[ServiceInfo]:
        states = {each.status.state: 1 for each in self.on_nodes}
        declared = Service(name="shop", command=("x",))
        return [ServiceInfo(service=declared, version="1", states=states, reason="n1: it exited")] if states else []

    async def show_service(self, name: str) -> ServiceWithNodes:
        if name != "shop":
            raise NotFound
        return ServiceWithNodes(service=Service(name="shop", command=("x",)), version="1", nodes=self.on_nodes)

    async def show_module(self, name: str) -> Any:
        state = ModuleState.DEPLOYED if self.found_instances else ModuleState.CREATED
        return SimpleNamespace(id="m", name=name, desire_state=state)

    async def list_instances(self, _: str | None = None) -> list[Instance]:
        return list(self.found_instances)

    async def show_command(self, name: str) -> CommandWithJobs:
        return CommandWithJobs(
            id=name, cmd="execute", actor="olga", states={each.state: 1 for each in self.found_jobs},
            jobs=self.found_jobs,
        )  # fmt: skip

    async def list_jobs(self, _: Selector, *, state: JobState, since: float, limit: int) -> list[Job]:
        assert since > 0
        return [each for each in self.found_jobs if each.state is state][:limit]

    async def select(self, selector: Selector, wanted: MessageFilter) -> FoundMessages:
        self.read.append((selector, wanted))
        if self.fault:
            raise self.fault
        lines = [
            NodeMessage(id=n, job_id="j", epoch=n, level=9, data=f"line {n} {'x' * 2000}", gid=1, nid=1, node="n1")
            for n in reversed(range(wanted.limit))
        ]
        return FoundMessages(messages=tuple(lines), problems=("It is slow.",))

    async def run(self, query: Query, _: object) -> Reply:
        self.queried.append(query)
        if self.fault:
            raise self.fault
        complete = Completeness(complete=True)
        answer = Answer(
            columns=(AnswerColumn(name="n", type="String"),), rows=[list(row) for row in self.lost], elapsed_s=0.0,
            rows_read=0, completeness=complete,
        )  # fmt: skip
        return Reply((msgspec.json.encode(answer),), complete)


async def test_a_service_is_explained_on_each_node_the_worst_first() -> None:
    fleet = Fleet(
        nodes=(node(1), node(2), node(3, AgentState.OFFLINE)),
        services=(
            service(1, ServiceState.RUNNING),
            service(2, ServiceState.UNHEALTHY, reason="3 failures.", health="got 500", ended="exited with 1", code=1),
            service(3, ServiceState.RUNNING),
        ),
    )
    answer = await fleet.why(kind="service", name="shop", lines=2)
    assert (answer.well, answer.summary) == (False, "The service 'shop' is not well on 2 of 3 nodes.")
    bad, away, good = answer.findings
    assert bad.reason == "3 failures. Its health check: got 500. Its previous run exited with 1."
    assert (bad.node, bad.state, bad.since, bad.status["code"]) == ("n2", "UNHEALTHY", "1970-01-01 00:02:00 UTC", 1)
    assert [line.split()[2:4] for line in bad.lines] == [["line", "0"], ["line", "1"]]
    assert (away.node, away.state, away.well) == ("n3", "RUNNING", False)
    assert away.reason.startswith("The node is OFFLINE since 1970-01-01 00:01:00 UTC")
    assert (good.well, good.lines) == (True, ())
    assert [selector.nodes for selector, _ in fleet.read] == [("1/2",), ("1/3",)]
    assert {wanted.job_id for _, wanted in fleet.read} == {"service/shop"}
    assert answer.problems == ("It is slow.",)
    one = await fleet.why(kind="service", name="shop", node="n1")
    assert (one.well, one.summary) == (True, "The service 'shop' is well on all of its 1 nodes on n1.")


async def test_a_service_that_no_node_runs_is_not_well() -> None:
    answer = await Fleet().why(kind="service", name="shop")
    assert (answer.well, answer.findings) == (False, ())
    assert "matches none" in answer.summary


async def test_a_module_has_the_verifiers_log_and_when_it_is_retried() -> None:
    fleet = Fleet(
        nodes=(node(1), node(2)),
        instances=(
            instance(1, InstanceState.SUCCEEDED),
            instance(2, InstanceState.FAILED, reason="The verifier refused it.", log=("R1 invalid",), retry_at=180.0),
        ),
    )
    answer = await fleet.why(kind="module", name="execs")
    assert answer.summary == "The module 'execs' is not well on 1 of 2 nodes."
    bad, good = answer.findings
    assert bad.reason.startswith("The verifier refused it. It is retried at 1970-01-01 00:03:00 UTC.")
    assert (bad.status["log"], bad.status["stats"]["lost"]) == (["R1 invalid"], 9)
    assert good.well
    assert "not deployed" in (await Fleet().why(kind="module", name="execs")).summary


async def test_a_job_has_its_exit_code_and_the_end_of_its_output() -> None:
    result = JobResult(id="c", state=JobState.ERROR, code=3, reason="exit", streams=("o" * 9000, "e"), critical="boom")
    fleet = Fleet(jobs=(job(1, JobState.ERROR, result=result), job(2, JobState.RUNNING)))
    answer = await fleet.why(kind="job", name="c", lines=0)
    assert (answer.well, answer.summary) == (False, "The command 'c' (execute) by olga: 1 ERROR, 1 RUNNING.")
    bad, good = answer.findings
    assert bad.reason == "exit It ended with exit code 3. boom"
    assert (bad.status["stderr"], bad.status["stdout"][:26]) == ("e", "[5000 characters cut] …ooo")
    assert (good.well, fleet.read) == (True, [])
    assert (await fleet.why(kind="job", name="c", node="1/2")).well
    with pytest.raises(NoSuchNodes):
        await fleet.why(kind="job", name="c", node="n7")


async def test_a_node_is_explained_with_what_runs_on_it() -> None:
    held = node(1, held_revision=7, revision=3, acted_revision=2)
    fleet = Fleet(
        nodes=(held, node(2)),
        services=(service(1, ServiceState.FAILED), service(2, ServiceState.FAILED)),
        instances=(instance(1, InstanceState.FAILED), instance(2, InstanceState.FAILED)),
        jobs=(job(1, JobState.TIMEOUT),),
        losses=(("execs", "ring_full", 5, 1, "2026-01-01 00:00:00"),),
    )
    answer = await fleet.why(kind="node", name="n1")
    assert [(each.kind, each.node) for each in answer.findings] == [
        ("node", "n1"), ("service", "n1"), ("module", "n1"), ("job", "n1"), ("losses", ""),
    ]  # fmt: skip
    assert "qd node sync n1" in answer.findings[0].reason
    assert "revision 2 of 3" in answer.findings[0].reason
    assert answer.findings[-1].reason == "5 rows of 1 nodes were lost in the last hour."
    (asked,) = fleet.queried
    assert asked.parameters == {"every": False, "gid": 1, "nid": 1}


async def test_the_fleet_is_summed_up_with_one_finding_for_each_thing() -> None:
    fleet = Fleet(
        nodes=(node(1), node(2, AgentState.OFFLINE)),
        services=(service(1, ServiceState.FAILED),),
        instances=(instance(1, InstanceState.FAILED, reason="No."), instance(2, InstanceState.FAILED)),
        jobs=(job(1, JobState.LOST),),
    )
    answer = await fleet.why()
    assert [(each.kind, each.name, each.state) for each in answer.findings] == [
        ("node", "n2", "OFFLINE"), ("service", "shop", "1 FAILED"), ("module", "execs", "2 FAILED"),
        ("job", "c", "LOST"),
    ]  # fmt: skip
    assert answer.summary.startswith("1 of 2 nodes are ONLINE. Not well: ")
    assert all(not each.status for each in answer.findings), "details are asked for by name"
    well = await Fleet(nodes=(node(1),), services=(service(1, ServiceState.RUNNING),)).why()
    assert (well.well, well.findings, well.summary) == (True, (), "1 of 1 nodes are ONLINE. Not well: nothing.")


async def test_what_cannot_be_read_is_a_problem_not_an_error() -> None:
    fleet = Fleet(nodes=(node(1),), services=(service(1, ServiceState.FAILED),), fault=Unavailable("Gone."))
    answer = await fleet.why()
    assert answer.problems == ("Losses cannot be read: Gone.",)
    assert [each.kind for each in answer.findings] == ["server", "service"]
    answer = await fleet.why(kind="service", name="shop")
    assert answer.problems == ("The log lines on 1/1 cannot be read: Gone.",)


async def test_an_answer_about_many_nodes_is_cut_and_reads_the_lines_of_a_few() -> None:
    count = 4 * FINDINGS
    fleet = Fleet(
        nodes=tuple(node(n) for n in range(count)),
        services=tuple(service(n, ServiceState.FAILED, reason="r" * 50_000) for n in range(count)),
    )
    answer = await fleet.why(kind="service", name="shop", lines=200)
    assert len(fleet.read) == WITH_LINES
    assert len(msgspec.json.encode(answer)) < ANSWER_LIMIT_BYTES
    assert 0 < len(answer.findings) < FINDINGS
    assert answer.cut.startswith(f"{count - len(answer.findings)} more were left out.")
    assert all(sum(map(len, each.lines)) < 2 * LINES_CHARS for each in answer.findings)


@pytest.mark.parametrize(
    "asked", [{"kind": "node"}, {"name": "x"}, {"kind": "fleet", "node": "n1"}, {"kind": "fleet", "name": "x"}]
)
async def test_a_question_without_a_clear_subject_is_refused(asked: dict[str, Any]) -> None:
    with pytest.raises(BadInput):
        await Fleet().why(**asked)


def test_a_status_leaves_out_what_is_empty_and_cuts_what_is_long() -> None:
    status = InstanceStatus(
        instance_id="i", state=InstanceState.FAILED, revision=1, log=tuple(f"{n} {'x' * 90}" for n in range(500))
    )
    shown = status_of(status)
    assert "reason" not in shown
    assert shown["log"][-1].startswith("499 ")
    assert len(msgspec.json.encode(shown["log"])) <= LINES_CHARS + 2
