"""Every stored state, through restarts and kills of agent and server, with every message that may follow.

The cases are made from the states and their tables: a new state is covered without further code.
"""

from __future__ import annotations

import itertools
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from quarterdeck.link.messages import JobOffers, JobResults, JobsStarted, JobsTaken
from quarterdeck.model.errors import IllegalTransition, InUse, Revoked
from quarterdeck.model.jobs import JOB_TRANSITIONS, CreateCommand, JobResult, JobState, is_final
from quarterdeck.model.modules import (
    MODULE,
    MODULE_TRANSITIONS,
    DeployModule,
    InstanceState,
    InstanceStatus,
    ModuleState,
)
from quarterdeck.model.nodes import AGENT_TRANSITIONS, AgentIdentity, AgentState
from quarterdeck.model.services import SERVICE, ApplyServices, Service, ServiceState, ServiceStatus
from quarterdeck.model.tokens import ApiToken, Role
from quarterdeck.store.state.database import Database
from tests.services import Services

OLGA = ApiToken(id="1", name="olga", role=Role.OPERATOR)
AWAY_S = 60.0
EVENTS = ("agent restarted", "agent killed", "server restarted", "server killed")


class Fleet:
    """A fleet of one node, whose server may be restarted."""

    def __init__(self, url: str, folder: Path, stack: AsyncExitStack) -> None:
        self._url, self._folder, self._stack = url, folder, stack

    async def begin(self) -> None:
        """Start the server."""
        self.database = await Database.open(self._url)
        self._stack.push_async_callback(self.database.close)
        self.server = Services(self.database, self._folder)
        await self.server.nodes.set_all_offline()

    async def join(self) -> None:
        self.agent: AgentIdentity = await self.server.join("one")
        await self.server.connect(self.agent)

    async def meets(self, event: str) -> None:
        """Apply the event and reconnect the agent; a server that was killed closes nothing."""
        if event == "agent restarted":
            await self.server.nodes.disconnected(self.agent)
        elif event == "agent killed":
            self.server.clock.now += AWAY_S
            await self.server.nodes.sweep()
        else:
            if event == "server restarted":
                await self.database.close()
            await self.begin()

    async def state(self) -> AgentState:
        return next(e.state for e in await self.server.nodes.agents() if e.agent_id == self.agent.agent_id)


@pytest.fixture
async def fleet(state_url: str, tmp_path: Path) -> AsyncGenerator[Fleet]:
    async with AsyncExitStack() as stack:
        made = Fleet(state_url, tmp_path, stack)
        await made.begin()
        await made.join()
        yield made


def said_of(id_: str, state: JobState) -> list[JobsTaken | JobsStarted | JobResults]:
    """Return what an agent reports of a job in this state."""
    if state is JobState.QUEUED:
        return []
    if state is JobState.ACCEPTED:
        return [JobsTaken(ids=(id_,))]
    if state is JobState.RUNNING:
        return [JobsTaken(ids=(id_,)), JobsStarted(ids=(id_,))]
    return [JobResults(results=(JobResult(id=id_, state=state),))]


@pytest.mark.parametrize("event", EVENTS)
async def test_a_job_goes_on_from_every_state_to_what_may_follow(fleet: Fleet, event: str) -> None:
    jobs = {f"{before}-{after}": (before, after) for before, after in itertools.product(JobState, JobState)}
    for id_, (before, _) in jobs.items():
        await fleet.server.commands.create(CreateCommand(cmd="ping", id=id_), OLGA)
        await fleet.server.jobs.next(fleet.agent, 0)
        await fleet.server.jobs.reported(fleet.agent, said_of(id_, before))
    await fleet.meets(event)
    await fleet.server.connect(fleet.agent)
    upcoming = await fleet.server.jobs.next(fleet.agent, 0)
    offered = {job.id: job.taken for each in upcoming.messages if isinstance(each, JobOffers) for job in each.jobs}
    taken = {id_: before is not JobState.QUEUED for id_, (before, _) in jobs.items() if not is_final(before)}
    assert offered == taken, "the node is asked about all that has no result"
    for id_, (before, after) in jobs.items():
        await fleet.server.jobs.reported(fleet.agent, said_of(id_, after))
        (job,) = (await fleet.server.commands.show(id_)).jobs
        assert job.state is (after if JOB_TRANSITIONS.allows(before, after) else before), id_
        stored = await fleet.server.jobs.reported(fleet.agent, said_of(id_, JobState.LOST))
        assert stored == (id_,), "the agent may forget it, whatever was taken"
        (ended,) = (await fleet.server.commands.show(id_)).jobs
        assert ended.state is (job.state if is_final(job.state) else JobState.LOST), id_


WORDS = ("comes", "goes", "is heard", "is silent", "is removed", "is replaced")


async def say(fleet: Fleet, agent: AgentIdentity, word: str) -> None:
    nodes = fleet.server.nodes
    match word:
        case "comes":
            await fleet.server.connect(agent)
        case "goes":
            await nodes.disconnected(agent)
        case "is heard":
            await nodes.seen([agent])
        case "is silent":
            fleet.server.clock.now += AWAY_S
            await nodes.sweep()
        case "is removed":
            await nodes.remove(str(agent.key))
        case _:
            await fleet.server.join(agent.agent_id, nid=agent.nid)


@pytest.mark.parametrize("event", EVENTS)
async def test_an_agent_goes_on_from_every_state_to_one_that_may_follow(fleet: Fleet, event: str) -> None:
    for number, (before, word) in enumerate(itertools.product(AgentState, WORDS)):
        agent = fleet.agent = await fleet.server.join(f"node-{number}")
        await say(fleet, agent, "comes")
        if before is not AgentState.ONLINE:
            await say(fleet, agent, "goes" if before is AgentState.OFFLINE else "is replaced")
        assert await fleet.state() is before
        await fleet.meets(event)
        met = await fleet.state()
        assert AGENT_TRANSITIONS.allows(before, met)
        if before is AgentState.TERMINATED and word == "comes":
            with pytest.raises(Revoked):
                await say(fleet, agent, word)
        else:
            await say(fleet, agent, word)
        said = await fleet.state()
        assert AGENT_TRANSITIONS.allows(met, said), (before, event, word)
        if said is not AgentState.TERMINATED:
            await say(fleet, agent, "comes")
            assert await fleet.state() is AgentState.ONLINE, "nothing is stuck"


@pytest.mark.parametrize("event", EVENTS)
async def test_what_is_said_of_an_instance_is_shown_whatever_was(fleet: Fleet, event: str) -> None:
    walk = {f"m{n}": pair for n, pair in enumerate(itertools.product(InstanceState, InstanceState))}
    for name in walk:
        await fleet.server.create(name)
        await fleet.server.modules.deploy(name, DeployModule())
    for step in (0, 1):
        revision = await fleet.server.revision(fleet.agent)
        wanted = await fleet.server.wanted_modules(fleet.agent.key)
        statuses = tuple(
            InstanceStatus(instance_id=each.id, state=walk[each.build.manifest.name][step], revision=revision)
            for each in wanted
        )
        await fleet.server.report(fleet.agent, MODULE, *statuses, revision=revision)
        if step == 0:
            await fleet.meets(event)
        shown = {each.module_name: each.status.state for each in await fleet.server.instances.list()}
        assert shown == {name: pair[step] for name, pair in walk.items()}
        await fleet.server.connect(fleet.agent, acted=revision)  # and says everything anew


@pytest.mark.parametrize("event", EVENTS)
async def test_what_is_said_of_a_service_is_shown_whatever_was(fleet: Fleet, event: str) -> None:
    walk = {f"s{n}": pair for n, pair in enumerate(itertools.product(ServiceState, ServiceState))}
    wanted = tuple(Service(name=name, command=("true",)) for name in walk)
    await fleet.server.services.apply(ApplyServices(services=wanted), OLGA)
    revision = await fleet.server.revision(fleet.agent)
    for step in (0, 1):
        statuses = tuple(ServiceStatus(name=name, state=walk[name][step], revision=revision) for name in walk)
        await fleet.server.report(fleet.agent, SERVICE, *statuses, revision=revision)
        if step == 0:
            await fleet.meets(event)
        shown = {info.service.name: set(info.states) for info in await fleet.server.services.list()}
        assert shown == {name: {pair[step]} for name, pair in walk.items()}
        await fleet.server.connect(fleet.agent, acted=revision)  # and says everything anew


async def wish(fleet: Fleet, name: str, state: ModuleState) -> None:
    modules = fleet.server.modules
    if state is ModuleState.DEPLOYED:
        await modules.deploy(name, DeployModule())
    elif state is ModuleState.UNDEPLOYED:
        await modules.undeploy(name)
    elif state is ModuleState.DELETED:
        await modules.delete(name)


@pytest.mark.parametrize("event", EVENTS)
async def test_a_module_goes_on_from_every_state_to_what_may_follow(fleet: Fleet, event: str) -> None:
    walk = {
        f"m{n}": (before, after)
        for n, (before, after) in enumerate(itertools.product(ModuleState, ModuleState))
        if before is not ModuleState.DELETED and after is not ModuleState.CREATED
    }
    for name, (before, _) in walk.items():
        await fleet.server.create(name)
        if before is ModuleState.UNDEPLOYED:
            await wish(fleet, name, ModuleState.DEPLOYED)
        await wish(fleet, name, before)
    await fleet.server.act(fleet.agent)
    await fleet.meets(event)
    for name, (before, after) in walk.items():
        if MODULE_TRANSITIONS.allows(before, after):
            await wish(fleet, name, after)
        else:
            with pytest.raises((IllegalTransition, InUse)):
                await wish(fleet, name, after)
